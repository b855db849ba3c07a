"""How many held-out rows the gate looks at: it stops as soon as those it has seen decide what all of them would say. Pure.

The rows are in a random order, so those seen are a random sample, without replacement, of all. A look foretells the figure on all rows, and
can be wrong on one side of the limit only: the side that all rows are not on. Each early look may be so with an equal part of the 5 %
(Bonferroni's inequality; for repeated looks at gathering data see Armitage, McPherson and Rowe 1969), so all looks together give 95 %.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np

from edgepack.model.quality import PairedDrop
from edgepack.pipeline.gate import ONE_SIDED_95

_EARLY_LOOKS = (250, 500)  # rows; each look starts the target's process anew
_WORTH_A_LOOK = 1.5  # times a look's rows must be there
_RISK = 0.05  # of all early looks together


def looks_at(rows: int) -> tuple[int, ...]:
    """After how many of so many rows the gate looks, the last time after all."""
    return (*(look for look in _EARLY_LOOKS if look * _WORTH_A_LOOK <= rows), rows)


def drop_range(drop: PairedDrop, looks: Sequence[int], look: int) -> tuple[float, float]:
    """Between which points the drop on all rows lies, by that on the first `look` rows; the same twice where these are all.

    The bootstrap's spread, narrowed as it is for a sample from so few (Cochran 1977, section 2.6). It knows nothing of kinds of rows that
    were not seen: the range is at least as wide as the most rows of one such kind could move it, a row being 100 / rows points.
    """
    rows, risk = looks[-1], _risk(looks)
    if look == rows:
        return drop.points, drop.points
    spread = (drop.resampled - drop.points) * sqrt(1 - look / rows)
    low, high = np.nanquantile(spread, [risk, 1 - risk])
    unseen = 100 * unseen_rows(rows, look, risk) / rows
    return drop.points + min(float(low), -unseen), drop.points + max(float(high), unseen)


def unseen_rows(rows: int, look: int, risk: float) -> int:
    """The most rows of one kind that a draw of `look` rows out of `rows` has none of with a greater probability than `risk`.

    The hypergeometric distribution's answer to what "the rule of three" answers for endless rows (Hanley and Lippman-Hand 1983).
    """
    count, probability = 0, 1.0
    while True:
        probability *= (rows - look - count) / (rows - count)
        if probability <= risk:
            return count
        count += 1


def mean_decides(values: Sequence[float], texts: int, least: float, looks: Sequence[int]) -> bool:
    """Whether `values` of some of so many texts tell if the lower bound of all texts' mean reaches `least` (normal approximation)."""
    if len(values) == texts:
        return True
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    bound = mean - ONE_SIDED_95 * deviation / sqrt(texts)
    apart = NormalDist().inv_cdf(1 - _risk(looks)) * deviation * sqrt(1 / len(values) - 1 / texts)
    return bound - apart >= least or bound + apart < least


def _risk(looks: Sequence[int]) -> float:
    """That an early look is wrong."""
    return _RISK / max(1, len(looks) - 1)
