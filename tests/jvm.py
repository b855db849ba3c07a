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
    classes.mkdir()
    core = [*(JAVA / "core").glob("*.java"), *(STUBS / "org" / "jspecify").rglob("*.java")]
    litert = [*(TESTS / "litert").glob("*.java"), JAVA / "litert" / "LiteRt.java"]
    for release, files in (("8", core), ("8", litert), ("11", TESTS.glob("*.java"))):
        sources = [str(path) for path in sorted(files)]
        command = [
            "javac",
            *SHORT_RUN,
            "--release",
            release,
            "-Xlint:all,-options",
            "-Werror",
            "-cp",
            str(classes),
            "-d",
            str(classes),
            *sources,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
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


def answers_of(classes: Path, main: str, arguments: list[str], questions: Iterable[dict[str, Any]]) -> Iterator[Any]:
    """What the class `main` of the tests answers to lines of JSON. The JVM compiles little: these runs are short."""
    options = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g"]
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    command = ["java", *options, "-cp", str(classes), f"edgepack.module.{main}", *arguments]
    done = subprocess.run(command, input=lines.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return (json.loads(line) for line in done.stdout.splitlines())
