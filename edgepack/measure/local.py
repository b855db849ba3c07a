"""Transport `local`: runs a target's job on this machine, in a fresh process that knows nothing of edgepack."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgepack.errors import EdgepackError
from edgepack.shipped import shipped

TIME_OUT_S = 3600


def run_job(folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]:
    """The target's one JSON object for one job. EdgepackError where it crashes, says nothing or takes over an hour."""
    target = shipped("targets") / f"run_{runtime}.py"
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(job, file)
        file.flush()
        command = [sys.executable, "-X", "utf8", str(target), str(folder), file.name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_OUT_S, env=_environment(), check=False)
        except subprocess.TimeoutExpired:
            raise EdgepackError(
                f"the target ran over {TIME_OUT_S} s on {job['kind']}", "measure on a quiet machine, or with --quick"
            ) from None
    if done.returncode != 0:
        reason = done.stderr.strip().split("\n")[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        raise EdgepackError(
            f"{target.name} failed on {job['kind']} of {folder}: {reason}",
            "check the pack with `edgepack verify`, and the runtime's version",
        )
    return json.loads(done.stdout)


def _environment() -> dict[str, str]:
    """The parent's, less what would make the child's threads or imports differ from a device's."""
    dropped = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH", "PYTHONSTARTUP")
    return {name: value for name, value in os.environ.items() if name not in dropped} | {"PYTHONDONTWRITEBYTECODE": "1"}
