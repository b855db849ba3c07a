"""Ctrl-C and SIGTERM: one line that says where the work goes on, the shell's exit code, no traceback, nothing half-written.

One handler takes both, so a build gets each of them, and every other command one.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from boards import make_wheel, needs_sshd, running, running_in

from edgepack.pack.manifest import check_files, read_manifest

SIGNALS = [(signal.SIGINT, 130, "Ctrl-C (SIGINT)"), (signal.SIGTERM, 143, "SIGTERM")]


def stopped(tmp_path, number, arguments, at_work, after_s=0.0):
    """An edgepack whose processes get a signal, as a terminal sends it, once it is at work: exit code, and standard error."""
    command = [sys.executable, "-m", "edgepack", *map(str, arguments)]
    remaining = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True, "cwd": tmp_path, "start_new_session": True}
    process = subprocess.Popen(command, **remaining)
    try:
        deadline = time.monotonic() + 200
        while not at_work() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(after_s)
        assert process.poll() is None, process.communicate()[1]
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "Traceback" not in errors, errors
    return process.returncode, errors


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "name"), SIGNALS)
def test_a_build_that_is_stopped_says_where_it_goes_on(tmp_path, teacher_folder, data_folder, number, code, name):
    flags = ("--data", data_folder, "--profile", "raspberry-pi", "--student", "same", "--prune-heads", "25%", "--epochs", "500")
    arguments = ("build", teacher_folder, *flags, "--out", tmp_path / "out", "--cache", tmp_path / "cache")
    returned, errors = stopped(tmp_path, number, arguments, (tmp_path / "cache" / "unfinished").exists)
    assert returned == code, errors
    assert f"stopped by {name}" in errors and f"Finished stages are kept in {tmp_path / 'cache'}" in errors
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "name", "out"), [(*SIGNALS[0], None), (*SIGNALS[1], "out")])
def test_a_measuring_that_is_stopped_leaves_the_reports_as_they_were(tmp_path, pack_folder, number, code, name, out):
    pack = shutil.copytree(pack_folder, tmp_path / "pack")
    arguments = ("measure", pack, "--quick", "--force", *(["--out", tmp_path / out] if out else []))
    returned, errors = stopped(tmp_path, number, arguments, lambda: running_in(tmp_path))
    assert returned == code and f"stopped by {name}. The reports in {tmp_path / (out or 'pack')} are as they were" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["pack"] and not running_in(tmp_path)
    check_files(pack, read_manifest(pack))
    assert (pack / "report.json").read_bytes() == (pack_folder / "report.json").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "name"), SIGNALS[:1])
def test_a_shipping_that_is_stopped_leaves_no_module(tmp_path, pack_folder, number, code, name):
    arguments = ("ship", pack_folder, "--for", "python", "--name", "intents", "--out", tmp_path / "module")
    for _ in range(20):
        returned, errors = stopped(tmp_path, number, arguments, (tmp_path / ".module.partial").exists)
        if returned:
            break
        shutil.rmtree(tmp_path / "module")  # it was whole before the signal came: a module is written in a moment
    assert returned == code and f"stopped by {name}. No module was left in {tmp_path / 'module'}" in errors
    assert list(tmp_path.iterdir()) == []


@needs_sshd
@pytest.mark.slow
@pytest.mark.parametrize(  # 0.1 s later other callbacks of the connection's event loop are at work
    ("number", "code", "name", "after_s"), [(*SIGNALS[0], 0.1), (*SIGNALS[1], 0.0)]
)
def test_a_set_up_that_is_stopped_counts_for_nothing(tmp_path, number, code, name, after_s):
    pytest.importorskip("asyncssh", reason="no asyncssh: pip install 'edgepack[ssh]'")
    (tmp_path / "wheels").mkdir()
    for package in ("onnxruntime", "numpy", "tokenizers"):
        make_wheel(package, tmp_path / "wheels")
    with running(tmp_path) as board:
        (tmp_path / "targets.toml").write_text(board.table("board"))
        arguments = ("target", "setup", "board", "--wheels", tmp_path / "wheels")
        returned, errors = stopped(tmp_path, number, arguments, board.folder.exists, after_s)
        assert returned == code and f"stopped by {name}. What was begun on board counts for nothing" in errors
        done = subprocess.run([sys.executable, "-m", "edgepack", *map(str, arguments)], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0 and board.left() == ["edgepack"], done.stderr
