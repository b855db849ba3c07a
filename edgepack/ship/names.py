"""Checks the names of a module before any work: a platform's language must accept them."""

import keyword
import re
import sys
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.plan.runtime import python_runtimes

_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
_RUNTIMES = {runtime.module.partition(".")[0] for runtime in python_runtimes()}
_NEEDED = {"numpy", "tokenizers", "waitress", "cryptography", "edgepack", "node_modules"} | _RUNTIMES
_JAVA_WORDS = {
    "abstract", "assert", "boolean", "break", "byte", "case", "catch", "char", "class", "const", "continue", "default",
    "do", "double", "else", "enum", "extends", "false", "final", "finally", "float", "for", "goto", "if", "implements",
    "import", "instanceof", "int", "interface", "long", "native", "new", "null", "package", "private", "protected",
    "public", "return", "short", "static", "strictfp", "super", "switch", "synchronized", "this", "throw", "throws",
    "transient", "true", "try", "void", "volatile", "while",
}  # fmt: skip
_KOTLIN_WORDS = {"as", "fun", "in", "is", "object", "typealias", "typeof", "val", "var", "when"}  # those that Java has not


def chosen_names(pack: Path, platform: str, name: str | None, package: str | None, needs_package: bool) -> tuple[str, str]:
    """name and package: as given, or the name from the package's last part, or from the pack's folder."""
    if package is not None:
        _check_package(package)
    elif needs_package:
        raise EdgepackError(f"the module for {platform} needs a package name", "add --package, such as com.example.intents")
    if name is not None:
        wished, origin = name, "--name"
    elif package:
        wished, origin = package.rpartition(".")[2], "a name from the --package"
    else:
        wished, origin = re.sub(r"[^a-z0-9]+", "_", pack.resolve().name.lower()), "a name from the pack's folder"
    _check_name(wished, origin)
    return wished, package or wished


def _check_name(name: str, origin: str) -> None:
    fix = "give --name: a small letter, then small letters, digits and _, such as intents"
    if not _NAME.fullmatch(name):
        raise EdgepackError(f"{origin}, {name!r}, is not a name for a module", fix)
    if keyword.iskeyword(name) or name in _JAVA_WORDS:
        raise EdgepackError(f"{origin}, {name!r}, is a word of the language", fix)
    if name in sys.stdlib_module_names or name in _NEEDED:
        raise EdgepackError(f"{origin}, {name!r}, would replace the package of that name", fix)


def _check_package(package: str) -> None:
    problem = _problem_of(package.split("."))
    if problem is not None:
        raise EdgepackError(
            f"--package {package!r} is not a package name: {problem}",
            "give two parts or more of small letters, digits and _: com.example.intents",
        )


def _problem_of(parts: list[str]) -> str | None:
    for part in parts:
        if not _NAME.fullmatch(part):
            return f"{part!r} is not a part of one"
        if part in _JAVA_WORDS | _KOTLIN_WORDS:
            return f"{part!r} is a word of Java or Kotlin"
    return "it has only one part" if len(parts) < 2 else None
