"""The module for a JVM: its build files are read, its classes compiled, its program asked over the runtime that runs here."""

import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jvm import needs_java
from jvm_module import built, main

import edgepack
from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import read_manifest, seal
from edgepack.ship.generate import generate
from edgepack.ship.published import artefact, tools
from edgepack.ship.shipping import ship


def shipped(pack: Path, out: Path) -> Path:
    ship(pack, "jvm", out, package="com.example.intents")
    return out


@pytest.fixture(scope="module")
def module(pack_folder, tmp_path_factory) -> Path:
    return shipped(pack_folder, tmp_path_factory.mktemp("jvm") / "intents")


@needs_java
def test_the_program_answers_proves_itself_and_refuses_a_flipped_byte(module, pack_folder, tmp_path):
    classes = built(module, tmp_path)
    tested = main(classes, module / "model", "--self-test")
    assert (tested.returncode, tested.stdout[:4]) == (0, "yes:"), tested
    with edgepack.load(pack_folder) as model:
        assert main(classes, module / "model", "turn on the light").stdout.startswith(f"[{model('turn on the light').label} ")
    copy = shutil.copytree(module / "model", tmp_path / "copy")
    content = bytearray((copy / "tokenizer.json").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "tokenizer.json").write_bytes(content)
    refused = main(classes, copy, "--self-test")
    assert refused.returncode == 1 and "tokenizer.json was changed" in refused.stdout
    late = main(classes, copy, "turn on the light")
    assert late.returncode == 1 and "tokenizer.json was changed" in late.stderr and "Exception" not in late.stderr
    assert main(classes, copy).returncode == 2


@needs_java
def test_without_the_runtimes_library_the_program_says_so(module):
    command = ["java", "-cp", str(module / "intents.jar"), "com.example.intents.IntentsMain", str(module / "model")]
    for argument, stream in (("--self-test", "stdout"), ("turn on the light", "stderr")):
        done = subprocess.run([*command, argument], capture_output=True, text=True, check=False)
        printed = getattr(done, stream)
        assert done.returncode == 1 and "onnxruntime's Java library cannot be loaded: the module's README.md names" in printed, done
        assert "\tat " not in done.stderr


@needs_java
def test_a_decoder_writes_what_edgepack_generates(stories_pack, tmp_path):
    out = shipped(stories_pack, tmp_path / "out")
    manifest = read_manifest(stories_pack)
    wanted = generate(stories_pack, "Once upon a time", max_tokens=128).text
    assert manifest.task == "text-generation"
    assert main(built(out, tmp_path), out / "model", "Once upon a time").stdout == wanted + "\n"


def test_the_build_files_name_published_releases_alone(module):
    runtime = "com.microsoft.onnxruntime:onnxruntime"
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    pom = ElementTree.parse(module / "pom.xml").getroot()
    named = [[part.text for part in entry] for entry in pom.findall("m:dependencies/m:dependency", space)]
    newest = artefact(runtime).newest
    assert named == [[*runtime.split(":"), newest], ["org.jspecify", "jspecify", tools()["jspecify"].version]]
    assert [pom.find(f"m:{name}", space).text for name in ("groupId", "artifactId", "version")] == ["com.example", "intents", "1.0.0"]
    java = [pom.find(f"m:properties/m:maven.compiler.{name}", space).text for name in ("source", "target", "release")]
    assert java == ["11", "11", "11"]  # Maven 3.8's own compiler plugin knows no release, and javac 17 nothing as old as its default
    gradle = (module / "build.gradle.kts").read_text()
    assert f'implementation("{runtime}:{newest}")' in gradle and 'mainClass.set("com.example.intents.IntentsMain")' in gradle
    assert not list(module.rglob("*Assets.java")) and "android" not in gradle


@needs_java
def test_the_jar_holds_the_modules_own_classes_alone(module):
    with zipfile.ZipFile(module / "intents.jar") as jar:
        names = jar.namelist()
    assert "com/example/intents/IntentsMain.class" in names and all(name.startswith("com/example/intents/") for name in names)


def test_the_version_and_what_the_module_refuses(pack_folder, tmp_path):
    ship(pack_folder, "jvm", tmp_path / "out", package="com.example.intents", version="3.1.4", runtime_version="1.27.0")
    pom = (tmp_path / "out" / "pom.xml").read_text()
    assert "<version>3.1.4</version>" in pom and "<version>1.27.0</version>" in pom
    assert json.loads((tmp_path / "out" / "model" / "module.json").read_text())["version"] == "3.1.4"
    with pytest.raises(EdgepackError, match="the module for jvm needs a package name"):
        ship(pack_folder, "jvm", tmp_path / "other")
    copy = shutil.copytree(pack_folder, tmp_path / "copy")
    manifest = read_manifest(copy)
    seal(copy, manifest.model_copy(update={"format": "tflite", "plan": manifest.plan.model_copy(update={"runtime": "litert"})}))
    with pytest.raises(EdgepackError, match="the jvm module has no litert"):
        ship(copy, "jvm", tmp_path / "other", package="com.example.intents")
