"""A provider that is a package of its own, onnxruntime-qnn: it starts on this machine, and what it does not take falls back."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from kotlin_compiler import kept_folder

TARGET = Path(__file__).parents[2] / "targets" / "run_onnxruntime.py"
QNN = "onnxruntime-qnn==2.7.0"


@pytest.fixture(scope="module")
def qnn() -> Path:
    """The wheel unpacked into a folder of its own: it is no part of edgepack's environment."""
    from filelock import FileLock

    place = kept_folder("onnxruntime-qnn-2.7.0")
    with FileLock(place / "lock"):
        if not (place / "done").is_file():
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-d", str(place), QNN]
            if subprocess.run(command, capture_output=True, timeout=400, check=False).returncode:
                pytest.skip("pip does not give onnxruntime-qnn for this Python")
            (wheel,) = place.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(place / "content")
            wheel.unlink()
            (place / "done").touch()
    return place / "content"


def asked(pack: Path, providers: list[str], path: Path) -> dict:
    job = {"kind": "ops", "threads": 1, "length": 16, "runs": 2, "providers": providers}
    environment = os.environ | {"PYTHONPATH": str(path)}
    command = [sys.executable, str(TARGET), str(pack), json.dumps(job)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout.splitlines()[-1])


@pytest.mark.slow
def test_qnn_starts_here_and_all_that_it_does_not_take_is_told(old_pack, qnn):
    ops = asked(old_pack, ["QNNExecutionProvider"], qnn)["ops"]
    assert {op["provider"] for op in ops} <= {"QNNExecutionProvider", "CPUExecutionProvider"} and len(ops) > 5
    both = asked(old_pack, ["QNNExecutionProvider", "XnnpackExecutionProvider"], qnn)["error"]["problem"]
    assert "no XnnpackExecutionProvider" in both
    assert "no QNNExecutionProvider" in asked(old_pack, ["QNNExecutionProvider"], Path())["error"]["problem"]
