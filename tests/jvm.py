"""Compiles the Android module's Java for the JVM here and talks to it in JSON lines."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from edgepack.ship.jvm.characters import characters
from edgepack.ship.jvm.sources import STUBS

JAVA = Path(__file__).parent.parent / "edgepack" / "ship" / "jvm" / "java"
TESTS = Path(__file__).parent / "java"
ONNXRUNTIME = [JAVA / "onnxruntime" / name for name in ("OnnxRuntime.java", "OnnxDecoder.java")]
SHORT_RUN = ("-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC")
needs_java = pytest.mark.skipif(
    not (shutil.which("javac") and shutil.which("java")), reason="no javac and java here: apt-get install default-jdk"
)


@cache
def compiled(folder: Path) -> Path:
    """Classes of the core and of the tests, compiled once.

    The core against Java 8's library: what stands in it Android 8 has, but for what came later.
    """
    classes = folder / "classes"
    core = [*(JAVA / "core").glob("*.java"), *(STUBS / "org" / "jspecify").rglob("*.java")]
    litert = [*(TESTS / "litert").glob("*.java"), JAVA / "litert" / "LiteRt.java"]
    stubs = compile_into(folder / "stubs", "8", (STUBS / "ai" / "onnxruntime").rglob("*.java"))
    for release, files in (("8", core), ("8", litert), ("8", ONNXRUNTIME), ("11", TESTS.glob("*.java"))):
        compile_into(classes, release, files, stubs)
    return classes


def compile_into(classes: Path, release: str, sources: Iterable[Path], *path: Path) -> Path:
    """path: of more classes to compile against."""
    classes.mkdir(exist_ok=True)
    command = ["javac", *SHORT_RUN, "--release", release, "-Xlint:all,-options", "-Werror", "-cp", ":".join(map(str, (classes, *path)))]
    done = subprocess.run([*command, "-d", str(classes), *map(str, sorted(sources))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return classes


def write_characters(tokenizer: Path, folder: Path) -> Path:
    path = folder / "characters.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(characters(json.loads(tokenizer.read_text(encoding="utf-8")))), encoding="utf-8")
    return path


def ask(classes: Path, tokenizer: Path, folder: Path, questions: Iterable[dict[str, Any]]) -> Iterator[Any]:
    """An answer for every question, by one process."""
    return answers_of(classes, "Lines", [str(tokenizer), str(write_characters(tokenizer, folder))], questions)


def answers_of(classes: Path | str, main: str, arguments: list[str], questions: Iterable[dict[str, Any]]) -> Iterator[Any]:
    """What the class `main` of the tests answers to lines of JSON. The JVM compiles little: these runs are short.

    classes: a folder, or several with colons between them.
    """
    options = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g"]
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    command = ["java", *options, "-cp", str(classes), f"edgepack.module.{main}", *arguments]
    done = subprocess.run(command, input=lines.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return (json.loads(line) for line in done.stdout.splitlines())
