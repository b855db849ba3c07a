"""What the terminal shows of reports and comparisons: the same rows as the pages. Loaded only when something is printed for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgepack.plan.budget_words import BUDGETS
from edgepack.report.baseline import FIGURES
from edgepack.report.first_screen import verdict_in_words

if TYPE_CHECKING:
    from edgepack.measure.measurement import Measurement
    from edgepack.measure.statistics import Ratio
    from edgepack.pipeline.verify import Verification
    from edgepack.report.comparison import ComparisonReport
    from edgepack.report.records import Report

_MOST_GROUPS = 12
_MOST_OPS = 12
_COLOURS = {"fits": "green", "over budget": "red", "not measured": "yellow"}


def report_view(report: Report, out: str) -> RenderableType:
    """The report in the order of its page: verdict, budgets, targets, quality, latency. out: the report's folder."""
    colour = _COLOURS[report.verdict]
    sentences = " ".join((report.headline, *report.doubts))
    verdict = Text(f"{verdict_in_words(report)}: ", style=f"bold {colour}") + Text(sentences, style="not bold default")
    beside = (*_targets(report), *_baseline(report), *_formats(report))
    quality = (_ladder(report), *_attempts(report), *_confidence(report), *_weakest(report))
    beside = (*beside, *_providers(report))
    facts = [Text(fact) for fact in report.facts]
    return Group(
        verdict, *facts, Text(), _checks(report), Text(), *beside, *quality, *_latency(report), Text(), Text(f"report: {out}/report.html")
    )


def verification_view(verification: Verification) -> RenderableType:
    """What `edgepack verify` has compared, in a few sentences."""
    from_ids = verification.from_ids
    return Text(
        f"Pack {verification.pack_id} is whole: {verification.files} files match their hashes. {verification.runtime} answers "
        f"{verification.golden_texts} golden texts within {verification.largest_difference:g} (limit {verification.tolerance:g}). "
        f"{verification.token_ids_equal} of the {verification.golden_texts - from_ids} that are kept as text give the same token ids, and "
        f"{verification.decisions_equal} the same decisions."
        + (f" {from_ids} are kept as token ids, which no text gives." if from_ids else "")
    )


def comparison_view(report: ComparisonReport, out: Path | None) -> RenderableType:
    """The claims first, then a table for each target. out: the folder of the page, where one was written."""
    from edgepack.report.comparison import NAMES

    parts: list[RenderableType] = [Text(line, style="bold") for line in report.headlines]
    for target in report.targets:
        table = Table("figure", "tokens", "threads", "pack", "median", "ratio", "95 %", "claim", box=None, pad_edge=False)
        for row in target.rows:
            known = ("1", "", "") if row.ratio is None else _ratio_cells(row.ratio)
            unit = "MB" if row.what == "ram_mb" else "ms"
            median = f"{row.summary.p50:.4g} {unit}"
            length = "–" if row.length is None else str(row.length)
            table.add_row(NAMES[row.what], length, str(row.threads), report.packs[row.pack].name, median, *known)
        parts += [
            Text(),
            Text(f"measured on {target.where}", style="bold"),
            table,
            *(Text(doubt, style="yellow") for doubt in target.doubts),
        ]
    parts += [Text(f"{failure.target}: {failure.failure}\n  fix: {failure.fix}", style="red") for failure in report.failed]
    return Group(*parts, *([Text(), Text(f"page: {out}/comparison.html")] if out else []))


def _ratio_cells(ratio: Ratio) -> tuple[str, str, str]:
    return f"{ratio.value:.2f}", f"{ratio.low:.2f}–{ratio.high:.2f}", ratio.claim or "none"


def _checks(report: Report) -> RenderableType:
    table = Table("budget", "limit", "actual", "margin", "holds", "origin", box=None, pad_edge=False)
    for check in report.checks:
        holds = Text(check.holds, {"yes": "green", "no": "red", "unlikely": "red"}.get(check.holds, "yellow"))
        name, unit = BUDGETS[check.name]
        actual = "–" if check.actual is None else f"{check.actual:.4g} {unit}"
        margin = "–" if check.margin is None else f"{check.margin:+.0%}"
        table.add_row(name, f"{check.limit:g} {unit}", actual, margin, holds, f"{check.origin or ''} {check.where}")
    return Group(
        table, *(Text(f"{BUDGETS[check.name][0]}: {check.next_step}", style="yellow") for check in report.checks if check.next_step)
    )


