"""What a report says of an older one: figures of both, and which became worse by more than is allowed. Records alone."""

from typing import Final, Literal

from edgepack.core.records import Frozen

Figure = Literal["latency_ms", "first_token_ms", "cold_load_ms", "warm_load_ms", "ram_mb", "file_mb", "score"]
FIGURES: Final[dict[Figure, str]] = {
    "latency_ms": "latency, ms",
    "first_token_ms": "first token, ms",
    "cold_load_ms": "cold load, ms",
    "warm_load_ms": "warm load, ms",
    "ram_mb": "peak memory, MB",
    "file_mb": "file size, MB",
    "score": "score",
}


class Regression(Frozen):
    """One figure of both reports. ratio: above 1 is worse, None where one of the two is not above 0; low, high: its 95 % interval,
    where sessions give one.

    is_worse: by more than the limit, which is a share of the old value, and where there is an interval it excludes 1.
    """

    target: str
    what: Figure
    length: int | None
    threads: int | None
    before: float
    now: float
    ratio: float | None
    low: float | None
    high: float | None
    is_worse: bool


class Baseline(Frozen):
    """What a report was compared with. most: the share by which a figure may be worse. left_out: why the scores are not compared."""

    file: str
    pack_id: str
    most: float
    rows: tuple[Regression, ...]
    left_out: str | None = None

    @property
    def worse(self) -> tuple[Regression, ...]:
        return tuple(row for row in self.rows if row.is_worse)
