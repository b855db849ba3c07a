"""The Linux and Python modules prove themselves: real processes, real HTTP, and what was changed or not signed is refused."""

import base64
import configparser
import hashlib
import json
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from linux_module import imported, resign, run

from edgepack.pack.manifest import read_manifest
from edgepack.ship.shipping import ship


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path = tmp_path_factory.mktemp("key") / "key.pem"
    path.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@pytest.fixture(scope="module")
def linux(pack_folder, key, tmp_path_factory):
    """The tiny pack as a signed module for Linux."""
    out = tmp_path_factory.mktemp("ship") / "linux"
    ship(pack_folder, "linux", out, package="com.example.intents", sign=key)
    return out


@pytest.fixture
def copy(linux, tmp_path):
    return shutil.copytree(linux, tmp_path / "copy")


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_the_model_folder_lists_every_file_and_names_no_machine(linux, pack_folder):
    folder = linux / "intents" / "model"
    manifest = json.loads((folder / "module.json").read_text())
    names = {path.name for path in folder.iterdir()} - {"module.json", "module.sig"}
    assert {entry["name"] for entry in manifest["files"]} == names
    for entry in manifest["files"]:
        content = (folder / entry["name"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert manifest["pack_id"] == read_manifest(pack_folder).pack_id
    assert not {"command", "recipe", "source", "data", "profile", "plan"} & set(manifest)
    for path in linux.rglob("*"):
        if path.is_file():
            assert str(pack_folder.parent).encode() not in path.read_bytes(), path


def test_libraries_are_pinned_to_what_the_pack_was_measured_with(linux, pack_folder):
    versions = read_manifest(pack_folder).versions
    text = (linux / "requirements.txt").read_text().splitlines()
    lines = [line.removesuffix(" \\") for line in text if not line.startswith(("#", "    --hash=sha256:"))]
    assert {f"{name}=={versions[name]}" for name in ("onnxruntime", "numpy", "tokenizers")} <= set(lines)
    assert all("==" in line for line in lines) and any(line.startswith("waitress==") for line in lines)


def test_the_unit_gives_the_service_nothing_that_it_does_not_need(linux):
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read(linux / "intents.service")
    service = dict(unit["Service"])
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes" and service["ProtectSystem"] == "strict"
    assert "--self-test" in service["ExecStartPre"] and service["IPAddressDeny"] == "any"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_knows_every_line_of_the_unit(linux, tmp_path):
    """With a program and a folder that are here in the place of the module's."""
    text = (linux / "intents.service").read_text().replace("/opt/intents/.venv/bin/python", sys.executable)
    (tmp_path / "intents.service").write_text(text.replace("/opt/intents", str(tmp_path)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "intents.service")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_the_command_line_answers_and_tests_itself(linux):
    result = run(linux, "turn on the light in the kitchen")
    assert json.loads(result.stdout)["label"] == "light_on", result.stderr
    proof = run(linux, "--self-test")
    assert proof.returncode == 0 and json.loads(proof.stdout)["ok"] is True
    assert json.loads(run(linux, "-", input="turn on the light in the kitchen\n").stdout) == json.loads(result.stdout)
    wrong = run(linux, "one", "two", "three")
    assert wrong.returncode == 1 and "takes text and pair, not 3 texts" in wrong.stderr and "Traceback" not in wrong.stderr


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json"])
def test_a_changed_file_is_refused_before_the_model_is_opened(copy, name, monkeypatch):
    path = copy / "intents" / "model" / name
    flip(path, path.stat().st_size // 2)
    module = imported(copy)
    result = module.self_test()
    assert result.ok is False and f"{name} in" in result.problem and "was changed" in result.problem
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("the model was opened"))
    with pytest.raises(module.Changed):
        module.load()


def test_a_changed_golden_file_and_other_answers_make_the_self_test_say_no(copy, key):
    path = copy / "intents" / "model" / "golden.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    entries[2]["output"][0] += 1
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    result = run(copy, "--self-test")
    assert result.returncode == 1 and "golden.jsonl" in json.loads(result.stdout)["problem"]
    resign(copy / "intents" / "model", key)
    result = imported(copy).self_test()
    assert not result.ok and "answered otherwise: off by 1" in result.problem and result.ids_equal == 3


@pytest.mark.parametrize("damage", ["manifest", "missing", "nonsense", "other key"])
def test_what_is_not_signed_by_the_known_key_is_refused(copy, damage):
    signature = copy / "intents" / "model" / "module.sig"
    match damage:
        case "manifest":
            path = signature.with_name("module.json")
            path.write_text(path.read_text().replace('"golden_tolerance": 0.05', '"golden_tolerance": 9.99'))
        case "missing":
            signature.unlink()
        case "nonsense":
            signature.write_text("nonsense!")
        case _:
            signature.write_bytes(base64.b64encode(bytes(64)))
    module = imported(copy)
    with pytest.raises(module.Changed, match="sign"):
        module.load()


def test_an_unsigned_module_asks_for_no_signature(pack_folder, tmp_path):
    ship(pack_folder, "python", tmp_path / "out", name="intents")
    assert "cryptography" not in (tmp_path / "out" / "pyproject.toml").read_text()
    assert not (tmp_path / "out" / "intents" / "server.py").exists()
    assert imported(tmp_path / "out").self_test().ok


@contextmanager
def served(folder: Path):
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "intents", "--serve", "--port", "0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    guard = threading.Timer(60, process.kill)
    guard.start()
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        guard.cancel()
        process.terminate()
        process.wait(10)


def asked(url: str, content: bytes | None = None, method: str | None = None):
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as result:
            return result.status, json.load(result)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_endpoint_answers_refuses_and_stays_up(linux):
    with served(linux) as url:
        assert url.startswith("http://127.0.0.1:")
        assert asked(url + "health")[1]["task"] == "text-classification"
        status, result = asked(url + "answer", json.dumps({"text": "turn on the light"}).encode())
        assert status == 200 and result["label"] == "light_on" and result["cut"] is False
        for content, code, says in (
            (b"{", 400, "is not JSON"),
            (b'{"text": "\xff"}', 400, "is not JSON"),
            (b"[]", 422, "not a JSON object"),
            (b'{"txt": "a"}', 422, "unknown key 'txt'"),
            (b"{}", 422, "missing key 'text'"),
            (b'{"text": 5}', 422, "must be str, not int"),
            (b'{"text": null}', 422, "must be str, not NoneType"),
            (b'{"text": "\\ud800"}', 422, "lone surrogate"),
            (json.dumps({"text": "a" * 70_000}).encode(), 413, "the most are 65536"),
        ):
            status, result = asked(url + "answer", content)
            assert (status, says in result["error"]["problem"]) == (code, True), (content[:40], status, result)
            assert result["error"]["fix"]
        assert asked(url + "nowhere")[0] == 404 and asked(url + "answer")[0] == 405
        long = asked(url + "answer", json.dumps({"text": "light " * 500}).encode())[1]
        assert long["cut"] is True
        with ThreadPoolExecutor(8) as pool:
            texts = [f"turn on the light {number % 5}" for number in range(24)]
            many = list(pool.map(lambda text: asked(url + "answer", json.dumps({"text": text}).encode()), texts))
        assert {status for status, _ in many} <= {200, 503}
        for number, (status, result) in enumerate(many):
            assert status == 503 or result == next(other for code, other in many[number % 5 :: 5] if code == 200)


def test_a_decoder_writes_on_the_command_line_and_over_http(stories_pack, tmp_path):
    out = tmp_path / "out"
    ship(stories_pack, "linux", out, name="intents")
    text = run(out, "Once upon a time", "--max-tokens", "20").stdout.rstrip("\n")
    with served(out) as url:
        asked_for = {"prompt": "Once upon a time", "max_tokens": 20}
        status, result = asked(url + "answer", json.dumps(asked_for).encode())
        assert status == 200 and result["text"].rstrip("\n") == text and result["ended_by"] == "max_tokens"
        for more, says in (
            ({"max_tokens": "many"}, "max_tokens is not a number of its kind"),
            ({"max_tokens": -1}, "settings out of range"),
            ({"temperature": True}, "temperature is not a number"),
            ({"prompt": 5}, "must be str"),
            ({"beams": 4}, "unknown key 'beams'"),
        ):
            status, result = asked(url + "answer", json.dumps(asked_for | more).encode())
            assert (status, says in result["error"]["problem"]) == (422, True), result


def test_a_reader_that_has_enough_of_a_text_ends_the_command_without_a_traceback(stories_pack, tmp_path):
    ship(stories_pack, "linux", tmp_path / "out", name="stories")
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "/v1/chat/completions" not in readme and '"stream": true' in readme  # the model has no chat template
    command = [sys.executable, "-m", "stories", "Once upon a time"]
    with subprocess.Popen(command, cwd=tmp_path / "out", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(3)
        process.stdout.close()
        complaint = process.stderr.read().decode()
    assert "Traceback" not in complaint and "Broken" not in complaint
