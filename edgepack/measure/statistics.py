"""Raw samples into the figures that people quote, with the doubts that belong to them."""

from collections.abc import Sequence

import numpy as np

from edgepack.frozen import Frozen

_P99_SAMPLES = 1000  # below, a p99 is one of the few worst runs, and says nothing
_STEADY_SPREAD = 0.05
_RESAMPLES = 1000


class Summary(Frozen):
    """Times in ms over all sessions. interval: 95 % bootstrap of the median of session medians. spread: (max - min) / median of those."""

    n: int
    min: float
    p50: float
    p90: float
    p95: float
    p99: float | None
    mean: float
    sd: float
    mad: float
    interval: tuple[float, float]
    spread: float
    steady: bool


def summarize(sessions: Sequence[Sequence[float]]) -> Summary:
    """`sessions` holds each session's raw samples, in ms."""
    samples = np.concatenate([np.asarray(session, dtype=float) for session in sessions])
    medians = np.array([np.median(session) for session in sessions])
    draws = np.random.default_rng(0).integers(0, len(medians), size=(_RESAMPLES, len(medians)))
    low, high = np.percentile(np.median(medians[draws], axis=1), [2.5, 97.5])
    p50, p90, p95, p99 = np.percentile(samples, [50, 90, 95, 99])
    spread = float((medians.max() - medians.min()) / np.median(medians))
    return Summary(
        n=len(samples),
        min=_ms(samples.min()),
        p50=_ms(p50),
        p90=_ms(p90),
        p95=_ms(p95),
        p99=_ms(p99) if len(samples) >= _P99_SAMPLES else None,
        mean=_ms(samples.mean()),
        sd=_ms(samples.std(ddof=1)) if len(samples) > 1 else 0.0,
        mad=_ms(np.median(np.abs(samples - p50))),
        interval=(_ms(low), _ms(high)),
        spread=round(spread, 4),
        steady=spread <= _STEADY_SPREAD,
    )


def _ms(value: float) -> float:
    return round(float(value), 4)
