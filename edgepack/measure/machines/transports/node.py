"""Transport node://: onnxruntime-node in this machine's Node.js, a fresh process for each job."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import answer_of
from edgepack.core.resources import shipped
from edgepack.measure.machines.javascript import ABILITIES, completed, emulated_by, facts_of, host, pushed_nothing
from edgepack.measure.machines.job_answers import checked
from edgepack.measure.machines.jobs import refusal, too_long
from edgepack.measure.machines.machine import Facts, Pushed
from edgepack.measure.machines.npm import check_fetchable, fetched
from edgepack.measure.machines.targets import Target
from edgepack.pack.manifest import Manifest
from edgepack.plan.runtimes.onnxruntime import FACTS

EXAMPLE = "node://"
TAKES = frozenset({"time_out_s"})
NO_SETUP = "Node takes its runtime from edgepack's cache"
_OLDEST = 18
_INSTALL = "install Node.js 18 or newer with npm (Debian: apt-get install nodejs npm)"
_DROPPED = ("NODE_OPTIONS", "NODE_PATH", "OMP_NUM_THREADS")


def check(target: Target) -> None:
    """EdgepackError: anything behind the scheme, no Node.js, too old a one, no way to fetch onnxruntime-node."""
    if target.address != "node://":
        raise EdgepackError(f"not an address: {target.address!r}", "this machine's Node.js is node://")
    _check_node()
    check_fetchable(FACTS.npm.name)


def _check_node() -> str:
    """Its version."""
    path = shutil.which("node")
    if path is None:
        raise EdgepackError("node:// needs Node.js, and there is no `node` here", _INSTALL)
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=False)
    version = re.match(r"v(\d+)\.", done.stdout)
    if done.returncode or not version:
        raise EdgepackError(f"`node --version` says {(done.stdout or done.stderr).strip()[:60]!r}, which is not a version", _INSTALL)
    if int(version[1]) < _OLDEST:
        raise EdgepackError(f"node:// needs Node.js {_OLDEST}, and `node` here is {done.stdout.strip()}", _INSTALL)
    return done.stdout.strip().removeprefix("v")


@contextlib.contextmanager
def opened(target: Target) -> Iterator["Node"]:
    """Node.js with its runtime, which npm fetches once. EdgepackError: no Node.js, or npm cannot fetch the runtime."""
    yield Node(target, fetched(FACTS.npm.name), _check_node())


class Node:
    """See machine.Machine. The pack is where it is, nothing is pushed."""

    place, can = "here in Node.js", ABILITIES

    def __init__(self, target: Target, runtime: Path, version: str) -> None:
        self.target, self._runtime, self._version = target, runtime, version

    def facts(self) -> Facts:
        return facts_of(host().machine | {"python": None, "node": self._version}, FACTS.npm.name, FACTS.npm.version, self.target.name)

    def emulated_by(self) -> str | None:
        return emulated_by()

    def push(self, folder: Path, manifest: Manifest) -> Pushed:
        return pushed_nothing(self.place, manifest)

    def run_job(self, folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]:
        """The target's one JSON object for one job. EdgepackError where it refuses, crashes, is killed or takes too long."""
        here = host(dropped=folder if job.get("cold") else None)
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            json.dump(job, file)
            file.flush()
            exactly = ["exactly"] if job.get("exact") and here.saturates_u8s8 is not False else []
            done = self._run([str(self._runtime), str(folder), file.name, *exactly], job)
        answer = answer_of(done.stdout, self.place) if done.stdout.startswith("{") else None
        if answer and "error" in answer:
            raise refusal(answer)
        if done.returncode < 0:
            raise EdgepackError(
                f"{job['kind']} was killed in {self.target.name} by signal {-done.returncode}"
                + (": most often too little memory" if done.returncode == -9 else ""),
                "compare what the pack needs with what other programs use here",
            )
        if done.returncode or answer is None:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise EdgepackError(
                f"run_node.mjs failed on {job['kind']} of {folder}: {reason}",
                "check the pack with `edgepack verify`; if it passes, remove npm/ from edgepack's "
                "cache, so that the runtime is fetched again",
            )
        return checked(completed(answer, lambda machine: here.machine | machine, self.place), job, self.place)

    def _run(self, arguments: list[str], job: dict[str, Any]) -> subprocess.CompletedProcess:
        script = shipped("targets") / "javascript" / "run_node.mjs"
        environment = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        command, limit_s = ["node", str(script), *arguments], self.target.time_out_s
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=limit_s, env=environment, check=False)
        except subprocess.TimeoutExpired:
            raise too_long(job, self.target) from None
