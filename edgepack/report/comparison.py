"""Packs side by side: what was measured of each in turn, with a claim only where the interval of a ratio excludes 1."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from markupsafe import Markup
from pydantic import Field

from edgepack.core.files import write_atomically
from edgepack.core.records import Frozen
from edgepack.measure.comparing import Compared, Comparison, What
from edgepack.pack.manifest import Manifest
from edgepack.report.charts import Interval, intervals
from edgepack.report.figures import figure, score_of
from edgepack.report.write import rendered
from edgepack.tasks.common.scores import Score

NAMES: dict[What, str] = {
    "latency_ms": "latency",
    "first_token_ms": "first token",
    "cold_load_ms": "cold load",
    "warm_load_ms": "warm load",
    "ram_mb": "peak memory",
}


class ComparedPack(Frozen):
    """score and points lost are the build's own, on its test data, as the pack's report shows them."""

    name: str
    pack_id: str
    precision: str
    params: int
    file_mb: float
    score: Score | None
    score_drop: float | None
    data: str | None  # hash of the data that the score is of


class Failed(Frozen):
    """A target that could not measure the packs, with the reason and the fix."""

    target: str
    failure: str
    fix: str


class ComparisonReport(Frozen):
    """comparison.json. Ratios are to the first of `packs`."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    task: str
    packs: tuple[ComparedPack, ...]
    targets: tuple[Comparison, ...]
    failed: tuple[Failed, ...] = ()

    @property
    def headlines(self) -> tuple[str, ...]:
        """A sentence for each pack but the first and each target, about what an app waits for, on all cores."""
        others = range(1, len(self.packs))
        return tuple(_headline(self.packs, target, headline_row(target, pack)) for target in self.targets for pack in others)


def compared_pack(name: str, manifest: Manifest) -> ComparedPack:
    """What a comparison shows of a pack beside its times: size, parameters and score."""
    return ComparedPack(
        name=name,
        pack_id=manifest.pack_id,
        precision=manifest.precision,
        params=manifest.ladder[-1].params,
        file_mb=round(manifest.file_mb, 3),
        score=score_of(manifest),
        score_drop=figure("score_drop", manifest, None, {}).actual,
        data=manifest.data.sha256 if manifest.data else None,
    )


def headline_row(comparison: Comparison, pack: int) -> Compared:
    """The row of latency that the claim is made of: the longest texts, on the most threads."""
    rows = [row for row in comparison.rows if row.pack == pack and row.what == "latency_ms"]
    return max(rows, key=lambda row: (row.length or 0, row.threads))  # every latency has a length


def sentence(row: Compared, name: str, first: str) -> str:
    """The strongest claim that one row allows. The row is of a pack beside the first: the first pack's rows have no ratio."""
    ratio = row.ratio
    assert ratio is not None
    about = f"{ratio.value:.2f} times {first}'s, {ratio.low:.2f} to {ratio.high:.2f} in {ratio.sessions} sessions"
    if ratio.claim is None:
        why = "the interval contains 1" if ratio.low <= 1 <= ratio.high else "there were too few sessions to say more"
        return f"{name}: no difference is shown ({about}; {why})"
    if row.what == "ram_mb":
        return f"{name} takes {'less' if ratio.claim == 'less' else 'more'} memory ({about})"
    times = 1 / ratio.value if ratio.claim == "less" else ratio.value
    return f"{name} is {times:.2f} times as {'fast' if ratio.claim == 'less' else 'slow'} as {first} ({about})"


def write_comparison(folder: Path, report: ComparisonReport) -> None:
    """Writes comparison.json, comparison.md and comparison.html, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "comparison.json", json.dumps(report.as_json(), indent=1) + "\n")
    write_atomically(folder / "comparison.md", rendered("comparison.md.j2", report=report, names=NAMES))
    page = rendered("comparison.html.j2", report=report, names=NAMES, charts=[_chart(report, target) for target in report.targets])
    write_atomically(folder / "comparison.html", page)


def _headline(packs: Sequence[ComparedPack], comparison: Comparison, row: Compared) -> str:
    claim = sentence(row, packs[row.pack].name, packs[0].name)
    return f"{claim}, at {row.length} tokens on {row.threads} threads, measured on {comparison.where}."


def _chart(report: ComparisonReport, comparison: Comparison) -> Markup:
    """Ratios with their intervals: left of the line is less than the first pack."""
    rows = [
        Interval(f"{report.packs[row.pack].name}: {_label(row)}", row.ratio.low, row.ratio.value, row.ratio.high, f"{row.ratio.value:.2f}")
        for row in comparison.rows
        if row.ratio
    ]
    title = f"Ratios to {report.packs[0].name} with 95 % intervals, left of 1 is less, measured on {comparison.where}"
    return intervals(title, rows, line=1.0)


def _label(row: Compared) -> str:
    if not row.length or row.what == "ram_mb":
        return NAMES[row.what]
    return f"{NAMES[row.what]}, {row.length} tokens, {row.threads} thread{'' if row.threads == 1 else 's'}"
