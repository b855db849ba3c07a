"""The gate after quantization: compares a quantized file with its fp32 export on held-out texts. Pure."""

from collections.abc import Sequence

import numpy as np

from edgepack.model.quality import judge_outputs
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.scores import UNKNOWN
from edgepack.tasks.common.task import Features, Outputs, Task

ONE_SIDED_95 = 1.645  # quantile of the normal distribution


def judge_attempt(
    task: Task, actual: Outputs, expected: Outputs, features: Sequence[Features], rows: Sequence[Row], labels: dict[str, int]
) -> dict[str, object]:
    """The fields of an Attempt that its outputs tell; `expected` are the fp32 export's."""
    quality, plain = (judge_outputs(task, outputs, features, rows, labels, expected) if rows else UNKNOWN for outputs in (actual, expected))
    cosines = cosines_of(actual, expected)
    return {
        "texts": len(rows) or len(features),
        "score": quality.score,
        "float_score": plain.score,
        "score_drop": round(quality.score.drop_from(plain.score), 3) if quality.score and plain.score else None,
        "cosine": round(float(np.mean(cosines)), 6),
        "cosine_bound": _lower_bound(cosines),
        "least_cosine": round(float(np.min(cosines)), 6),
        "flip_share": quality.flip_share,
        "ece": quality.calibration.ece if quality.calibration else None,
        "float_ece": plain.calibration.ece if plain.calibration else None,
    }


def cosines_of(actual: Outputs, expected: Outputs) -> list[float]:
    """Of each output of a file with the fp32 export's."""
    return [_cosine(a, b) for a, b in zip(actual, expected, strict=True)]


def _lower_bound(cosines: Sequence[float]) -> float | None:
    """What the mean of further texts is at least, with 95 % confidence (normal approximation); None: one text tells nothing of others."""
    if len(cosines) < 2:
        return None
    return round(float(np.mean(cosines) - ONE_SIDED_95 * np.std(cosines, ddof=1) / np.sqrt(len(cosines))), 6)


def _cosine(actual: np.ndarray, expected: np.ndarray) -> float:
    a, b = actual.ravel().astype(np.float64), expected.ravel().astype(np.float64)
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30))
