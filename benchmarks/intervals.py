"""What several seeds and one test split tell of a difference: the mean, and a 95 % bootstrap interval."""

from typing import NamedTuple

import numpy as np

from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features, Outputs

_DRAWS = 1000


class Lost(NamedTuple):
    """Points of accuracy."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ({self.low:.1f} to {self.high:.1f})"


def right_answers(outputs: Outputs, features: list[Features], rows: list[Row], labels: dict[str, int]) -> np.ndarray:
    """[rows], 1 where a classifier is right."""
    return np.array([int(output.argmax() == labels[rows[item.row].label]) for output, item in zip(outputs, features, strict=True)])


def points_lost(base: np.ndarray, other: np.ndarray) -> Lost:
    """`base` and `other` are right answers [seeds, rows]; rows are resampled in both at once, and seeds (Efron 1979)."""
    random = np.random.default_rng(0)
    seeds, rows = other.shape
    drawn = []
    for _ in range(_DRAWS):
        weights = np.bincount(random.integers(0, rows, rows), minlength=rows) / rows
        whose = random.integers(0, seeds, seeds)
        drawn.append(100 * ((base[whose % len(base)] - other[whose]).mean(axis=0) @ weights))
    return Lost(100 * float(base.mean() - other.mean()), *map(float, np.percentile(drawn, [2.5, 97.5])))
