"""What the process of a target's script needs, and what it says when it fails: the same for every transport that starts one."""

import json
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.plan.runtime import facts_in_python

DROPPED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH", "PYTHONSTARTUP")  # they would change threads and imports


def script_of(runtime: str) -> str:
    """The file in targets/ that runs a pack for this runtime."""
    return facts_in_python(runtime).script


def failure(where: Path | str, runtime: str, job: dict[str, Any], reason: str, output: str) -> EdgepackError:
    """The target's own refusal where it printed one, else the last line of its complaint."""
    last = output.strip().split("\n")[-1]
    if last.startswith('{"error"'):
        return EdgepackError(**json.loads(last)["error"])
    return EdgepackError(
        f"{script_of(runtime)} failed on {job['kind']} of {where}: {reason.splitlines()[-1]}",
        "check the pack with `edgepack verify`, and the runtime's version",
    )
