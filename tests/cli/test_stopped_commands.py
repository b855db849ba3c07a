"""A signal in the middle of each other command: its exit code, one line that says what is kept, nothing half-written.

One handler takes SIGINT and SIGTERM: test_signals.py sends both to a build, and each command here gets one of them.
"""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SIGNALS = [(signal.SIGINT, 130, "Ctrl-C (SIGINT)"), (signal.SIGTERM, 143, "SIGTERM")]


def stopped(arguments, number, at_work, place):
    """Exit code and standard error of a command that gets a signal once it is at work."""
    command = [sys.executable, "-m", "edgepack", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=place)
    try:
        deadline = time.monotonic() + 200
        while not at_work(process.pid) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None, process.communicate()[1]
        process.send_signal(number)
        _, errors = process.communicate(timeout=100)
    finally:
        process.kill()
    assert "Traceback" not in errors, errors
    return process.returncode, errors


def with_the_runtime(process):
    """Whether the process has loaded onnxruntime: it opens the model."""
    return "onnxruntime" in (Path("/proc") / str(process) / "maps").read_text()


def children(process):
    return (Path("/proc") / str(process) / "task" / str(process) / "children").read_text().split()


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="looks at /proc")
@pytest.mark.parametrize(("number", "code", "name"), SIGNALS[1:])
def test_a_verifying_that_is_stopped_says_that_nothing_is_known(tmp_path, pack_folder, number, code, name):
    before = {path.name: path.stat().st_mtime_ns for path in pack_folder.iterdir()}
    returned, errors = stopped(("verify", pack_folder), number, lambda process: with_the_runtime(process) or children(process), tmp_path)
    assert returned == code and f"stopped by {name}. The pack is as it was; nothing is known of it yet." in errors
    assert {path.name: path.stat().st_mtime_ns for path in pack_folder.iterdir()} == before and not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="looks at /proc")
@pytest.mark.parametrize(("number", "code", "name"), SIGNALS[:1])
def test_a_comparison_that_is_stopped_leaves_no_page(tmp_path, pack_folder, number, code, name):
    other = shutil.copytree(pack_folder, tmp_path / "other")
    arguments = ("compare", pack_folder, other, "--quick", "--force", "--out", tmp_path / "page")
    returned, errors = stopped(arguments, number, children, tmp_path)
    assert returned == code and f"stopped by {name}. No page was written." in errors
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "name"), SIGNALS[1:])  # test_search.py sends the other
def test_a_search_that_is_stopped_in_its_first_training_leaves_no_front_and_goes_on(
    tmp_path, teacher_folder, data_folder, number, code, name
):
    flags = ("--data", data_folder, "--profile", "raspberry-pi", "--trials", "2", "--epochs", "300", "--score-drop", "100")
    places = ("--cache", tmp_path / "cache", "--out", tmp_path / "front")
    returned, errors = stopped(("search", teacher_folder, *flags, *places), number, lambda _: any(tmp_path.rglob("unfinished/*")), tmp_path)
    assert returned == code and f"stopped by {name}" in errors and "start the same command again" in errors, errors
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}
