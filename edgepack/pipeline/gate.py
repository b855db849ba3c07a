"""The gate after quantization: a quantized file against the fp32 export it came from, on texts that chose nothing. Pure."""

from collections.abc import Sequence

import numpy as np

from edgepack.model.quality import judge_outputs
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.scores import UNKNOWN
from edgepack.tasks.common.task import Features, Outputs, Task


def judge_attempt(
    task: Task, found: Outputs, expected: Outputs, features: Sequence[Features], rows: Sequence[Row], labels: dict[str, int]
) -> dict[str, object]:
    """The fields of an Attempt that its outputs tell; `expected` are the fp32 export's."""
    own, plain = (judge_outputs(task, outputs, features, rows, labels, expected) if rows else UNKNOWN for outputs in (found, expected))
    cosines = [_cosine(a, b) for a, b in zip(found, expected, strict=True)]
    return {
        "texts": len(rows) or len(features),
        "score": own.score,
        "float_score": plain.score,
        "score_drop": round(own.score.drop_from(plain.score), 3) if own.score and plain.score else None,
        "cosine": round(float(np.mean(cosines)), 6),
        "least_cosine": round(float(np.min(cosines)), 6),
        "flip_share": own.flip_share,
        "ece": own.calibration.ece if own.calibration else None,
        "float_ece": plain.calibration.ece if plain.calibration else None,
    }


def _cosine(found: np.ndarray, expected: np.ndarray) -> float:
    a, b = found.ravel().astype(np.float64), expected.ravel().astype(np.float64)
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30))
