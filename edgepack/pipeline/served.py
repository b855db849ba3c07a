"""The score that users get: rows of the test split as raw text, through the code that a shipped module runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgepack.core.progress import bar
from edgepack.measure.golden import gap_between
from edgepack.model.quality import judge_outputs, score_decisions
from edgepack.pack.manifest import Manifest, Served
from edgepack.pipeline.scoring import file_outputs
from edgepack.pipeline.state import BuildState
from edgepack.ship.load import load
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.scores import Score
from edgepack.tasks.common.task import Features, Outputs

_ROWS = 1000  # they tell a point apart


def served_score(folder: Path, manifest: Manifest, state: BuildState) -> Served | None:
    """Beside the same rows as token ids, as the ladder scores them. None where there is no test split, or its rows define no metric."""
    material = state.material
    rows = material.rows("test")[:_ROWS]
    if not rows or not material.test:
        return None
    features = [item for item in material.test if item.row < len(rows)]
    served = _by_decisions if material.task.served else _by_outputs
    return served(folder, manifest, state, rows, features)


def _by_decisions(folder: Path, manifest: Manifest, state: BuildState, rows: list[Row], features: list[Features]) -> Served | None:
    material, task, labels = state.material, state.material.task, state.material.labels
    decisions = []
    with load(folder) as model, bar("score raw texts", len(rows)) as progress:
        for row in rows:
            decisions.append(task.served(model, row, labels) if task.served else None)
            progress.advance()
    by_tokens = task.decide(file_outputs(folder, manifest.plan, features, "score the token ids"), features, rows)
    teacher = _teacher(state, features)
    by_teacher = score_decisions(task, task.decide(teacher, features, rows), rows, material.labels) if teacher else None
    score, token_score = (score_decisions(task, each, rows, labels) for each in (decisions, by_tokens))
    return _served(score, token_score, by_teacher, [not task.alike(*pair) for pair in zip(decisions, by_tokens, strict=True)])


def _by_outputs(folder: Path, manifest: Manifest, state: BuildState, rows: list[Row], features: list[Features]) -> Served | None:
    material, task = state.material, state.material.task
    if task.served_outputs is None:
        return None
    outputs: list[Any] = []
    with load(folder) as model, bar("score raw texts", len(features)) as progress:
        for output in task.served_outputs(model, rows, features):
            outputs.append(output)
            progress.advance()
    features = features[: len(outputs)]
    by_tokens = file_outputs(folder, manifest.plan, features, "score the token ids")
    teacher = _teacher(state, features)

    def score_of(each: Outputs) -> Score | None:
        return judge_outputs(task, each, features, rows, material.labels, teacher or None).score

    apart = [gap_between(ours, theirs, task) > manifest.golden_tolerance for ours, theirs in zip(outputs, by_tokens, strict=True)]
    return _served(score_of(outputs), score_of(by_tokens), score_of(teacher) if teacher else None, apart)


def _teacher(state: BuildState, features: Sequence[Features]) -> Outputs:
    """The teacher's outputs for the first of the test split's features."""
    return list(state.teacher.test[: len(features)]) if state.teacher.test else []


def _served(score: Score | None, token_score: Score | None, teacher: Score | None, apart: Sequence[bool]) -> Served | None:
    """None where the rows do not define the metric."""
    if score is None or token_score is None:
        return None
    drop = round(score.drop_from(teacher), 3) if teacher else None
    return Served(score=score, token_score=token_score, score_drop=drop, differing=sum(apart))
