"""Compares a report with an older one of the same machine: which figures became worse by more than is allowed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import ANSWER_BYTES, read_json_object
from edgepack.core.renewal import finish_renewal
from edgepack.measure.measurement import LatencyRow, Measurement
from edgepack.measure.statistics import Ratio, ratio_apart
from edgepack.pack.manifest import RENEWED_FILES
from edgepack.report.baseline import Baseline, Figure, Regression
from edgepack.report.records import Report

_ROUNDING = 1e-9  # of a share: 0.72 is 0.8 less a tenth
_SAME = ("arch", "cpu", "cores")
_PROVES_NOTHING = "This quick run proves nothing: other programs ran meanwhile, or its sessions disagree. Measure without --quick."
_FIX = "give a report.json that `edgepack measure` wrote"


def read_baseline(path: Path) -> Report:
    """EdgepackError: no such file, not a report.json, one without measurements."""
    finish_renewal(path.parent, RENEWED_FILES)  # of a measuring that was killed
    if not path.exists():
        raise EdgepackError(f"baseline not found: {str(path)!r}", _FIX)
    report = Report.read(read_json_object(path, ANSWER_BYTES, _FIX), str(path))
    if report.measurements is None:
        raise EdgepackError(f"the report has no measurements: {path}", "measure that pack first: edgepack measure PACK --out FOLDER")
    return report


def check_comparable(baseline: Report, profile: str, task: str, targets: list[str]) -> None:
    """EdgepackError before anything is measured: another task or profile, or a target that the baseline does not have."""
    if (baseline.profile, baseline.task) != (profile, task):
        raise EdgepackError(
            f"the baseline is of {baseline.task} for {baseline.profile}, and the pack is of {task} for {profile}",
            "give a report of the same task and profile",
        )
    known = [each.target for each in _measurements(baseline)]
    absent = [name for name in targets if name not in known]
    if absent:
        raise EdgepackError(
            f"the baseline has no figures of {', '.join(absent)}: it was measured on {', '.join(known)}",
            "make a baseline there first",
        )


def check_same_machine(baseline: Report, target: str, machine: dict[str, Any]) -> None:
    """EdgepackError where the target is another machine now: figures of two machines cannot compare two packs."""
    then = _measured_on(baseline, target).environment["machine"]
    different = [f"{key} {then[key]}, now {machine[key]}" for key in _SAME if then[key] != machine[key]]
    if different:
        raise EdgepackError(f"the baseline was measured on another machine: {'; '.join(different)}", "make a baseline on this machine")


def against(report: Report, baseline: Report, file: str, most: float) -> Report:
    """The report, with each figure that both reports have beside the baseline's. most: the share by which a figure may be worse."""
    rows = [*_whole(report, baseline, most)]
    for measurement in _measurements(report):
        rows += _of_target(measurement, _measured_on(baseline, measurement.target), most)
    notes = report.notes + ((_PROVES_NOTHING,) if any(measurement.proves_nothing for measurement in _measurements(report)) else ())
    left_out = _why_no_score(baseline, report)
    compared = Baseline(file=file, pack_id=baseline.pack_id, most=most, rows=tuple(rows), left_out=left_out)
    return report.model_copy(update={"baseline": compared, "notes": notes})


def _measurements(report: Report) -> list[Measurement]:
    return [each for each in (report.measurements, *report.other_measurements) if each]


def _measured_on(report: Report, target: str) -> Measurement:
    return next(each for each in _measurements(report) if each.target == target)


def _whole(report: Report, baseline: Report, most: float) -> Iterator[Regression]:
    """Figures of the file itself, which are the same on every machine. A score may fall by the share `most` of its old value."""
    before, now = baseline.ladder[-1], report.ladder[-1]
    yield _single("the file", "file_mb", None, (before.file_mb, now.file_mb), most)
    if before.score and now.score and not _why_no_score(baseline, report):
        values = (before.score.value, now.score.value)
        higher_is_better = not before.score.lower_is_better
        yield _single("the test split", "score", None, values, most, higher_is_better)


