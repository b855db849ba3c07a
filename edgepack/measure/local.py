"""Transport `local`: runs a target's job on this machine, in a fresh process that knows nothing of edgepack."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepack.errors import EdgepackError
from edgepack.shipped import shipped

TIME_OUT_S = 3600


def run_job(folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]:
    """The target's one JSON object for one job. EdgepackError where it refuses, crashes, says nothing or takes over an hour."""
    with _command(folder, runtime, job) as command:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_OUT_S, env=_environment(), check=False)
        except subprocess.TimeoutExpired:
            raise _too_long(job) from None
    if done.returncode != 0:
        raise _failure(folder, runtime, job, done.stderr.strip() or f"exit code {done.returncode}", done.stdout)
    return json.loads(done.stdout)


def stream_job(folder: Path, runtime: str, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every JSON object that the target prints, as soon as it does; the last is the result. Errors as in `run_job`.

    The target ends with the iterator: one that is closed early leaves no process behind.
    """
    with _command(folder, runtime, job) as command, tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=_environment())
        out_of_time = threading.Timer(TIME_OUT_S, process.kill)
        out_of_time.start()
        last = ""
        try:
            for line in process.stdout:
                last = line
                if not line.startswith('{"error"'):
                    yield json.loads(line)
            code = process.wait()
        finally:
            too_long = not out_of_time.is_alive()
            out_of_time.cancel()
            process.kill()
            process.communicate()
        if code != 0:
            errors.seek(0)
            raise _too_long(job) if too_long else _failure(folder, runtime, job, errors.read().strip() or f"exit code {code}", last)


@contextlib.contextmanager
def _command(folder: Path, runtime: str, job: dict[str, Any]) -> Iterator[list[str]]:
    """The target's command line, with the job in a file that is there for as long as the block runs."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(job, file)
        file.flush()
        yield [sys.executable, "-X", "utf8", str(_target(runtime)), str(folder), file.name]


def _target(runtime: str) -> Path:
    """The one that runs a pack for this runtime; tflite-runtime's is LiteRT's, which takes whichever of the two is installed."""
    return shipped("targets") / f"run_{ {'tflite-runtime': 'litert'}.get(runtime, runtime) }.py"


def _failure(folder: Path, runtime: str, job: dict[str, Any], reason: str, output: str) -> EdgepackError:
    """What the target said: its own refusal where it printed one, else the last line of what it complained about."""
    last = output.strip().split("\n")[-1]
    if last.startswith('{"error"'):
        return EdgepackError(**json.loads(last)["error"])
    return EdgepackError(
        f"{_target(runtime).name} failed on {job['kind']} of {folder}: {reason.splitlines()[-1]}",
        "check the pack with `edgepack verify`, and the runtime's version",
    )


def _too_long(job: dict[str, Any]) -> EdgepackError:
    return EdgepackError(f"the target ran over {TIME_OUT_S} s on {job['kind']}", "measure on a quiet machine, or with --quick")


def _environment() -> dict[str, str]:
    """The parent's, less what would make the child's threads or imports differ from a device's."""
    dropped = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH", "PYTHONSTARTUP")
    return {name: value for name, value in os.environ.items() if name not in dropped} | {"PYTHONDONTWRITEBYTECODE": "1"}
