"""Ctrl-C and SIGTERM: one line that says where the work goes on, the shell's exit code, no traceback."""

import os
import signal
import subprocess
import sys
import time

import pytest


def stopped(tmp_path, number, arguments):
    """An edgepack that gets a signal once it is at work: its exit code and what it wrote to standard error."""
    command = [sys.executable, "-m", "edgepack", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "cache").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, errors


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C (SIGINT)"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_build_that_is_stopped_says_where_it_goes_on(tmp_path, teacher_folder, data_folder, number, code, name):
    flags = ("--data", data_folder, "--profile", "raspberry-pi", "--student", "same", "--prune-heads", "25%", "--epochs", "500")
    arguments = ("build", teacher_folder, *flags, "--out", tmp_path / "out", "--cache", tmp_path / "cache")
    returned, errors = stopped(tmp_path, number, arguments)
    assert returned == code, errors
    assert f"stopped by {name}" in errors and f"Finished stages are kept in {tmp_path / 'cache'}" in errors
    assert "Traceback" not in errors and not (tmp_path / "out").exists()
