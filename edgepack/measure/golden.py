"""Asks a machine for a pack's golden vectors, and says how far its answers are from them."""

from pathlib import Path
from typing import Any

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.machine import Machine
from edgepack.pack.golden import DIGITS, read_golden
from edgepack.pack.manifest import Manifest
from edgepack.tasks import task_named
from edgepack.tasks.common.task import Outputs, Task


def answers_on(machine: Machine, pack: Path, manifest: Manifest, exact: bool | None = None) -> float:
    """The largest difference of a target's answers from the golden ones; EdgepackError where it is over the pack's tolerance.

    exact: see `answer`; None: as the pack's device computes.
    """
    answers = ask_golden(machine, pack, manifest, manifest.plan.exact_products if exact is None else exact)
    return round(largest_gap(manifest, read_golden(pack), answers, f" {machine.place}"), DIGITS)


def ask_golden(machine: Machine, pack: Path, manifest: Manifest, exact: bool) -> Outputs:
    """A target's answers to the golden texts, whatever they are. exact: see `answer`."""
    rows = [{"input_ids": entry["input_ids"], "token_type_ids": entry["token_type_ids"]} for entry in read_golden(pack)]
    job = {"kind": "answer", "threads": 1, "exact": exact, "batch": 1, "rows": rows, "at_once": None}
    return [np.asarray(output) for output in machine.run_job(pack, manifest.plan.runtime, job)["outputs"]]


def largest_gap(manifest: Manifest, golden: list[dict[str, Any]], answers: Outputs, place: str) -> float:
    """The largest difference between answers and golden vectors. EdgepackError: one is over the pack's tolerance. place: for the

    message.
    """
    worst, task = 0.0, task_named(manifest.task)
    for entry, output in zip(golden, answers, strict=True):
        gap = gap_between(output, np.asarray(entry["output"]), task)
        if not gap <= manifest.golden_tolerance:
            shown = str(entry.get("text") or entry.get("words") or entry["input_ids"])[:60]
            raise EdgepackError(
                f"the pack gives other answers{place} than when it was built: {shown!r} differs by {gap:.3g} "
                f"(limit {manifest.golden_tolerance:g})",
                "use the runtime's version that the pack was built with, or build it again on this machine",
            )
        worst = max(worst, gap)
    return worst


def gap_between(output: np.ndarray, expected: np.ndarray, task: Task) -> float:
    """How far two outputs for the same input are apart, in the task's own measure; infinite where their shapes differ."""
    if output.shape != expected.shape:
        return np.inf
    return task.gap(np.abs(task.comparable(output) - task.comparable(expected)))
