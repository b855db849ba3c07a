"""A board by ssh whose CPU is emulated goes the whole way, and no time and no memory comes from it, whatever CPU it says it is."""

import json
import subprocess
import sys

import pytest
from boards import LOAD, needs_sshd
from emulated_boards import emulated_board

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.targets import find_targets, transport
from edgepack.pack.manifest import read_manifest

pytest.importorskip("asyncssh", reason="no asyncssh: pip install 'edgepack[ssh]'")
QEMU = "qemu-aarch64, a program for x86-64"


@pytest.fixture(scope="module")
def aarch64_board(tmp_path_factory, emulated_cache):
    with emulated_board(emulated_cache, tmp_path_factory.mktemp("aarch64")) as result:
        yield result
    assert not result.folder.exists()


@needs_sshd
@pytest.mark.slow
def test_an_aarch64_board_is_checked_set_up_asked_and_cleared_as_a_user_types_it(aarch64_board, pack_folder, tmp_path):
    (tmp_path / "targets.toml").write_text(aarch64_board.table("pi", folder=".edgepack"))

    def edgepack(*words):
        command = [sys.executable, "-m", "edgepack", *map(str, words), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    def findings(check):
        return {each["what"]: each for each in check["findings"]}

    code, bare = edgepack("target", "check", "pi", pack_folder)
    assert code == 1 and findings(bare)["runtime"]["found"].startswith("no onnxruntime and no numpy for Python 3.")
    assert findings(bare)["connection"]["found"].startswith("aarch64, ") and QEMU in findings(bare)["connection"]["found"]
    code, folder = edgepack("target", "setup", "pi", "--pack", pack_folder)
    if code == 1 and "no wheels" in folder:
        pytest.skip(f"no wheels for an aarch64 board: {folder}")
    manifest = read_manifest(pack_folder)
    assert code == 0 and folder["packages"]["onnxruntime"] == manifest.versions["onnxruntime"]
    assert any(name.startswith("onnxruntime") and "aarch64" in name for name in folder["wheels"])
    code, ready = edgepack("target", "check", "pi", pack_folder)
    assert code == 0 and ready["can_run"] and findings(ready)["answers"]["ok"]
    assert "emulated" in findings(ready)["device"]["found"]  # it says that it is the Cortex-A72 of the profile
    (target,) = find_targets(["pi"], tmp_path / "targets.toml")
    with transport(target).opened(target) as machine, pytest.raises(EdgepackError, match=f"load is not measured: .* emulated by .*{QEMU}"):
        machine.push(pack_folder, manifest)
        machine.run_job(pack_folder, "onnxruntime", LOAD)
    code, report = edgepack("measure", pack_folder, "--on", "pi", "--out", tmp_path / "report")
    (row,), (emulation,) = report["targets"], report["emulations"]
    assert code == 0 and row["origin"] == "emulated" and row["failure"] is None
    assert emulation["arch"] == "aarch64" and QEMU in emulation["emulator"] and emulation["runtime"]["name"] == "onnxruntime"
    assert emulation["golden"]["largest_difference"] <= emulation["golden"]["tolerance"] and emulation["instructions"] is None
    assert report["measurements"] is None and report["verdict"] == "not measured"
    assert not [
        check for check in report["checks"] if check["name"] in ("latency_ms", "load_ms", "ram_mb") and check["origin"] == "measured"
    ]
    code, removed = edgepack("target", "remove", "pi")
    assert code == 0 and removed["removed"] == "/home/pi/.edgepack" and not aarch64_board.folder.exists()
