"""A pack becomes a module of somebody's app: refused before any work where it cannot be, and written whole."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import edgepack_here

from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import read_manifest, seal
from edgepack.ship.module_files import licences_of
from edgepack.ship.platforms import platform_names
from edgepack.ship.shipping import ship


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"platform": "linus"}, "(?s)unknown platform.*did you mean 'linux'"),
        ({"platform": "docker"}, "(?s)unknown platform.*ship it --for linux"),
        ({"platform": "debian"}, "(?s)unknown platform.*ship it --for deb"),
        ({"name": "Intents"}, "'Intents', is not a name for a module"),
        ({"name": "my intents"}, "is not a name for a module"),
        ({"name": "../up"}, "is not a name for a module"),
        ({"name": "class"}, "is a word of the language"),
        ({"name": "json"}, "would replace the package of that name"),
        ({"name": "numpy"}, "would replace the package of that name"),
        ({"package": "intents"}, "it has only one part"),
        ({"package": "com.example.new"}, "'new' is a word of Java or Kotlin"),
        ({"package": "com.fun.intents"}, "'fun' is a word of Java or Kotlin"),
        ({"package": "com.example.when"}, "'when' is a word of Java or Kotlin"),
        ({"package": "com.Example.x"}, "'Example' is not a part of one"),
        ({"sign": "nowhere.pem"}, "no private key file"),
    ],
)
def test_what_cannot_be_shipped_is_refused_before_any_work(pack_folder, tmp_path, given, says):
    with pytest.raises(EdgepackError, match=says):
        ship(pack_folder, **({"platform": "linux", "out": tmp_path / "out"} | given))
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_what_the_module_adds_and_a_mistake_without_a_traceback(pack_folder, tmp_path):
    command = ["ship", pack_folder, "--for", "web", "--out", tmp_path / "web", "--json"]
    done = edgepack_here(*command)
    result = json.loads(done.stdout)
    assert done.returncode == 0 and result == json.loads((tmp_path / "web" / "ship.json").read_text())
    assert result["warnings"] == [] and result["platform"] == "web"
    again = edgepack_here(*command)
    assert again.returncode == 1 and "output is not empty" in again.stderr and "Traceback" not in again.stderr


@pytest.mark.parametrize("platform", ["python", "linux", "deb", "web", "jvm"])
def test_shipping_leaves_nothing_on_the_machine_but_the_module(pack_folder, tmp_path, platform):
    """What setup and measure leave: tests/measure/test_transports.py."""
    home, scratch, pack = tmp_path / "home", tmp_path / "scratch", shutil.copytree(pack_folder, tmp_path / "pack")
    home.mkdir(), scratch.mkdir()
    before = {path.relative_to(pack): path.stat().st_mtime_ns for path in pack.rglob("*")}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_") and name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-m", "edgepack", "ship", str(pack), "--for", platform, "--out", str(tmp_path / "out" / "module")]
    command += ["--package", "com.example.intents"] if platform == "jvm" else []
    environment |= {"HOME": str(home), "TMPDIR": str(scratch)}
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(home.rglob("*")) and not list(scratch.rglob("*"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["module"]
    assert {path.relative_to(pack): path.stat().st_mtime_ns for path in pack.rglob("*")} == before


def test_npm_installs_exactly_the_packages_whose_hashes_are_known(pack_folder, tmp_path):
    ship(pack_folder, "web", tmp_path / "out", name="intents", version="2.1.0")
    package, lock = (json.loads((tmp_path / "out" / name).read_text()) for name in ("package.json", "package-lock.json"))
    root = lock["packages"][""]
    assert root["devDependencies"] == package["devDependencies"] and root["version"] == lock["version"] == package["version"] == "2.1.0"
    assert root["name"] == lock["name"] == package["name"] == "intents"
    assert all(entry["integrity"].startswith("sha512-") for place, entry in lock["packages"].items() if place)


def test_web_says_which_precision_is_better_there(pack_folder, tmp_path):
    copy = shutil.copytree(pack_folder, tmp_path / "floats")
    seal(copy, read_manifest(copy).model_copy(update={"precision": "fp32"}))
    (warning,) = ship(copy, "web", tmp_path / "out").warnings
    assert "slower in WebAssembly" in warning and warning in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("content", ["nonsense", "rsa"])
def test_only_an_ed25519_key_signs(pack_folder, tmp_path, content):
    path = tmp_path / "key.pem"
    path.write_text(content)
    if content == "rsa":
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        path.write_bytes(generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(EdgepackError, match="not a private key in PEM|another kind of key"):
        ship(pack_folder, "linux", tmp_path / "out", sign=path)


def test_a_pack_that_does_not_verify_and_a_folder_in_use_are_refused(pack_folder, tmp_path):
    broken = shutil.copytree(pack_folder, tmp_path / "broken")
    with (broken / "model.onnx.data").open("ab") as file:
        file.write(b"x")
    with pytest.raises(EdgepackError, match=r"model.onnx.data in .* was changed"):
        ship(broken, "linux", tmp_path / "out")
    with pytest.raises(EdgepackError, match="output is not empty"):
        ship(pack_folder, "linux", broken)


def test_a_pack_without_its_reports_is_shipped_into_an_empty_folder(pack_folder, tmp_path):
    bare = shutil.copytree(pack_folder, tmp_path / "bare")
    for name in ("report.json", "report.md", "report.html"):
        (bare / name).unlink()
    (tmp_path / "out").mkdir()
    assert ship(bare, "python", tmp_path / "out").name == "bare"
    assert (tmp_path / "out" / "bare" / "model" / "module.json").is_file()


def test_a_module_is_written_whole_or_not_at_all(pack_folder, tmp_path, monkeypatch):
    from edgepack.ship.platforms import linux

    monkeypatch.setattr(linux, "write_package", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ship(pack_folder, "linux", tmp_path / "out", name="intents")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("platform", platform_names())
def test_every_module_says_how_to_use_it_what_it_adds_and_whose_it_is(pack_folder, tmp_path, platform):
    shipped = ship(pack_folder, platform, tmp_path / "out", package="com.example.intents")
    assert json.loads((tmp_path / "out" / "ship.json").read_text()) == shipped.as_json()
    parts = {each.part for each in shipped.sizes}
    assert {"model", "tokenizer", "runtime", "code", "proof"} <= parts
    assert all(each.source for each in shipped.sizes if each.bytes is not None)
    readme, licences = ((tmp_path / "out" / name).read_text() for name in ("README.md", "LICENCES.md"))
    assert "intents" in readme and "## What it adds to an app" in readme and "None" not in readme
    assert "Apache-2.0" in licences and "the model's card does not state it" in licences
    place = str(Path(read_manifest(pack_folder).recipe.model).parent).encode()
    naming = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file() and place in path.read_bytes()]
    assert naming == [], "a module names no folder of the machine that built it"


def test_the_licences_of_an_older_pack_name_no_folder_of_its_model(pack_folder):
    manifest = read_manifest(pack_folder)
    source = manifest.source.model_copy(update={"name": "/home/ada/secret client/my model"})
    carried = licences_of(SimpleNamespace(manifest=manifest.model_copy(update={"source": source})))
    assert carried[0].what == "the model, made from my model"


KEPT = {  # where each platform's package says its version
    "android": ("build.gradle.kts", 'version = "2.3.4"'),
    "deb": ("edgepack-intents_2.3.4_all.deb", ""),
    "jvm": ("pom.xml", "<version>2.3.4</version>"),
    "linux": ("Dockerfile", 'image.version="2.3.4"'),
    "python": ("pyproject.toml", 'version = "2.3.4"'),
    "web": ("package.json", '"version": "2.3.4"'),
}


@pytest.mark.parametrize("platform", platform_names())
def test_every_package_keeps_the_version(pack_folder, tmp_path, platform):
    ship(pack_folder, platform, tmp_path / "out", package="com.example.intents", version="2.3.4")
    name, text = KEPT[platform]
    path = tmp_path / "out" / name
    if platform == "deb" and not path.is_file():
        path = tmp_path / "out" / name.removesuffix(".deb") / "DEBIAN" / "control"
    assert text.encode() in path.read_bytes()
    stated = [json.loads(path.read_text())["version"] for path in (tmp_path / "out").rglob("module.json")]
    assert stated == ([] if path.suffix == ".deb" else ["2.3.4"])


def test_web_refuses_what_its_module_does_not_know(pack_folder, tmp_path):
    other = shutil.copytree(pack_folder, tmp_path / "other")
    manifest = read_manifest(other)
    seal(other, manifest.model_copy(update={"format": "tflite"}))
    with pytest.raises(EdgepackError, match="build the pack with --format onnx"):
        ship(other, "web", tmp_path / "out")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    (other / "tokenizer.json").write_text(json.dumps(tokenizer | {"normalizer": {"type": "NFC"}}))
    seal(other, manifest.model_copy(update={"task": "question-answering", "answers": None}))
    with pytest.raises(EdgepackError, match=r"(?s)cannot find where a token is.*ship it --for android, linux or python"):
        ship(other, "web", tmp_path / "out")
    seal(other, manifest)
    (other / "tokenizer.json").write_text(json.dumps(tokenizer | {"model": {"type": "Odd"}}))
    seal(other, read_manifest(other))
    with pytest.raises(EdgepackError, match="cannot run the tokenizer Odd"):
        ship(other, "web", tmp_path / "out")
