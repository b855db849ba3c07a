"""The modules and libraries that a piece of edgepack's code imports. A cache key hashes them, so changed code gives new results.

The graph is that of the source files: imports inside functions count, those for a type checker alone do not.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.core.resources import shipped

if TYPE_CHECKING:
    from grimp import ImportGraph

_PACKAGE = Path(__file__).parent.parent
_ROOT = _PACKAGE.name
# A module that finds others by name, in the package that the f-string begins with, or else in its own folder. The parts of a device's
# module are no code of the package: module_sha256 hashes them.
_BY_NAME = re.compile(r"\bimport_module\((?!f\"\{device_module\()(?:\s*f\"([\w.]+)\.\{)?|\biter_modules\(")
_NO_CODE = {"__pycache__", "node_modules"}
_SHIPPED = ("targets", "device_profiles")  # inside the package in a wheel; a profile comes with the question
_COMPUTE_NOTHING = {"filelock", "grimp", "huggingface_hub", "pydantic", "rich"}
_BEHIND = {"transformers": ("tokenizers", "safetensors"), "torch": ("onnxscript",)}  # libraries that another one computes with


def code_sha256(roots: Iterable[str], choosers: Collection[str] = ()) -> str:
    """One hash for the code of modules and of all that they import. choosers: see `modules_of`."""
    digest = hashlib.sha256()
    for name in sorted(modules_of(roots, choosers)):
        digest.update(f"{name}:{_file_sha256(name)}\n".encode())
    return digest.hexdigest()


def modules_of(roots: Iterable[str], choosers: Collection[str] = ()) -> frozenset[str]:
    """The modules of edgepack that `roots` import, directly or not, with themselves.

    A module that finds others by name counts as importing all that it can find. choosers: such modules of which a stage uses
    only one that it names among `roots`.
    """
    return frozenset(name for name in _reached(frozenset(roots), frozenset(choosers)) if name.split(".")[0] == _ROOT)


def library_versions_of(roots: Iterable[str], choosers: Collection[str] = ()) -> dict[str, str]:
    """Versions of the libraries that `roots` import, directly or not, and of those that work behind them."""
    direct = {name.split(".")[0] for name in _reached(frozenset(roots), frozenset(choosers))} - {_ROOT}
    names = direct | {behind for name in direct for behind in _BEHIND.get(name, ())}
    versions = {name: _version(name) for name in sorted(names - _COMPUTE_NOTHING) if name not in sys.stdlib_module_names}
    return {name: version for name, version in versions.items() if version is not None}


def target_sha256(script: str) -> str:
    """One hash for a script of targets/ and the files beside it that it imports."""
    folder = shipped("targets")
    reached: set[str] = set()
    waiting = [script.removesuffix(".py")]
    while waiting:
        name = waiting.pop()
        if name not in reached and (folder / f"{name}.py").is_file():
            reached.add(name)
            waiting += _imported_names(folder / f"{name}.py")
    digest = hashlib.sha256()
    for name in sorted(reached):
        digest.update(f"{name}:".encode() + (folder / f"{name}.py").read_bytes())
    return digest.hexdigest()


def module_sha256() -> str:
    """One hash for the code in targets/ that makes answers of a pack's outputs, in whatever runtime."""
    folder = shipped("targets")
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.py"), *folder.glob("module/*.py")]):
        digest.update(f"{path.relative_to(folder).as_posix()}:".encode() + path.read_bytes())
    return digest.hexdigest()


def device_code_sha256() -> str:
    """One hash for all that may answer on some machine: every file in targets/, and of the package what is no Python, as Java sources.

    For a key where the machine is not known. The package's Python is in `code_sha256`.
    """
    return _files_sha256(path for path in _files() if not (path[0] == _PACKAGE and path[1].suffix == ".py"))


def whole_code_sha256() -> str:
    """One hash for edgepack's code and its data, and for what it runs on devices: where it is equal, the same input gives the same result.

    It is the same in a checkout and in a wheel, which holds the shipped folders inside the package.
    """
    return _files_sha256(_files())


def _files() -> Iterator[tuple[Path, Path]]:
    """Each file of the package and of targets/, as its folder and its place there; without caches and what package managers bring."""
    for folder in (_PACKAGE, shipped("targets")):
        for path in sorted(folder.rglob("*")):
            place = path.relative_to(folder)
            if path.is_file() and not (set(place.parts) & _NO_CODE or place.parts[0] in _SHIPPED or place.name.startswith(".")):
                yield folder, place


def _files_sha256(files: Iterable[tuple[Path, Path]]) -> str:
    digest = hashlib.sha256()
    for folder, place in files:
        digest.update(f"{place.as_posix()}:{hashlib.sha256((folder / place).read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _imported_names(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module.split(".")[0])
    return names


@cache
def _graph() -> "ImportGraph":
    import grimp

    return grimp.build_graph(_ROOT, cache_dir=None, include_external_packages=True, exclude_type_checking_imports=True)


@cache
def _reached(roots: frozenset[str], choosers: frozenset[str]) -> frozenset[str]:
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        if name.split(".")[0] == _ROOT:
            waiting += _parents(name)
            waiting += _imports_of(name) | (set() if name in choosers else _modules_by_name(name))
    return frozenset(reached)


def _parents(name: str) -> list[str]:
    """The packages whose `__init__` an import of the module runs."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _imports_of(name: str) -> set[str]:
    return set(_graph().find_modules_directly_imported_by(name))


def _modules_by_name(name: str) -> set[str]:
    modules: set[str] = set()
    if name == _ROOT:
        return modules  # its public names are found by whoever asks for them
    source = _path(name)
    for match in _BY_NAME.finditer(source.read_text(encoding="utf-8")):
        package = match[1] or (name if source.name == "__init__.py" else name.rpartition(".")[0])
        modules |= _graph().find_descendants(package)
    return modules


def _path(name: str) -> Path:
    place = _PACKAGE.joinpath(*name.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@cache
def _file_sha256(name: str) -> str:
    """Of a module, and of each data file beside it that it names."""
    path = _path(name)
    content = path.read_bytes()
    digest = hashlib.sha256(content)
    for file in sorted(path.parent.iterdir()):
        if file.suffix not in {".py", ".pyc"} and file.is_file() and f'"{file.name}"'.encode() in content:
            digest.update(f"\n{file.name}:{hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()


@cache
def _version(module: str) -> str | None:
    """Of the distribution that brings a module; most are named like it."""
    try:
        return version(module)
    except PackageNotFoundError:
        names = packages_distributions().get(module, [])
        return version(names[0]) if names else None
