"""The module's Java beside onnxruntime's own: stubs give the bytes that the real classes give, and a real runtime proves a module."""

import subprocess
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from jvm import needs_java
from real_onnxruntime_java import NOT_IN_THE_OLD, for_android, old_for_linux

from edgepack.ship.jvm.sources import LANGUAGE_LEVEL, STUBS, classes_jar, write_sources
from edgepack.ship.shipping import ship

pytestmark = needs_java


def compiled(sources: list[Path], path: Path, out: Path) -> Path:
    jspecify = [str(file) for file in (STUBS / "org" / "jspecify").rglob("*.java")]
    android = [str(file) for file in (STUBS / "android").rglob("*.java")]
    command = [
        "javac",
        "-proc:none",
        "--release",
        LANGUAGE_LEVEL,
        "-encoding",
        "UTF-8",
        "-g:source,lines",
        "-cp",
        str(path),
        "-d",
        str(out),
    ]
    done = subprocess.run([*command, *map(str, sources), *jspecify, *android], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
@pytest.mark.parametrize("host", ["android", "desktop"])
def test_classes_are_the_same_by_stubs_as_by_androids_own_package(host, tmp_path):
    real = for_android() or pytest.skip("npm does not give onnxruntime's .aar")
    sources = write_sources(tmp_path / "java", "com.example.intents", "intents", "onnx", host=host)
    with zipfile.ZipFile(BytesIO(classes_jar(sources))) as jar:
        by_stubs = {name: jar.read(name) for name in jar.namelist()}
    out = compiled(sources, real, tmp_path / "out")
    assert len(by_stubs) > 80 and {name: (out / name).read_bytes() for name in by_stubs} == by_stubs


@pytest.mark.slow
def test_a_module_proves_itself_in_onnxruntimes_own_java(old_pack, tmp_path):
    """1.17 lacks one call that the module makes: its older form stands in its place."""
    runtime = old_for_linux() or pytest.skip("pip does not give a package with onnxruntime's Java")
    module = tmp_path / "intents"
    ship(old_pack, "jvm", module, package="com.example.intents")
    sources = sorted((module / "src").rglob("*.java"))
    (opening,) = (path for path in sources if path.name == "OnnxRuntime.java")
    opening.write_text(opening.read_text().replace(*NOT_IN_THE_OLD))
    classes = compiled(sources, runtime, tmp_path / "classes")
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{classes}:{runtime}", "com.example.intents.IntentsMain", str(module / "model")]
    tested = subprocess.run([*command, "--self-test"], capture_output=True, text=True, check=False)
    assert (tested.returncode, tested.stdout[:4]) == (0, "yes:"), tested
    asked = subprocess.run([*command, "turn on the light"], capture_output=True, text=True, check=True)
    assert asked.stdout.startswith("[light_on ")
