"""Writes the same report three times: report.json, report.md and report.html."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from edgepack.core import escape, templates
from edgepack.core.files import write_atomically, written_whole
from edgepack.core.renewal import renewed_together
from edgepack.measure.measurement import LatencyRow, Measurement, MemoryRow
from edgepack.measure.ops import OpProfile
from edgepack.pack.attempts import Attempt
from edgepack.pack.manifest import REPORT_FILES, StageRecord
from edgepack.plan.budget_words import BUDGETS
from edgepack.report.baseline import FIGURES
from edgepack.report.charts import Bar, Line, bars, lines
from edgepack.report.figures import in_digits, machine_facts, size_in_words
from edgepack.report.first_screen import (
    HOLDS,
    change_in_words,
    limit_in_words,
    placeholders_in_words,
    purpose_in_words,
    tile_titles,
    verdict_in_words,
)
from edgepack.report.ladder import factors_chart, quality_charts, score_text, spoken, weakest
from edgepack.report.records import Report

_FLAG = re.compile(r"\(?--[a-z][a-z-]*")
_MOST_OPS = 12
_LEAST_OF_A_CURVE = 2  # points
_ORIGINS = {  # of a figure, and what each says
    "measured": "sizes and scores of the finished files, times on the machine that is named.",
    "predicted": "from counted operations, bytes and the device's speeds.",
    "emulated": "by a program that acts as another CPU: answers and instruction counts, never times.",
    "throttled": "on this machine, held to a slower storage's speed.",
}
_COLOURS = {"yes": "fits", "likely": "not-measured", "unlikely": "over-budget", "no": "over-budget", "unknown": "not-measured"}
_HEADINGS = {"class": "The weakest classes", "entity type": "The weakest entity types", "group": "By group, the weakest first"}


def write_report(folder: Path, report: Report) -> None:
    """Writes report.json, report.md and report.html into a folder that nobody looks into yet: each is whole, the three are not one."""
    texts = {"report.html": html(report), "report.md": markdown(report), "report.json": json.dumps(report.as_json(), indent=1) + "\n"}
    for name, text in texts.items():  # nothing is written before all three are there
        write_atomically(folder / name, text)


def place_report(folder: Path, report: Report) -> None:
    """The three files into a folder that people look into, new or with an older report: all or nothing."""
    if folder.is_dir():  # it stays, for it may be a volume that is mounted, or the folder that the user is in
        renewed_together(folder, REPORT_FILES, lambda fresh: write_report(fresh, report))
        return
    with written_whole(folder) as fresh:
        write_report(fresh, report)


def markdown(report: Report) -> str:
    """The report as Markdown, for report.md."""
    return _render("report.md.j2", report)


def html(report: Report) -> str:
    """The report as one HTML page without scripts, for report.html."""
    return _render("report.html.j2", report, charts=_charts(report))


def rendered(template: str, **context: Any) -> str:
    """A file of report/templates with its names filled in, each escaped for the language of that file."""
    filters: dict[str, Callable[..., Any]] = {
        "number": in_digits,
        "file_size": size_in_words,
        "machine_facts": machine_facts,
        "whole_flags": _whole_flags,
        "fixed": lambda value: "–" if value is None else f"{value:.4f}",
        "score": score_text,
        "tokens_per_s": tokens_per_s,
        "coded": _coded,
        "change": change_in_words,
        "limit": limit_in_words,
        "placeholders": placeholders_in_words,
        "spoken": spoken,
        "budget_name": lambda name: BUDGETS[name][0],
    }
    return templates.rendered("edgepack.report", template, context, filters)


def _render(template: str, report: Report, **more: Any) -> str:
    figures = report.model_dump_json()
    words = {
        "budgets": BUDGETS,
        "figures": FIGURES,
        "tiles": tile_titles(report.task),
        "holds": HOLDS,
        "colours": _COLOURS,
        "verdict": verdict_in_words(report),
        "purpose": purpose_in_words(report),
        "origins": {name: meaning for name, meaning in _ORIGINS.items() if f'"{name}"' in figures},
    }
    return rendered(template, report=report, weakest=weakest(report.ladder), headings=_HEADINGS, **words, **more)


def _charts(report: Report) -> dict[str, Any]:
    charts: dict[str, Any] = {
        "size": bars("File size by stage, MB", [Bar(spoken(row.stage), (row.file_mb,), f"{row.file_mb:.1f} MB") for row in report.ladder]),
    }
    charts |= quality_charts(report.ladder)
    charts["bits"] = _bits_chart(report.ladder)
    charts["factors"] = factors_chart(report.ladder)
    charts["ops"] = _ops_chart(report.ops) if report.ops else None
    times = [Bar(pack.format, (pack.median_ms,), f"{pack.median_ms:.2f} ms") for pack in report.formats if pack.median_ms is not None]
    charts["formats"] = bars("Median latency of the two formats", times) if times else None
    charts["targets"] = _targets_chart(report)
    charts["sustained"] = _sustained_chart(report.measurements) if report.measurements else None
    if report.measurements:
        charts |= _measured_charts(report.measurements)
    return charts


def _targets_chart(report: Report) -> Any:
    """Nothing where fewer than two can be compared."""
    rows = [Bar(row.target, (row.median_ms,), f"{row.median_ms:.2f} ms") for row in report.targets if row.median_ms is not None]
    return bars("Median latency by target, each measured there", rows) if len(rows) > 1 else None


def _ops_chart(ops: OpProfile) -> Any:
    rows = [Bar(row.op, (row.ms,), f"{row.ms:.2f} ms, {row.share:.0%}, {row.count} times") for row in ops.rows[:_MOST_OPS]]
    return bars(f"Time by op at {ops.length} tokens, {ops.runtime}", rows)


def _measured_charts(measured: Measurement) -> dict[str, Any]:
    load = [
        Bar("cold" if row.cold else "warm", (_middle(row.session_ms), _middle(row.first_inference_ms)), _load_text(row))
        for row in measured.load
    ]
    memory = [
        Bar(_memory_name(row, measured), (row.anonymous_mb, row.file_mb), f"peak {row.peak_mb:.1f} MB")
        for row in measured.memory
        if row.anonymous_mb is not None and row.file_mb is not None and row.peak_mb is not None
    ]
    return _time_charts(measured) | {
        "load": bars("Session load and first inference", load),
        "start": _start_chart(measured),
        "memory": bars("Memory over an empty runtime", memory) if memory else None,
    }


def _whole_flags(text: str) -> Markup:
    """For a page: a line may end before a flag such as --epochs, and never between its dashes."""
    return Markup(_FLAG.sub(r'<span class="word">\g<0></span>', escape.html(text)))


def _coded(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Those on a coarse grid, the fewest bits first."""
    return sorted((attempt for attempt in attempts if "bits" in attempt.details), key=lambda attempt: float(attempt.details["bits"]))


