"""Kotlin's own compiler, out of npm, for the Kotlin that modules carry; what is missing where it is not to be had."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from jvm import SHORT_RUN, TESTS

from edgepack.ship.jvm.sources import STUBS

VERSION = "2.4.20"
_LANGUAGE = "2.3"  # that of the compiler that the sample names
_INSTALL_S = 300


def kept_folder(name: str) -> Path:
    """A folder for what the tests fetch, kept between runs."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgepack-tests" / name
    place.mkdir(parents=True, exist_ok=True)
    return place


@cache
def library() -> Path | None:
    """The folder of the compiler's jars, installed once for all workers and kept between runs; None where npm does not give it."""
    from filelock import FileLock

    place = kept_folder(f"kotlin-{VERSION}")
    jars = place / "node_modules" / "kotlin-compiler" / "lib"
    if shutil.which("npm"):
        with FileLock(place / "lock"):
            if not (place / "done").is_file():
                command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", f"kotlin-compiler@{VERSION}"]
                if subprocess.run(command, cwd=place, capture_output=True, timeout=_INSTALL_S, check=False).returncode == 0:
                    (place / "done").touch()
    return jars if (place / "done").is_file() else None


def compile_all(java: list[Path], kotlin: list[Path], out: Path) -> str:
    """Java against the stubs, then Kotlin against both; what the compilers complain of, warnings too."""
    jars = library()
    stubs = [path for place in (STUBS, TESTS / "android_stubs") for path in place.rglob("*.java")]
    javac = ["javac", *SHORT_RUN, "-proc:none", "--release", "11", "-d", str(out), *map(str, [*java, *stubs])]
    done = subprocess.run(javac, capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr
    path = f"{out}:{jars / 'kotlinx-coroutines-core-jvm.jar'}"
    command = [
        "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx1g", "-cp", str(jars / "kotlin-compiler.jar"),
        "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-kotlin-home", str(jars.parent), "-jvm-target", "17", "-no-reflect",
        "-language-version", _LANGUAGE, "-api-version", _LANGUAGE, "-cp", path, "-d", str(out), *map(str, kotlin),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() or ("" if done.returncode == 0 else f"exit {done.returncode}")
