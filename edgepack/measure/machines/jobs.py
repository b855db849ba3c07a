"""The environment of a target's process, and the error when it fails: the same for every transport that starts a process."""

from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import answer_of
from edgepack.core.showing import shown
from edgepack.measure.machines.targets import Target
from edgepack.plan.runtime import facts_in_python

DROPPED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH", "PYTHONSTARTUP")  # they would change threads and imports


def script_of(runtime: str) -> str:
    """The file in targets/ that runs a pack for this runtime."""
    return facts_in_python(runtime).script


def failure(where: Path | str, runtime: str, job: dict[str, Any], reason: str, output: str) -> EdgepackError:
    """The target's own refusal where it printed one, else the last line of its complaint."""
    last = output.strip().split("\n")[-1]
    if last.startswith('{"error"'):
        return refusal(answer_of(last, f"of {script_of(runtime)}"))
    return EdgepackError(
        f"{script_of(runtime)} failed on {job['kind']} of {where}: {reason.splitlines()[-1]}",
        "check the pack with `edgepack verify`, and the runtime's version",
    )


def too_long(job: dict[str, Any], target: Target) -> EdgepackError:
    """A job that was ended because it ran over the target's time_out_s."""
    return EdgepackError(
        f"{job['kind']} ran over {target.time_out_s:g} s in {target.name} and was ended",
        "measure when no other program runs here, or with --quick, or raise time_out_s in targets.toml",
    )


def refusal(answer: dict[str, Any]) -> EdgepackError:
    """A target's own refusal, {"error": {"problem", "fix"}}, which is text of the other side."""
    stated = answer.get("error")
    texts = stated if isinstance(stated, dict) else {}
    problem, fix = texts.get("problem"), texts.get("fix")
    if not isinstance(problem, str) or not isinstance(fix, str):
        return EdgepackError(f"the target refused and gave no reason: {shown(stated)}", "use this edgepack's targets folder there")
    return EdgepackError(problem, fix)
