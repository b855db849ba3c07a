"""Turns raw samples into medians, percentiles, ratios and their intervals."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from edgepack.core.records import Frozen

_P99_SAMPLES = 1000  # below, a p99 is one of the few worst runs, and says nothing
_STEADY_SPREAD = 0.05
_RESAMPLES = 1000
_CLAIM_SESSIONS = 5  # fewer that all point one way do so by chance too often: four in one of eight


class Summary(Frozen):
    """Times in ms over all sessions. interval: 95 % bootstrap of the median of session medians. spread: (max - min) / median of those."""

    n: int
    min: float
    p50: float
    p90: float
    p95: float
    p99: float | None
    mean: float
    sd: float | None  # None: a single sample
    mad: float
    interval: tuple[float, float]
    spread: float
    steady: bool


class Ratio(Frozen):
    """How many times as much as the other: the median over sessions, paired, with its 95 % bootstrap interval.

    claim: "less" or "more" only where the interval excludes 1 and there were sessions enough for it; else None.
    """

    value: float
    low: float
    high: float
    sessions: int
    claim: Literal["less", "more"] | None


def ratio(samples: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> Ratio:
    """Both hold raw samples by session; session i of the one ran beside session i of the other."""
    ratios = np.array([np.median(mine) / np.median(theirs) for mine, theirs in zip(samples, other, strict=True)])
    draws = np.random.default_rng(0).integers(0, len(ratios), size=(_RESAMPLES, len(ratios)))
    return _ratio(float(np.median(ratios)), np.median(ratios[draws], axis=1), len(ratios))


def ratio_apart(samples: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> Ratio:
    """As `ratio`, where the sessions of the two ran at different times: each side is drawn by itself."""
    medians, theirs = (np.array([np.median(session) for session in sessions]) for sessions in (samples, other))
    draw = np.random.default_rng(0)
    drawn = [np.median(group[draw.integers(0, len(group), size=(_RESAMPLES, len(group)))], axis=1) for group in (medians, theirs)]
    return _ratio(float(np.median(medians) / np.median(theirs)), drawn[0] / drawn[1], min(len(medians), len(theirs)))


def _ratio(value: float, draws: np.ndarray, sessions: int) -> Ratio:
    low, high = np.percentile(draws, [2.5, 97.5])
    enough = sessions >= _CLAIM_SESSIONS
    claim = "less" if enough and high < 1 else "more" if enough and low > 1 else None
    return Ratio(value=_rounded(value), low=_rounded(low), high=_rounded(high), sessions=sessions, claim=claim)


def summarize(sessions: Sequence[Sequence[float]]) -> Summary:
    """`sessions` holds each session's raw samples, in ms. A clock too coarse for them gives 0."""
    samples = np.concatenate([np.asarray(session, dtype=float) for session in sessions])
    medians = np.array([np.median(session) for session in sessions])
    draws = np.random.default_rng(0).integers(0, len(medians), size=(_RESAMPLES, len(medians)))
    low, high = np.percentile(np.median(medians[draws], axis=1), [2.5, 97.5])
    p50, p90, p95, p99 = np.percentile(samples, [50, 90, 95, 99])
    median = float(np.median(medians))
    spread = float(medians.max() - medians.min()) / median if median else float(medians.max() > 0)
    return Summary(
        n=len(samples),
        min=_rounded(samples.min()),
        p50=_rounded(p50),
        p90=_rounded(p90),
        p95=_rounded(p95),
        p99=_rounded(p99) if len(samples) >= _P99_SAMPLES else None,
        mean=_rounded(samples.mean()),
        sd=_rounded(samples.std(ddof=1)) if len(samples) > 1 else None,
        mad=_rounded(np.median(np.abs(samples - p50))),
        interval=(_rounded(low), _rounded(high)),
        spread=round(spread, 4),
        steady=spread <= _STEADY_SPREAD,
    )


def _rounded(value: float) -> float:
    return round(float(value), 4)
