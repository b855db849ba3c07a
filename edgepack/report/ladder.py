"""Plots and tables of quality beyond the first score, from rows of report.json. Computes no new figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgepack.report.charts import Cell, Dots, HeatRow, Interval, heat, intervals, reliability

if TYPE_CHECKING:
    from edgepack.pack.factored_matrix import FactoredMatrix
    from edgepack.pack.manifest import StageRecord
    from edgepack.tasks.common.scores import Score, TeacherBin

_FULL_COLOUR = 0.1  # a change of this much has the strongest colour
_WORST_CLASSES = 8


@dataclass(frozen=True)
class Weak:
    """One class, entity type or language as the shipped file does it, and as the teacher did."""

    kind: str
    name: str
    metric: str
    teacher: float | None
    shipped: float
    rows: int


def spoken(name: str) -> str:
    """The name of a metric or of a stage as people write it."""
    return name.replace("_", " ")


def score_text(value: float) -> str:
    """Accuracy and F1 with the digits that a thousand test rows can tell apart; a perplexity with those that matter."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def weakest(ladder: Sequence[StageRecord]) -> list[Weak]:
    """The shipped file's worst classes first; of languages and the like all."""
    if not ladder:
        return []
    teacher = {group.name: group.value for group in ladder[0].groups}
    groups = [Weak(g.kind, g.name, g.metric, teacher.get(g.name), g.value, g.rows) for g in ladder[-1].groups]
    return groups if groups and groups[0].kind == "group" else groups[:_WORST_CLASSES]


def quality_charts(ladder: Sequence[StageRecord]) -> dict[str, Any]:
    """SVG by name; None where the rows do not tell."""
    names = further_metrics(ladder)
    known = [(row.stage, row.calibration.by_teacher) for row in ladder if row.calibration and row.calibration.by_teacher]
    return {
        "ladder": _scores([(row.stage, row.score) for row in ladder if row.score]),
        "second": _scores([(row.stage, row.second) for row in ladder if row.second]),
        "further": [_scores([(row.stage, score) for row in ladder for score in row.further if score.metric == name]) for name in names],
        "reliability": _reliability(ladder),
        "true_class": _true_class(known) if known else None,
        "flips": _flips(known[1:]) if known[1:] else None,
    }


def further_metrics(ladder: Sequence[StageRecord]) -> list[str]:
    """The names of metrics behind the first two, in the order of the task."""
    return list(dict.fromkeys(score.metric for row in ladder for score in row.further))


def factors_chart(ladder: Sequence[StageRecord]) -> Any:
    """By depth and part of a layer: what the outputs lose by one matrix at half of its break-even rank, and the rank that it got."""
    matrices = next((row.factors for row in ladder if row.factors), ())
    if not matrices:
        return None
    depth = sorted({matrix.layer for matrix in matrices if matrix.layer is not None})
    most = max(matrix.error for matrix in matrices) or 1.0

    def cell(matrix: FactoredMatrix | None) -> Cell:
        return Cell("–", 0.0) if matrix is None else Cell(f"{matrix.rank or 'whole'}, {matrix.error:.2g}", -matrix.error / most)

    rows = []
    for part in dict.fromkeys(matrix.part for matrix in matrices):
        of_part = {matrix.layer: matrix for matrix in matrices if matrix.part == part}
        title = part if None not in of_part else f"{part} (table)"
        rows.append(HeatRow(title, tuple(cell(of_part.get(layer, of_part.get(None) if layer == depth[0] else None)) for layer in depth)))
    title = "Rank of each matrix by depth, and the share of the outputs' variance that half of its break-even rank alone would change"
    return heat(title, [f"layer {layer}" for layer in depth], rows, "matrix")


def _scores(rows: Sequence[tuple[str, Score]]) -> Any:
    if not rows:
        return None
    title = f"{spoken(rows[0][1].metric)} by stage with 95 % intervals"
    return intervals(title, [Interval(spoken(stage), score.low, score.value, score.high, score_text(score.value)) for stage, score in rows])


def _reliability(ladder: Sequence[StageRecord]) -> Any:
    sides = [("teacher", ladder[0]), ("shipped file", ladder[-1])] if len(ladder) > 1 else [("teacher", row) for row in ladder]
    dots = [
        Dots(f"{name}: ECE {row.calibration.ece:.3f}", tuple((b.confidence, b.accuracy, b.rows) for b in row.calibration.reliability))
        for name, row in sides
        if row.calibration and row.calibration.reliability
    ]
    title = "Share of right decisions by confidence. On the diagonal both are equal; below it, confidence is too high. Area: how many rows"
    return reliability(title, dots, "confidence", "share right") if dots else None


def _true_class(stages: Sequence[tuple[str, Sequence[TeacherBin]]]) -> Any:
    _, first = stages[0]
    drawn = [
        HeatRow(stage, tuple(_cell(f"{b.true_class:.2f}", b.true_class - a.true_class) for a, b in zip(first, bins, strict=False)))
        for stage, bins in stages
    ]
    title = "Mean confidence in the true class, in ten parts of the test split. Left: the teacher was unsure. Red: less than the teacher"
    return heat(title, _columns(first), drawn, "teacher's confidence")


def _flips(stages: Sequence[tuple[str, Sequence[TeacherBin]]]) -> Any:
    drawn = [HeatRow(stage, tuple(_cell(f"{b.flip_share:.1%}", -b.flip_share) for b in bins)) for stage, bins in stages]
    title = "Decisions that differ from the teacher's, in the same ten parts"
    return heat(title, _columns(stages[0][1]), drawn, "teacher's confidence")


def _columns(bins: Sequence[TeacherBin]) -> list[str]:
    return [f"{each.teacher:.2f}" for each in bins]


def _cell(text: str, change: float) -> Cell:
    return Cell(text, max(-1.0, min(1.0, change / _FULL_COLOUR)))