def _why_no_score(baseline: Report, report: Report) -> str | None:
    """Why the scores are not compared, in a sentence; None where they are, or where neither report has one."""
    before, now = baseline.ladder[-1].score, report.ladder[-1].score
    if before is None and now is None:
        return None
    if before is None or now is None:
        return f"No score is compared with the baseline: {'the baseline' if before is None else 'this report'} has none."
    if before.metric != now.metric:
        return f"No score is compared with the baseline: its metric is {before.metric}, and here it is {now.metric}."
    hashes = (baseline.data_sha256, report.data_sha256)
    differs = before.rows != now.rows if None in hashes else hashes[0] != hashes[1]  # a report of an older edgepack has no hash
    return "No score is compared with the baseline: the two are of different data." if differs else None


def _of_target(now: Measurement, then: Measurement, most: float) -> Iterator[Regression]:
    yield from _times(now.target, "latency_ms", now.latency, then.latency, most)
    yield from _times(now.target, "first_token_ms", now.first_token, then.first_token, most)
    for load, old_load in zip(now.load, then.load, strict=True):
        ratio = ratio_apart([[ms] for ms in load.session_ms], [[ms] for ms in old_load.session_ms])
        values = (_middle(old_load.session_ms), _middle(load.session_ms))
        yield _row(now.target, "cold_load_ms" if load.cold else "warm_load_ms", (None, 1), values, ratio, most)
    known_peaks = {(row.length, row.threads): row.peak_mb for row in then.memory}
    for row in now.memory:
        before = known_peaks.get((row.length, row.threads))
        if row.peak_mb is not None and before is not None:
            yield _single(now.target, "ram_mb", (row.length, row.threads), (before, row.peak_mb), most)


def _times(target: str, what: Figure, rows: tuple[LatencyRow, ...], old_rows: tuple[LatencyRow, ...], most: float) -> Iterator[Regression]:
    known = {(row.length, row.threads): row for row in old_rows}
    for row in rows:
        if (row.length, row.threads) in known:
            yield _timed(target, what, row, known[row.length, row.threads], most)


def _timed(target: str, what: Figure, row: LatencyRow, then: LatencyRow, most: float) -> Regression:
    values = (then.summary.p50, row.summary.p50)
    return _row(target, what, (row.length, row.threads), values, ratio_apart(row.samples_ms, then.samples_ms), most)


def _row(
    target: str, what: Figure, place: tuple[int | None, int | None], values: tuple[float, float], ratio: Ratio, most: float
) -> Regression:
    worse = ratio.value > 1 + most and ratio.low > 1
    return _of(target, what, place, values, ratio.value, worse).model_copy(update={"low": ratio.low, "high": ratio.high})


def _single(
    target: str,
    what: Figure,
    place: tuple[int, int] | None,
    values: tuple[float, float],
    most: float,
    higher_is_better: bool = False,
) -> Regression:
    """A figure without sessions. The share of its old value decides, because a score may be 0 or less: no ratio tells how it fell."""
    before, now = values
    fall = before - now if higher_is_better else now - before
    better, worse = (now, before) if higher_is_better else (before, now)
    times = 1.0 if before == now else round(worse / better, 4) if better > 0 and worse > 0 else None
    return _of(target, what, place or (None, None), values, times, fall > (most + _ROUNDING) * abs(before))


def _of(
    target: str, what: Figure, place: tuple[int | None, int | None], values: tuple[float, float], times: float | None, is_worse: bool
) -> Regression:
    (length, threads), (before, now) = place, values
    return Regression(
        target=target, what=what, length=length, threads=threads, before=before, now=now,
        ratio=times, low=None, high=None, is_worse=is_worse,
    )  # fmt: skip


def _middle(values: tuple[float, ...]) -> float:
    return sorted(values)[len(values) // 2]
