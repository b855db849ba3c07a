"""The gate after quantization: a quantized file against the fp32 export it came from, on texts that chose nothing. Pure."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from edgepack.frozen import Frozen
from edgepack.model.data import Row
from edgepack.model.quality import UNKNOWN, Score, judge_outputs
from edgepack.model.tasks import Features, Outputs, Task


class Sensitive(Frozen):
    """What one group of products costs by itself: an encoder's in int8, squared error of the model's outputs over their variance;
    a decoder's layer in 4 bits, divergence of the next token's distribution, mean nats. is_wider: it stays in fp32, or in 8 bits."""

    name: str
    params: int
    error: float
    is_wider: bool


class Attempt(Frozen):
    """One way to quantize, judged. None: the rows, the task or the budget do not tell. ece: expected calibration error."""

    recipe: str
    precision: str
    file_mb: float
    products: dict[str, int]  # matrix products with a weight, by precision
    texts: int
    score: Score | None
    float_score: Score | None  # of the fp32 export on the same rows
    score_drop: float | None  # points lost to it
    limit: float | None  # the budget's
    cosine: float | None  # of the outputs with those of the fp32 export, the mean over texts
    least_cosine: float | None
    flip_share: float | None
    ece: float | None
    float_ece: float | None
    passed: bool | None
    details: dict[str, float | int | str]
    sensitivity: tuple[Sensitive, ...] = ()
    origin: Literal["measured"] = "measured"

    def verdict(self) -> str:
        lost = "" if self.score_drop is None else f"{self.score_drop:+.2f} points to the fp32 export on {self.texts} held-out texts"
        if self.passed is None:
            return lost or "not judged: no held-out texts with a score"
        return f"{lost}, limit {self.limit:g}: {'passed' if self.passed else 'failed'}"


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