def _bits_chart(ladder: tuple[StageRecord, ...]) -> Any:
    """The score on held-out texts by the bits of a weight; the point that was taken has a line of its own."""
    attempts = next((row.attempts for row in ladder if any("bits" in attempt.details for attempt in row.attempts)), ())
    points = sorted((float(each.details["bits"]), each.score.value) for each in attempts if each.score and "bits" in each.details)
    if len(points) < _LEAST_OF_A_CURVE or attempts[-1].score is None:
        return None
    shipped = (float(attempts[-1].details["bits"]), attempts[-1].score.value)
    mb = attempts[-1].details.get("coded_mb", attempts[-1].file_mb)
    rows = [Line("score", tuple(points)), Line(f"taken: {mb} MB", (shipped,))]
    return lines("Score on held-out texts by the bits of a weight, measured", rows, "bits a weight", spoken(attempts[-1].score.metric))


def _start_chart(measured: Measurement) -> Any:
    """What a start consists of, each part measured by itself."""
    if measured.storage is None:
        return None
    warm = next(row for row in measured.load if not row.cold)
    parts = (measured.storage.read_ms, measured.storage.map_ms, _middle(warm.session_ms), _middle(warm.first_inference_ms))
    return bars("A start part by part", [Bar("start", parts, f"{sum(parts):.1f} ms")])


def _sustained_chart(measured: Measurement) -> Any:
    if measured.sustained is None:
        return None
    points = tuple((round(row.at_s), row.p50) for row in measured.sustained.slices)
    return lines("Median latency by time", [Line("p50", points)], "s", "ms")


def _time_charts(measured: Measurement) -> dict[str, Any]:
    """A decoder's speed by the tokens before and its wait for the first one; any other model's latency by length."""
    if not measured.first_token:
        return {"latency": lines("Median latency by length", _by_threads(measured.latency), "tokens", "ms")}
    speed = _by_threads(measured.latency, tokens_per_s)
    first = _by_threads(measured.first_token)
    return {
        "latency": lines("Tokens a second (median) by the tokens before", speed, "tokens before", "tokens/s"),
        "first_token": lines("Median time to the first token by prompt", first, "tokens of the prompt", "ms"),
    }


def _by_threads(rows: tuple[LatencyRow, ...], value: Callable[[LatencyRow], float] = lambda row: row.summary.p50) -> list[Line]:
    return [
        Line(f"{count} thread{'s' if count > 1 else ''}", tuple((row.length, value(row)) for row in rows if row.threads == count))
        for count in sorted({row.threads for row in rows})
    ]


def tokens_per_s(row: LatencyRow) -> float:
    """A decoder's tokens per second, from the median time of one token."""
    return 1e3 / row.summary.p50


def _memory_name(row: MemoryRow, measured: Measurement) -> str:
    threads = f"{row.threads} thread{'s' if row.threads > 1 else ''}"
    return f"{row.length} tokens, {threads}" if measured.first_token else threads


def _load_text(row: Any) -> str:
    return f"{_middle(row.session_ms):.1f} + {_middle(row.first_inference_ms):.1f} ms"


def _middle(values: tuple[float, ...]) -> float:
    return sorted(values)[len(values) // 2]