def _providers(report: Report) -> Iterator[RenderableType]:
    """Where the time of the ops went, where providers were asked."""
    if report.ops is None or not report.ops.providers:
        return
    ops, limit = report.ops, report.ops.most_fallback
    share = f"{ops.fallback_share:.1%} of the time fell back to the runtime's own kernels" + (
        "" if limit is None else f" (limit {limit:.1%})"
    )
    colour = "red" if ops.exceeds else "green" if limit is not None else ""
    parts = "1 part" if ops.partitions == 1 else f"{ops.partitions} parts"
    yield Text(f"{', '.join(ops.providers)}: {share}; {parts} of the graph ran elsewhere", style=colour)
    table = Table("op", "ran on", "times", "ms", "share", box=None, pad_edge=False)
    for row in ops.rows[:_MOST_OPS]:
        table.add_row(row.op, row.provider or "–", str(row.count), f"{row.ms:.3g}", f"{row.share:.1%}")
    yield from (table, Text())


def _formats(report: Report) -> Iterator[RenderableType]:
    """Both formats side by side, where both were built."""
    if not report.formats:
        return
    table = Table("format", "precision", "MB", "score", "p90 ms", "load ms", "peak MB", "exceeds", box=None, pad_edge=False)
    for row in report.formats:
        known = ["–" if value is None else f"{value:.4g}" for value in (row.score, row.latency_ms, row.load_ms, row.ram_mb)]
        table.add_row(
            row.format, row.precision, f"{row.file_mb:.1f}", *known, ", ".join(BUDGETS[name][0] for name in row.over) or "no budget"
        )
    yield from (table, Text(report.formats_why or ""), Text())


def _targets(report: Report) -> Iterator[RenderableType]:
    """Each target that was asked, side by side; a failed row with its reason below."""
    if not report.targets:
        return
    table = Table("target", "p50 ms", "p90 ms", "load ms", "peak MB", "measured on", box=None, pad_edge=False)
    for row in report.targets:
        known = ["–" if value is None else f"{value:.4g}" for value in (row.median_ms, row.latency_ms, row.load_ms, row.ram_mb)]
        table.add_row(row.target, *known, Text("failed", "red") if row.failure else row.where)
    yield table
    yield from (Text(f"{row.target}: {row.emulated}") for row in report.targets if row.emulated)
    yield from (Text(f"{row.target}: {row.instructions_why}", "yellow") for row in report.emulations if row.instructions_why)
    yield from (Text(f"{row.target}: {row.failure}\n  fix: {row.fix}", style="red") for row in report.targets if row.failure)
    yield Text()


def _baseline(report: Report) -> Iterator[RenderableType]:
    """The figures that are worse than the baseline allows, or a line that says that none is."""
    if report.baseline is None:
        return
    baseline = report.baseline
    limit = f"limit {baseline.most * 100:.3g} %, baseline {baseline.file}"
    if not baseline.worse:
        yield Text(f"none of {len(baseline.rows)} figures is worse than the baseline allows ({limit})", style="green")
    for row in baseline.worse:
        place = "".join(f", {value} {unit}" for value, unit in ((row.length, "tokens"), (row.threads, "threads")) if value is not None)
        times = "" if row.ratio is None else f", {row.ratio:.2f} times"
        interval = "" if row.low is None else f", {row.low:.2f} to {row.high:.2f}"
        yield Text(
            f"worse: {FIGURES[row.what]}{place}: {row.now:g} now, {row.before:g} before{times}{interval} ({limit})",
            style="red",
        )
    if baseline.left_out:
        yield Text(baseline.left_out, style="yellow")
    yield Text()


def _ladder(report: Report) -> RenderableType:
    metric = next((row.score.metric for row in report.ladder if row.score), "score").replace("_", " ")
    table = Table("stage", metric, "95 %", "lost", "flipped", "params", "MB", "s", box=None, pad_edge=False)
    for row in report.ladder:
        score = row.score
        table.add_row(
            row.stage,
            f"{score.value:.4f}" if score else "–",
            f"{score.low:.3f}–{score.high:.3f}" if score else "–",
            "–" if row.score_drop is None else f"{row.score_drop:+.2f}",
            "–" if row.flip_share is None else f"{row.flip_share:.2%}",
            f"{row.params / 1e6:.2f} M",
            f"{row.file_mb:.1f}",
            f"{row.seconds:.0f}",
        )
    return table


