"""What pip installs for a module is the very files that edgepack knows, or that the index stated when the module was shipped."""

import contextlib
import functools
import hashlib
import http.server
import json
import re
import subprocess
import sys
import threading
from importlib.metadata import version

import pytest
from boards import make_wheel

from edgepack.core.escape import requirement
from edgepack.plan.runtime import python_runtimes
from edgepack.ship.python_code import CHECKER, CHECKER_VERSION, DECODER, DECODER_VERSION, RENDERER, SERVER, SERVER_VERSION
from edgepack.ship.shipping import ship
from edgepack.ship.wheel_hashes import _KNOWN, EVERYWHERE, LINUX, _covered, pinned


def test_the_hashes_of_all_that_a_module_can_need_are_known_without_a_network(monkeypatch):
    """Whoever raises a version writes wheels.json anew: python -m edgepack.ship.wheel_hashes NAME==VERSION ..."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    exact = [(each.package, each.version) for each in python_runtimes() if not each.pins and each.package != "onnxruntime"]
    exact += [(name, version(name)) for name in ("onnxruntime", "tokenizers", "numpy")]
    exact += [(SERVER, SERVER_VERSION), (CHECKER, CHECKER_VERSION), ("cffi", "2.1.1"), (DECODER, DECODER_VERSION), *RENDERER.items()]
    result = pinned([requirement(*each) for each in exact], EVERYWHERE)
    assert result.problem is None and result.warnings == ()
    names = ", ".join(system.name for system in EVERYWHERE[:-1])
    assert result.covers == f"CPython 3.11, 3.12, 3.13 and 3.14 on {names} and {EVERYWHERE[-1].name}"
    for name, _ in exact:
        assert re.search(rf"^{name}==\S+( \\\n    --hash=sha256:[0-9a-f]{{64}})+$", result.text, re.MULTILINE), name


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["numpy>=1.23,<2", "waitress==3.0.2"], "numpy>=1.23,<2 names no single version"),
        (["waitress==0.0.1"], "gave no hash of waitress==0.0.1"),
    ],
)
def test_where_one_has_no_hash_none_has_and_the_file_says_why(lines, says, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    result = pinned(lines)
    assert says in result.problem and result.text.startswith(f"# Without hashes: {result.problem}") and "--hash" not in result.text
    assert result.text.splitlines()[1:] == lines and says in result.warnings[0]


def test_a_board_gets_no_hash_of_a_desktops_wheel():
    (line,) = (line for line in json.loads(_KNOWN.read_text()) if line.startswith("onnxruntime=="))
    files = json.loads(_KNOWN.read_text())[line]
    everywhere, board = pinned([line], EVERYWHERE).text, pinned([line], LINUX).text
    assert all(digest in everywhere for digest in files.values())
    assert all((digest in board) == ("linux" in name) for name, digest in files.items())


def test_only_systems_with_a_wheel_of_every_library_are_named():
    every = {"a-1.0-py3-none-any.whl": "0"}
    some = {"b-1.0-cp312-cp312-win_amd64.whl": "1", "b-1.0-cp312-abi3-manylinux_2_28_aarch64.whl": "2"}
    linux = LINUX[1].name
    assert _covered([every, some], EVERYWHERE) == f"CPython 3.12, 3.13 and 3.14 on {linux}; CPython 3.12 on Windows x86_64"
    assert _covered([every, {"b-1.0-cp312-cp312-musllinux_1_2_x86_64.whl": "1"}], EVERYWHERE) == ""


@contextlib.contextmanager
def index_of(folder, wheel):
    """A package index on loopback, as pip reads one, that states the hash of its one wheel."""
    name = wheel.name.partition("-")[0]
    page = folder / "simple" / name
    page.mkdir(parents=True)
    wheel.rename(folder / wheel.name)
    digest = hashlib.sha256((folder / wheel.name).read_bytes()).hexdigest()
    (page / "index.html").write_text(f'<!DOCTYPE html><html><body><a href="/{wheel.name}#sha256={digest}">{wheel.name}</a></body></html>')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/simple", digest
        server.shutdown()


@pytest.mark.slow
def test_pip_asks_its_index_for_what_is_not_known_and_refuses_another_file_later(tmp_path, monkeypatch):
    (tmp_path / "made").mkdir()
    wheel = make_wheel("filelock", tmp_path / "made")
    with index_of(tmp_path / "index", wheel) as (address, digest):
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", address)
        result = pinned([f"filelock=={version('filelock')}"])
        assert result.problem is None and result.text.endswith(f"filelock=={version('filelock')} \\\n    --hash=sha256:{digest}\n")
        for text, code in ((result.text, 0), (result.text.replace(digest, "0" * 64), 1)):
            (tmp_path / "requirements.txt").write_text(text)
            command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", tmp_path / f"site{code}", "-r", "requirements.txt"]
            done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == code and ("DO NOT MATCH THE HASHES" in done.stderr) == bool(code), done.stderr


def test_both_python_platforms_ship_a_file_of_hashes_and_say_so(pack_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for platform in ("linux", "python"):
        shipped = ship(pack_folder, platform, tmp_path / platform, name="intents")
        assert not [warning for warning in shipped.warnings if "hashes" in warning]
        text = (tmp_path / platform / "requirements.txt").read_text()
        assert text.count("--hash=sha256:") > 10 and text.startswith("# Exact versions, with the sha256 of each wheel")
        readme = (tmp_path / platform / "README.md").read_text()
        assert "pip installs those files and no others" in readme
        for told in (text, readme):  # where a user of another system meets it
            assert ("Windows x86_64" in told) == (platform == "python") and "on another Python, system or CPU it says" in told
        assert "requirements.txt" in json.dumps(json.loads((tmp_path / platform / "attestation.json").read_text())["subject"])
