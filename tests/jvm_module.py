"""A shipped module for a JVM, compiled with the runtime that runs here in the place of onnxruntime's Java."""

import subprocess
import sys
from pathlib import Path

from jvm import TESTS

from edgepack.ship.jvm.sources import STUBS

RUNTIME = Path(__file__).with_name("java_runtime.py")
OPENER = """package com.example.intents;

/** For tests: the runtime that runs here, in place of the one for a JVM: test_real_runtime_java.py has that. */
final class ModelOpener {
    private ModelOpener() {}

    static ModelRuntime open(ModuleFiles files, Manifest manifest, int threads) {
        return new PythonRuntime(java.util.List.of(System.getProperty("runtime").split("\\n")));
    }
}
"""


def built(module: Path, place: Path, *more: Path) -> Path:
    """Its classes and those of `more` sources, where the file that names the runtime is the test's."""
    unwanted = ("Onnx", "ModelOpener")
    sources = [path for path in (module / "src").rglob("*.java") if not path.name.startswith(unwanted)]
    (place / "ModelOpener.java").write_text(OPENER)
    helper = (TESTS / "PythonRuntime.java").read_text().replace("package edgepack.module;", "package com.example.intents;")
    (place / "PythonRuntime.java").write_text(helper)
    sources += [place / "ModelOpener.java", place / "PythonRuntime.java", *(STUBS / "org" / "jspecify").rglob("*.java"), *more]
    command = ["javac", "-Xlint:all", "-Werror", "--release", "11", "-proc:none", "-d", str(place / "classes"), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place / "classes"


def main(classes: Path, model: Path, *arguments: str) -> subprocess.CompletedProcess:
    """What the module's own program prints to `arguments`."""
    return started(classes, model, "com.example.intents.IntentsMain", str(model), *arguments)


def started(classes: Path, model: Path, *command: str, place: Path | None = None) -> subprocess.CompletedProcess:
    """A class of `classes` in the folder `place`."""
    runtime = "\n".join([sys.executable, str(RUNTIME), str(model)])
    whole = ["java", f"-Druntime={runtime}", "-cp", str(classes), *command]
    return subprocess.run(whole, cwd=place, capture_output=True, text=True, check=False)
