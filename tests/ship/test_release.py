"""A signed module opens its own model only: not another module's, not an older one, not one past its time, not a stranger's."""

import hashlib
import json
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path

import jvm
import pytest
from linux_module import imported, resign, run

from edgepack.core.errors import EdgepackError
from edgepack.ship.jvm.sources import write_sources
from edgepack.ship.release import read_release
from edgepack.ship.shipping import ship

CASES = [  # what is changed in module.json, which is signed anew with the right key, and what each language answers
    ({}, None),
    ({"version": "2.0.0"}, None),
    ({"expires": "2999-01-01T00:00:00Z"}, None),
    ({"name": "other"}, "belongs to the module"),
    ({"version": "1.3.9"}, "opens 1.4.0 or newer"),
    ({"version": "1.10"}, "opens 1.4.0 or newer"),
    ({"version": "9.0.0-evil"}, "opens 1.4.0 or newer"),
    ({"expires": "2020-01-01T00:00:00Z"}, "expired at"),
    ({"expires": "never"}, "expir"),
    ({"expires": "2999-01-01"}, "expir"),
]


def new_key(folder: Path, name: str = "key") -> Path:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key, path = Ed25519PrivateKey.generate(), folder / f"{name}.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    path.with_suffix(".pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return new_key(folder, "now"), new_key(folder, "next")


@pytest.fixture(scope="module")
def linux(pack_folder, keys, tmp_path_factory):
    out = tmp_path_factory.mktemp("release") / "linux"
    ship(
        pack_folder, "linux", out, name="intents", sign=keys[0], version="1.5.0", minimum_version="1.4.0",
        also_trust=(keys[1].with_suffix(".pub"),),
    )  # fmt: skip
    return out


def changed(folder: Path, change: dict, key: Path) -> None:
    path = folder / "module.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    resign(folder, key)


@pytest.mark.parametrize(("change", "says"), CASES)
def test_python_opens_its_own_model_only(linux, keys, tmp_path, change, says):
    copy = shutil.copytree(linux, tmp_path / "copy")
    changed(copy / "intents" / "model", change, keys[0])
    result = imported(copy).self_test()
    assert result.ok is (says is None) and (says is None or says in result.problem), result


def test_a_second_key_is_trusted_and_a_third_is_not(linux, keys, tmp_path):
    for key, ok in ((keys[1], True), (new_key(tmp_path), False)):
        copy = shutil.copytree(linux, tmp_path / key.parent.name / f"copy-{ok}")
        changed(copy / "intents" / "model", {}, key)
        result = imported(copy).self_test()
        assert result.ok is ok and (ok or "is not signed by a key" in result.problem)


def spellings(signature: str) -> list[str]:
    """The same signature as base64 reads it, written in other bytes: none of them was shipped."""
    line = signature.rstrip("\n")
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = digits[digits.index(line[-3]) ^ 1]  # of the last character before == only two bits count
    return [line, line + "\n\n", " " + signature, line + "\r\n", line[:-3] + last + "==\n", line.rstrip("=") + "\n"]


@pytest.fixture(scope="module")
def respelt(linux, tmp_path_factory):
    """Model folders whose module.sig means the same and is another file."""
    model, folders = linux / "intents" / "model", []
    for index, text in enumerate(spellings((model / "module.sig").read_text())):
        folders.append(shutil.copytree(model, tmp_path_factory.mktemp("respelt") / str(index)))
        (folders[-1] / "module.sig").write_bytes(text.encode())
    return folders


def test_python_takes_no_other_spelling_of_a_signature(linux, respelt, tmp_path):
    for index, folder in enumerate(respelt):
        copy = shutil.copytree(linux, tmp_path / str(index))
        shutil.copyfile(folder / "module.sig", copy / "intents" / "model" / "module.sig")
        assert "is not signed by a key" in imported(copy).self_test().problem


