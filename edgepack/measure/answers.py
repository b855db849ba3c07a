"""Outputs of an exported file for token ids, computed by the target's runtime: what scores and golden vectors come from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgepack.core.progress import bar
from edgepack.measure.machines.transports.local import run_job
from edgepack.tasks.common.task import Features, Outputs

_ROWS_A_PROCESS = 500
_SMALLEST_OUTPUT = 0.05  # below it, fp32's own rounding is seen


def answer(
    folder: Path,
    runtime: str,
    features: Sequence[Features],
    threads: int,
    exact: bool,
    batch: int = 1,
    title: str = "score the file",
    at_once: int | None = None,
) -> Outputs:
    """One array for each of the features: see `Task.outputs`.

    exact: as a CPU computes that does not saturate u8 x s8 sums; set where the pack's device is such a one. batch: texts
    in one inference, padded to the longest. at_once: tokens of a text in one inference, where a decoder is to use its cache.
    """
    outputs: list[np.ndarray] = []
    with bar(title, len(features)) as progress:
        for at in range(0, len(features), _ROWS_A_PROCESS):
            group = features[at : at + _ROWS_A_PROCESS]
            rows = [{"input_ids": item.ids, "token_type_ids": item.type_ids} for item in group]
            job = {"kind": "answer", "threads": threads, "exact": exact, "batch": batch, "rows": rows, "at_once": at_once}
            outputs += [np.asarray(output) for output in run_job(folder, runtime, job)["outputs"]]
            progress.advance(len(group))
    return outputs


def difference(answers: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference between outputs, absolute below 1 and relative above; inf where one is not a number."""
    gap = np.abs(answers - expected) / np.maximum(1.0, np.abs(expected))
    return float(np.inf if np.isnan(gap).any() else gap.max(initial=0.0))


def relative_difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference beside the largest output: vectors of length 1 have small numbers. inf where one is not a number."""
    gap = np.abs(actual - expected)
    size = max(float(np.abs(expected).max(initial=0.0)), _SMALLEST_OUTPUT)
    return float(np.inf if np.isnan(gap).any() else gap.max(initial=0.0) / size)
