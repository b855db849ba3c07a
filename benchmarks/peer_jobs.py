"""Runs commands of edgepack and its peers: a build with what it cost, or one job of targets/ in a fresh process."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from peer_environments import NotThere, environment, python_of, why_it_ended

HERE = Path(__file__).parent
SCRIPTS, TARGETS = HERE / "peer_scripts", HERE.parent / "targets"


def run_timed(command: list[str], cost: Path) -> "subprocess.CompletedProcess[str]":
    """The command, done; `cost` is written as timed.py does."""
    timed = [sys.executable, "-S", str(HERE / "timed.py"), str(cost), *command]
    variables = environment() | {"PYTHONPATH": str(HERE.parent)}
    return subprocess.run(timed, capture_output=True, text=True, check=False, env=variables)


def cost_file(folder: Path) -> Path:
    """Beside the folder: a pack holds nothing that it does not list."""
    return folder.with_name(f"{folder.name}.cost.json")


def runner(runtime: str, environment_name: str | None, work: Path) -> list[str]:
    """The command that takes a folder and a job; without an environment's name it is the target of edgepack itself."""
    if environment_name is None:
        return [sys.executable, str(TARGETS / f"run_{runtime}.py")]
    return [str(python_of(environment_name, work / "environments")), str(SCRIPTS / f"run_{runtime}.py")]


def run_job(name: str, command: list[str], folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """One job of targets/protocol.py in a fresh process, by the code that all rows share. NotThere: it failed, and why."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        variables = environment() | {"PYTHONPATH": str(TARGETS)}
        done = subprocess.run([*command, str(folder), file.name], capture_output=True, text=True, check=False, env=variables)
    if done.returncode != 0:
        raise NotThere(f"{name}, {job['kind']}: {why_it_ended(done)}")
    return json.loads(done.stdout.splitlines()[-1])
