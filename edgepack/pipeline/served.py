"""The score that users get: rows of the test split as raw text, through the code that a shipped module runs."""

from pathlib import Path
from typing import Any

from edgepack.core.progress import bar
from edgepack.model.quality import score_decisions
from edgepack.pack.manifest import Manifest, Served
from edgepack.pipeline.scoring import file_outputs
from edgepack.pipeline.state import BuildState
from edgepack.ship.load import load
from edgepack.tasks.common.rows import Row

_ROWS = 1000  # they tell a point apart


def served_score(folder: Path, manifest: Manifest, state: BuildState) -> Served | None:
    """Beside the same rows as token ids, as the ladder scores them. None where the task's answers are no decisions."""
    material, task = state.material, state.material.task
    rows, labels = material.rows("test")[:_ROWS], material.labels
    if task.served is None or not rows:
        return None
    decisions = _asked(folder, task.served, rows, labels)
    if any(decision is NotImplemented for decision in decisions):
        return None
    features = [item for item in material.test if item.row < len(rows)]
    outputs = file_outputs(folder, manifest.plan, features, "score the token ids")
    by_tokens = task.decide(outputs, features, rows)
    score, token_score = (score_decisions(task, each, rows, labels) for each in (decisions, by_tokens))
    if score is None or token_score is None:
        return None
    teacher = None
    if state.teacher.test:
        indexes = [index for index, item in enumerate(material.test) if item.row < len(rows)]
        teacher_outputs = [state.teacher.test[index] for index in indexes]
        teacher = score_decisions(task, task.decide(teacher_outputs, [material.test[index] for index in indexes], rows), rows, labels)
    return Served(
        score=score,
        token_score=token_score,
        score_drop=round(score.drop_from(teacher), 3) if teacher else None,
        differing=sum(ours != theirs for ours, theirs in zip(decisions, by_tokens, strict=True)),
    )


def _asked(folder: Path, served: Any, rows: list[Row], labels: dict[str, int]) -> list[Any]:
    decisions = []
    with load(folder) as model, bar("score raw texts", len(rows)) as progress:
        for row in rows:
            decisions.append(served(model, row, labels))
            progress.advance()
    return decisions
