"""Metrics as functions of row weights: one call gives a metric for the whole test split, for a thousand bootstrap resamples of it,
or for each of its languages. Knows nothing of intervals, stages or reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.tasks.common.rows import Row

if TYPE_CHECKING:
    from edgepack.tasks.common.task import Features, Outputs, Task

Statistic = Callable[[np.ndarray], np.ndarray]  # weights [draws, units] -> values [draws], NaN where a draw has none


METRIC_NOTES = {  # what a reader of the figure must know
    "macro_f1": "Macro F1 is the mean over the classes that the test rows have or that were decided for, not over all of the model's.",
    "perplexity": (
        "Perplexity is measured on running text in windows of 256 tokens, or of the longest text if that is shorter. Each window is "
        "read without the text before it, and the tokens after the last whole window are left out."
    ),
}


@dataclass(frozen=True)
class Answers:
    """What one model made of the test rows. `labels` maps the data's labels to the model's ids; `decisions` has one a row."""

    task: Task
    outputs: Outputs
    features: Sequence[Features]
    rows: Sequence[Row]
    labels: dict[str, int]
    teacher: Outputs | None
    decisions: list[Any]


@dataclass(frozen=True)
class Metric:
    """`rows`: for each unit that is weighed (a row, an embedded text, a pair of texts), the index of its row."""

    name: str
    rows: np.ndarray
    of: Statistic


@dataclass(frozen=True)
class ClassResult:
    """F1 of one class or entity type; `support`: how many there are in the data."""

    name: str
    f1: float
    support: int


def by_row(name: str, answers: Answers, statistic: Statistic) -> Metric:
    """A metric whose units are the rows."""
    return Metric(name, np.arange(len(answers.rows)), statistic)


def class_result(name: str, right: float, decided: float, expected: float) -> ClassResult:
    """F1 from how many decisions for the class are right, how many there are, and how many there are in the data."""
    return ClassResult(name, float(2 * right / (decided + expected)), int(expected))


def mean_of(values: np.ndarray) -> Statistic:
    """The mean over units, one value each."""
    return ratio(np.stack([values.astype(float), np.ones(len(values))], axis=1))


def ratio(counts: Any) -> Statistic:
    """counts [units, 2]: the sum of the first column by that of the second."""
    table = np.asarray(counts, dtype=float)

    def of(weights: np.ndarray) -> np.ndarray:
        above, below = (weights @ table).T
        ratios: np.ndarray = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
        return ratios

    return of


def micro_f1(counts: Any) -> Statistic:
    """counts [units, 3]: right, decided, true; F1 over all of them."""
    table = np.asarray(counts, dtype=float)

    def of(weights: np.ndarray) -> np.ndarray:
        right, decided, expected = (weights @ table).T
        scores: np.ndarray = 2 * right / np.maximum(1.0, decided + expected)
        return scores

    return of


def macro_f1(decided: np.ndarray, truth: np.ndarray) -> Statistic:
    """The mean of the classes' F1, over classes that the rows have or that were decided for (as Sokolova and Lapalme 2009)."""
    classes = np.union1d(decided, truth)
    is_decided, is_true = ((values[:, None] == classes).astype(float) for values in (decided, truth))
    return macro_f1_of_tables(is_decided, is_true)


def macro_f1_of_tables(is_decided: np.ndarray, is_true: np.ndarray) -> Statistic:
    """The same of tables [units, classes] of 0 and 1, of which a unit may have several."""
    right, either = is_decided * is_true, is_decided + is_true

    def of(weights: np.ndarray) -> np.ndarray:
        occurrences = weights @ either
        scores = np.divide(2 * (weights @ right), occurrences, out=np.zeros_like(occurrences), where=occurrences > 0)
        means: np.ndarray = scores.sum(axis=1) / np.maximum(1, (occurrences > 0).sum(axis=1))
        return means

    return of


def spearman(x: np.ndarray, y: np.ndarray) -> Statistic:
    """Spearman's rank correlation (1904): Pearson's of the ranks, ties at their mean rank. NaN where one side is constant.

    A resample needs no sorting: the mean rank of a value is the weight of all smaller values and half of its own.
    """
    (x_order, x_starts, x_of), (y_order, y_starts, y_of) = _ties(x), _ties(y)

    def of(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1, keepdims=True)
        ranks = []
        for order, starts, place in ((x_order, x_starts, x_of), (y_order, y_starts, y_of)):
            tied = np.add.reduceat(weights[:, order], starts, axis=1)
            mean_rank = np.cumsum(tied, axis=1) - (tied - 1) / 2
            ranks.append(mean_rank[:, place] - (total + 1) / 2)
        both, x_alone, y_alone = (np.einsum("ij,ij,ij->i", weights, a, b) for a, b in (ranks, ranks[:1] * 2, ranks[1:] * 2))
        correlations: np.ndarray = both / np.sqrt(x_alone * y_alone)
        return correlations

    return of


def _ties(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order that sorts; where each run of equal values starts in it; for each value the run that it is in."""
    order = np.argsort(values, kind="stable")
    _, starts, place = np.unique(values, return_index=True, return_inverse=True)
    starts = np.searchsorted(values[order], values[starts])
    return order, starts, place
