"""Reasons to doubt a measurement: other programs, sessions that disagree, a changed clock, or a load that was not cold."""

import time
from collections.abc import Iterable, Iterator

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.machine import RunJob
from edgepack.measure.measurement import LatencyRow, Measurement

MOST_OTHERS, MOST_STOLEN = 0.10, 0.02  # shares of the cores' time that others may take, and a hypervisor for its other guests
_LOOK_S, _PAUSE_S = 1.0, 5.0


def wait_for_quiet(run: RunJob, target: str, looks: int = 6) -> None:
    """Waits for half a minute while other work goes on there; EdgepackError where it does not end. A machine that cannot tell passes."""
    for look in range(looks):
        contention = run({"kind": "quiet", "seconds": _LOOK_S})["contention"]
        if not is_too_much(contention["others"], contention["stolen"]):
            return
        if look < looks - 1:
            time.sleep(_PAUSE_S)
    raise EdgepackError(
        f"{target} is busy: other programs take {share_in_words(contention['others'])} of its cores, "
        f"and {share_in_words(contention['stolen'])} goes to other guests "
        f"(limits {MOST_OTHERS:.0%} and {MOST_STOLEN:.0%}); a measurement now could not be repeated",
        "end the other programs there, or measure with --force: then the report says so",
    )


def is_steady(measurement: Measurement) -> bool:
    """Whether a measurement now would say the same: no row's sessions disagree, and nobody else took the machine meanwhile."""
    rows = (*measurement.latency, *measurement.first_token)
    return all(row.summary.steady for row in rows) and not any(_was_crowded(row) for row in rows)


def doubts(measurement: Measurement) -> Iterator[str]:
    """A sentence for each reason why the figures may not repeat; none where the measurement is steady and quiet."""
    rows = (*measurement.latency, *measurement.first_token)
    for row in rows:
        if not row.summary.steady:
            yield (
                f"{row.length} tokens, {row.threads} threads: the medians of the measuring "
                f"sessions differ by {row.summary.spread:.0%} (over 5 %)"
            )
    if not all(row.cold_is_proved for row in measurement.load if row.cold):
        yield "the cold load is not proved: the storage delivered less than half of the file"
    if measurement.environment["machine"]["arch"] == "wasm32":
        yield "the browser loaded the files from this machine: over a network a cold load takes longer"
    before, after = measurement.environment["machine"]["clock_mhz"], measurement.environment["machine_after"]["clock_mhz"]
    if before and after and abs(after / before - 1) > 0.05:
        yield f"the clock went from {before:.0f} to {after:.0f} MHz"
    crowded = [row for row in rows if _was_crowded(row)]
    if crowded:
        others, stolen = (
            share_in_words(highest(share for row in crowded for share in getattr(row, name))) for name in ("others", "stolen")
        )
        yield (
            f"other programs ran: in {len(crowded)} of {len(rows)} rows they took more than {MOST_OTHERS:.0%} of the cores "
            f"(at most {others}), or other guests more than {MOST_STOLEN:.0%} (at most {stolen})"
        )
    sustained = measurement.sustained
    if sustained and sustained.slowdown and sustained.slowdown > 1.05:
        minutes = sustained.seconds / 60
        yield f"after {minutes:g} minutes without a pause an inference takes {sustained.slowdown:.2f} times as long as in the first"


def highest(figures: Iterable[float | None]) -> float | None:
    """Of those that are known; None where none is."""
    return max((figure for figure in figures if figure is not None), default=None)


def share_in_words(share: float | None) -> str:
    """Of the cores' time."""
    return "an unknown share" if share is None else f"{share:.0%}"


def _was_crowded(row: LatencyRow) -> bool:
    """Whether others took the machine in most sessions: in one alone the median of them all does not hear it."""
    crowded = [is_too_much(others, stolen) for others, stolen in zip(row.others, row.stolen, strict=True)]
    return sum(crowded) * 2 > len(crowded)


def is_too_much(others: float | None, stolen: float | None) -> bool:
    """What is not known is no reason to doubt."""
    return (others or 0.0) > MOST_OTHERS or (stolen or 0.0) > MOST_STOLEN