def _attempts(report: Report) -> Iterator[RenderableType]:
    """What was tried to quantize, where the first recipe was not enough."""
    for row in report.ladder:
        for attempt in row.attempts if len(row.attempts) > 1 or (row.attempts and row.attempts[-1].passed is False) else ():
            yield Text(f"{attempt.recipe}: {attempt.verdict()}", style="green" if attempt.passed else "red")


def _confidence(report: Report) -> Iterator[RenderableType]:
    """The second metric and calibration, then the true class by the teacher's confidence: each within 80 columns."""
    if not any(row.second or row.calibration for row in report.ladder):
        return
    metric = next((row.second.metric for row in report.ladder if row.second), "second").replace("_", " ")
    table = Table("stage", metric, "95 %", "ECE", "ACE", "true class", "KL", box=None, pad_edge=False)
    for row in report.ladder:
        second, calibration = row.second, row.calibration
        known = [None] * 4 if calibration is None else [calibration.ece, calibration.ace, calibration.true_class, calibration.teacher_kl]
        scores = [f"{second.value:.4f}", f"{second.low:.3f}–{second.high:.3f}"] if second else ["–", "–"]
        table.add_row(row.stage, *scores, *("–" if value is None else f"{value:.3f}" for value in known))
    yield from (Text(), table)
    further = [(row.stage, score) for row in report.ladder for score in row.further]
    if further:
        table = Table("stage", "metric", "value", "95 %", box=None, pad_edge=False)
        for stage, score in further:
            interval = f"{score.low:.3f}–{score.high:.3f}"
            table.add_row(stage, score.metric.replace("_", " "), f"{score.value:.4f}", interval)
        yield from (Text(), table)
    binned = [row for row in report.ladder if row.calibration and row.calibration.by_teacher]
    if binned:
        columns = [f"{value.teacher:.2f}" for value in binned[0].calibration.by_teacher]
        bins = Table("confidence", *columns, box=None, pad_edge=False, padding=(0, 1))
        for row in binned:
            bins.add_row(row.stage, *(f"{value.true_class:.2f}" for value in row.calibration.by_teacher))
        yield from (Text(), Text("mean confidence in the true class, by the teacher's own confidence", style="bold"), bins)


def _weakest(report: Report) -> Iterator[RenderableType]:
    from edgepack.report.ladder import weakest

    groups = weakest(report.ladder)
    if not groups:
        return
    shown = groups[:_MOST_GROUPS] if groups[0].kind == "group" else groups[:1]
    yield Text()
    for group in shown:
        teacher = "" if group.teacher is None else f", teacher {group.teacher:.4f}"
        kind = "" if group.kind == "group" else f"weakest {group.kind}: "
        yield Text(f"{kind}{group.name} {group.metric} {group.shipped:.4f} of {group.rows} rows{teacher}")
    if len(shown) < len(groups) and groups[0].kind == "group":
        yield Text(f"and {len(groups) - len(shown)} groups that do better, in the report", style="dim")


def _latency(report: Report) -> Iterator[RenderableType]:
    if report.measurements is None:
        return
    yield Text()
    yield Text(f"measured on {report.measurements.where}", style="bold")
    if report.measurements.first_token:
        yield from _decoding(report.measurements)
        return
    table = Table("tokens", "threads", "p50 ms", "p90 ms", "runs", box=None, pad_edge=False)
    for row in report.measurements.latency:
        table.add_row(str(row.length), str(row.threads), f"{row.summary.p50:.2f}", f"{row.summary.p90:.2f}", str(row.summary.n))
    yield table


def _decoding(measured: Measurement) -> Iterator[RenderableType]:
    """Tokens a second by context, the wait for the first token by prompt, memory by context."""
    speed = Table("one token after", "threads", "tokens/s", "p50 ms", "p90 ms", "peak MB", box=None, pad_edge=False)
    peaks = {(row.length, row.threads): row.peak_mb for row in measured.memory}
    for row in measured.latency:
        peak = peaks.get((row.length, row.threads))
        times = (f"{1e3 / row.summary.p50:.1f}", f"{row.summary.p50:.2f}", f"{row.summary.p90:.2f}")
        speed.add_row(str(row.length), str(row.threads), *times, "–" if peak is None else f"{peak:.1f}")
    first = Table("first token of", "threads", "p50 ms", "p90 ms", "runs", box=None, pad_edge=False)
    for row in measured.first_token:
        first.add_row(str(row.length), str(row.threads), f"{row.summary.p50:.1f}", f"{row.summary.p90:.1f}", str(row.summary.n))
    yield from (speed, Text(), first)