@jvm.needs_java
def test_java_opens_its_own_model_only(linux, keys, respelt, tmp_path):
    release = read_release("1.5.0", "1.4.0", None, (json.loads((linux / "ship.json").read_text())["signed_by"],), ())
    sources = write_sources(tmp_path / "java", "edgepack.module", "intents", "onnx", release)
    core = [path for path in sources if (jvm.JAVA / "core" / path.name).is_file() and path.name != "IntentsModel.java"]
    main = tmp_path / "Opened.java"
    main.write_text(
        """package edgepack.module;
        public final class Opened {
            public static void main(String[] folders) {
                for (String folder : folders) {
                    try {
                        Integrity.manifest(new FolderFiles(new java.io.File(folder)));
                        System.out.println("opened");
                    } catch (PackException error) {
                        System.out.println(error.getMessage());
                    }
                }
            }
        }"""
    )
    wanted = [*(path for path in core if path.stem in CORE), *(jvm.STUBS / "org" / "jspecify").rglob("*.java")]
    subprocess.run(["javac", *jvm.SHORT_RUN, "-d", str(tmp_path / "classes"), *map(str, wanted), str(main)], check=True)
    folders = []
    for index, (change, _) in enumerate(CASES):
        folders.append(shutil.copytree(linux / "intents" / "model", tmp_path / f"model{index}"))
        changed(folders[-1], change, keys[0])
    command = ["java", "-cp", str(tmp_path / "classes"), "edgepack.module.Opened", *map(str, folders + respelt)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    others = [lines.pop() for _ in respelt]
    assert all("is not signed by a key" in line or "is no base64" in line for line in others), others
    for line, (_, says) in zip(lines, CASES, strict=True):
        assert line == "opened" if says is None else says in line


CORE = {
    "Integrity",
    "Signer",
    "Ed25519",
    "Manifest",
    "ManifestFields",
    "ManifestTable",
    "Fields",
    "Json",
    "ModuleFiles",
    "FolderFiles",
    "PackException",
}


@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_the_web_module_opens_its_own_model_only(pack_folder, linux, keys, respelt, tmp_path):
    ship(pack_folder, "web", tmp_path / "web", name="intents", sign=keys[0], version="1.5.0", minimum_version="1.4.0")
    model, cases = linux / "intents" / "model", []
    for index, (change, _) in enumerate(CASES):
        folder = shutil.copytree(model, tmp_path / f"model{index}")
        changed(folder, change, keys[0])
        cases.append([(folder / name).read_text() for name in ("module.json", "module.sig")])
    stranger = shutil.copytree(model, tmp_path / "stranger")
    changed(stranger, {}, new_key(tmp_path))
    refused = [stranger, *respelt]
    cases += [[(folder / name).read_bytes().decode() for name in ("module.json", "module.sig")] for folder in refused]
    script = tmp_path / "web" / "src" / "check.mjs"
    script.write_text(
        """import { readFileSync } from "node:fs";
        import { checkRelease, checkSignature } from "./files.js";
        import * as signer from "./signer.js";
        const bytes = (text) => new TextEncoder().encode(text);
        const found = [];
        for (const [text, signature] of JSON.parse(readFileSync(0))) {
          try {
            await checkSignature(bytes(text), bytes(signature), signer.PUBLIC_KEYS);
            checkRelease(JSON.parse(text), signer, new Date());
            found.push("opened");
          } catch (error) { found.push(error.message); }
        }
        console.log(JSON.stringify(found));"""
    )
    (tmp_path / "web" / "src" / "package.json").write_text('{"type": "module"}')
    done = subprocess.run(["node", str(script)], input=json.dumps(cases), capture_output=True, text=True, check=True)
    lines = json.loads(done.stdout)
    assert all("is not signed by a key" in lines.pop() for _ in refused)
    for line, (_, says) in zip(lines, CASES, strict=True):
        assert line == "opened" if says is None else says in line


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"version": "1.0"}, "^--version '1.0' is not a version of a module"),
        ({"minimum_version": "1.0"}, "^--minimum-version '1.0' is not a version of a module"),
        ({"version": "1.0.0\n"}, "is not a version of a module"),
        ({"minimum_version": "2.0.0"}, "the module would refuse its own model"),
        ({"expires": "0d"}, "is no time to come"),
        ({"expires": "2001-01-01"}, "is no time to come"),
        ({"also_trust": ["missing.pub"]}, "the module is not signed"),
    ],
)
def test_what_is_no_release_is_refused_before_any_work(pack_folder, tmp_path, given, says):
    with pytest.raises(EdgepackError, match=says):
        ship(pack_folder, "linux", tmp_path / "out", name="intents", **given)
    assert list(tmp_path.iterdir()) == []


def test_every_file_stands_in_the_sums_and_in_a_statement_that_the_key_signed(linux, keys):
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    sums = dict(line.split("  ")[::-1] for line in (linux / "SHA256SUMS").read_text().splitlines())
    files = {path.relative_to(linux).as_posix(): path for path in linux.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert set(sums) == set(files) - {"SHA256SUMS"}
    assert all(hashlib.sha256(files[name].read_bytes()).hexdigest() == digest for name, digest in sums.items())
    statement = (linux / "attestation.json").read_bytes()
    envelope = json.loads((linux / "attestation.dsse.json").read_text())
    assert b64decode(envelope["payload"]) == statement
    kind = envelope["payloadType"].encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(statement), statement)
    load_pem_public_key(keys[0].with_suffix(".pub").read_bytes()).verify(b64decode(envelope["signatures"][0]["sig"]), signed)
    content = json.loads(statement)
    assert content["predicate"]["buildDefinition"]["externalParameters"]["version"] == "1.5.0"
    assert {each["name"] for each in content["subject"]} == set(sums) - {"attestation.json", "attestation.dsse.json"}


def test_a_key_that_others_can_read_is_warned_about(pack_folder, tmp_path):
    key = new_key(tmp_path)
    assert ship(pack_folder, "linux", tmp_path / "closed", name="intents", sign=key).warnings == ()
    key.chmod(0o644)
    (warning,) = ship(pack_folder, "linux", tmp_path / "open", name="intents", sign=key).warnings
    assert "chmod 600" in warning


def test_the_module_says_its_version(linux):
    assert run(linux, "--version").stdout.strip() == "intents 1.5.0"


@pytest.mark.parametrize("stated", ["99999999999999999999", "²", "1e5", "-1", "253402300800", " 5", "٣", "x"])
def test_a_time_of_creation_that_is_none_is_refused(stated, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", stated)
    with pytest.raises(EdgepackError, match="SOURCE_DATE_EPOCH is no time of a module"):
        read_release("1.0.0", None, None, (), ())


def test_a_module_is_not_over_before_it_is_shipped(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert read_release("1.0.0", None, None, (), ()).created == "1970-01-01T00:00:00Z"
    for expires in ("90d", "2001-01-01"):
        with pytest.raises(EdgepackError, match="is no time to come"):
            read_release("1.0.0", None, expires, (), ())
