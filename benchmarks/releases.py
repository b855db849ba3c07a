"""Other releases of a runtime than the installed one: fetched once, asked in a process of their own, and compared."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

Answers = list[list[float] | str]  # outputs of each file, or why it was refused


def installed(package: str, version: str, work: Path) -> Path:
    folder = work / "releases" / f"{package}-{version}"
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), f"{package}=={version}"]
        subprocess.run(command, check=True)
    return folder


def answers(job: str, folder: Path | None, files: Iterable[str]) -> Answers:
    """job: a script that takes the release's folder and the files, and prints their outputs as JSON. folder: None for the installed one."""
    command = [sys.executable, "-c", job, str(folder.resolve()) if folder else "", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: Answers = json.loads(done.stdout.splitlines()[-1])
    return result


def cell(result: list[float] | str, expected: list[float] | str) -> str:
    if isinstance(result, str):
        return "refused"
    return f"{np.abs(np.array(result) - np.array(expected)).max():.0e}"
