"""The module's Java beside onnxruntime's own: stubs give the bytes that the real classes give, and a real runtime proves a module."""

import shutil
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from coded_packs import coded_copy, damaged
from jvm import needs_java
from real_onnxruntime_java import NOT_IN_THE_OLD, for_android, for_linux

import edgepack
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


def program(module: Path, place: Path) -> list[str]:
    """The command of the shipped program. 1.17 lacks one call that the module makes: its older form stands in its place."""
    runtime = for_linux() or pytest.skip("pip does not give a package with onnxruntime's Java")
    sources = sorted((module / "src").rglob("*.java"))
    (opening,) = (path for path in sources if path.name == "OnnxRuntime.java")
    opening.write_text(opening.read_text().replace(*NOT_IN_THE_OLD))
    classes = compiled(sources, runtime, place)
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{classes}:{runtime}", "com.example.intents.IntentsMain", str(module / "model")]


@pytest.mark.slow
@pytest.mark.parametrize("start", [None, "stream", "expand"])
def test_a_module_proves_itself_in_onnxruntimes_own_java(pack_folder, tmp_path, start):
    """In int8, with weights as they are, decoded at each start, or decoded once."""
    if start:
        coded_copy(pack_folder, tmp_path / "pack", start=start)
    module, expanded = tmp_path / "intents", tmp_path / "intents" / "model" / ".weight-cache" / "expanded" / "model.onnx.data"
    ship(tmp_path / "pack" if start else pack_folder, "jvm", module, package="com.example.intents")
    command = program(module, tmp_path / "classes")
    for _ in range(2):
        tested = subprocess.run([*command, "--self-test"], capture_output=True, text=True, check=False)
        assert (tested.returncode, tested.stdout[:4]) == (0, "yes:"), tested
        assert expanded.is_file() is (start == "expand")
    asked = subprocess.run([*command, "turn on the light"], capture_output=True, text=True, check=True)
    with edgepack.load(pack_folder) as model:
        assert asked.stdout.startswith(f"[{model('turn on the light').label} ")
    if start:
        shutil.rmtree(expanded.parent.parent, ignore_errors=True)
        damaged(module / "model")
        refused = subprocess.run([*command, "turn on the light"], capture_output=True, text=True, check=False)
        assert refused.returncode == 1 and "weights.coded" in refused.stderr and "Exception" not in refused.stderr
