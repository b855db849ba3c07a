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

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import answer_of
from edgepack.core.resources import shipped
from edgepack.measure.machines.job_answers import checked
from edgepack.measure.machines.jobs import DROPPED, failure, script_of, too_long
from edgepack.measure.machines.machine import Facts
from edgepack.measure.machines.runtimes_apart import environment, interpreter, runtime_apart
from edgepack.measure.machines.targets import LOCAL, Target
from edgepack.pack.manifest import Manifest
from edgepack.plan.runtime import packages_to_look_for, runtime_facts

EXAMPLE = "local"
TAKES = frozenset({"time_out_s"})
NO_SETUP = "edgepack's own environment runs packs on this machine"
_ABILITIES = frozenset({"computes", "times", "quiet", "storage", "texts", "ops", "environment"})


class Here:
    """This machine: the pack is where it is, nothing is pushed."""

    place, can = "here", _ABILITIES

    def __init__(self, target: Target = LOCAL) -> None:
        self.target = target

    def facts(self) -> Facts:
        return _facts()

    def emulated_by(self) -> str | None:
        return self.facts().machine.get("emulated_by")

    def push(self, folder: Path, manifest: Manifest) -> None:
        return None

    def run_job(self, folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]:
        return run_job(folder, runtime, job, self.target)


def check(target: Target) -> None:
    """EdgepackError where anything follows the word."""
    if target.address != "local":
        raise EdgepackError(f"not an address: {target.address!r}", "this machine is `local`")


@contextlib.contextmanager
def opened(target: Target) -> Iterator[Here]:
    """This machine. There is nothing to open or to close."""
    yield Here(target)


def _facts() -> Facts:
    with tempfile.TemporaryDirectory() as place:  # no folder in the home folder, where a board's Python may be: this one runs packs here
        command = [sys.executable, str(shipped("targets") / "board.py"), f"{place}/none", *packages_to_look_for()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=_environment(), check=True)
    return Facts.read(answer_of(done.stdout, "of this machine") | {"folder": None}, "this machine")


def versions_beside(runtime: str) -> dict[str, str]:
    """Of a runtime that answers here without being one of this environment's packages."""
    return {runtime: runtime_facts(runtime).version} if _site(runtime) else {}


def _site(runtime: str) -> Path | None:
    return runtime_apart(runtime, _facts) if runtime and runtime_facts(runtime).runs_apart else None


def run_job(folder: Path, runtime: str, job: dict[str, Any], target: Target = LOCAL) -> dict[str, Any]:
    """The target's one JSON object for one job. EdgepackError where it refuses, crashes, says nothing or takes too long."""
    limit_s = target.time_out_s
    with _command(folder, runtime, job) as command:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, env=_environment(runtime), check=False)
        except subprocess.TimeoutExpired:
            raise too_long(job, target) from None
    if done.returncode != 0:
        raise failure(folder, runtime, job, done.stderr.strip() or f"exit code {done.returncode}", done.stdout)
    return checked(answer_of(done.stdout, f"of {script_of(runtime)}"), job, "here")


def stream_job(folder: Path, runtime: str, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every JSON object that the target prints, as soon as it does; the last is the result. Errors as in `run_job`.

    The target ends with the iterator: one that is closed early leaves no process behind.
    """
    with _command(folder, runtime, job) as command, tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=_environment(runtime))
        out_of_time = threading.Timer(LOCAL.time_out_s, process.kill)
        out_of_time.start()
        last = ""
        try:
            for line in process.stdout:
                last = line
                if not line.startswith('{"error"'):
                    yield answer_of(line, f"of {script_of(runtime)}")
            code = process.wait()
        finally:
            is_late = not out_of_time.is_alive()
            out_of_time.cancel()
            process.kill()
            process.communicate()
        if code != 0:
            errors.seek(0)
            raise too_long(job, LOCAL) if is_late else failure(folder, runtime, job, errors.read().strip() or f"exit code {code}", last)


@contextlib.contextmanager
def _command(folder: Path, runtime: str, job: dict[str, Any]) -> Iterator[list[str]]:
    """The target's command line, with the job in a file that is there for as long as the block runs."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(job, file)
        file.flush()
        yield [*interpreter(_site(runtime)), str(shipped("targets") / script_of(runtime)), str(folder), file.name]


def _environment(runtime: str = "") -> dict[str, str]:
    """The parent's, less what would make the child's threads or imports differ from a device's."""
    inherited = {name: value for name, value in os.environ.items() if name not in DROPPED}
    return inherited | {"PYTHONDONTWRITEBYTECODE": "1", "ORT_DISABLE_TELEMETRY": "1"} | environment(_site(runtime))
