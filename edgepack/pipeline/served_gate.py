"""The gate's scores through the path that users take: raw texts through a module's code, for models that it answers otherwise.

Words may be split or decided in another way there than in rows of tokens, and texts may be cut in another way.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from edgepack.core.host import usable_cores
from edgepack.core.progress import bar, say
from edgepack.model.material import Material
from edgepack.model.quality import flip_share, score_decisions
from edgepack.pack.runnable import Runnable
from edgepack.pipeline.file_answers import FileAnswers
from edgepack.pipeline.pack_texts import longest_text, write_tokenizer
from edgepack.plan.plan import Plan
from edgepack.ship.load import device_module
from edgepack.tasks.common.rows import Row

_FIRST_ROWS = 200  # that tell whether the paths differ


@dataclass(frozen=True)
class ServedGate:
    """Held-out rows that the fp32 export answers otherwise as raw texts than as token ids. expected: its decisions on raw texts."""

    material: Material
    plan: Plan
    runnable: Runnable
    rows: Sequence[Row]
    expected: Sequence[Any]
    differing: int

    def judge(self, folder: Path) -> dict[str, Any]:
        """The fields of an Attempt that raw texts tell of a file."""
        material, task = self.material, self.material.task
        decisions = _decisions(folder, self.runnable, material, self.plan, self.rows)
        score, plain = (score_decisions(task, each, self.rows, material.labels) for each in (decisions, self.expected))
        return {
            "score": score,
            "float_score": plain,
            "score_drop": round(score.drop_from(plain), 3) if score and plain else None,
            "flip_share": flip_share(decisions, self.expected),
        }


def served_gate(runnable: Runnable, material: Material, rows: Sequence[Row], answers: FileAnswers) -> ServedGate | None:
    """None where both paths decide alike, or the task is judged by outputs. answers: of the fp32 export to these rows."""
    task, folder, plan = material.task, answers.folder, answers.plan
    if task.served is None or not rows:
        return None
    first = rows[:_FIRST_ROWS]
    decisions = _decisions(folder, runnable, material, plan, first)
    features, outputs = answers.to_first(len(first))
    if all(task.alike(*pair) for pair in zip(decisions, task.decide(outputs, features, first), strict=True)):
        return None
    decisions += _decisions(folder, runnable, material, plan, rows[_FIRST_ROWS:])
    features, outputs = answers.to_first(len(rows))
    by_tokens = task.decide(outputs, features, rows)
    differing = sum(not task.alike(*pair) for pair in zip(decisions, by_tokens, strict=True))
    say(f"  raw texts decide: the fp32 export answers {differing} of {len(rows)} held-out rows otherwise as token ids")
    return ServedGate(material, plan, runnable, rows, decisions, differing)


def _decisions(folder: Path, runnable: Runnable, material: Material, plan: Plan, rows: Sequence[Row]) -> list[Any]:
    decisions: list[Any] = []
    served = material.task.served
    if served is None or not rows:
        return decisions
    with _opened(folder, runnable, material, plan) as model, bar("judge raw texts", len(rows)) as progress:
        for row in rows:
            decisions.append(served(model, row, material.labels))
            progress.advance()
    return decisions


@contextmanager
def _opened(folder: Path, runnable: Runnable, material: Material, plan: Plan) -> Iterator[Any]:
    """A file that is no pack yet, as a module would run it."""
    labels = {str(index): name for index, name in sorted(material.id2label.items())}
    answers = None if material.answers is None else material.answers.as_json()
    max_length = longest_text(runnable, material)
    facts = {"labels": labels, "answers": answers, "max_length": max_length}
    manifest = runnable.model_copy(update=facts).as_json() | {"exact": plan.exact_products, "format": plan.format}
    with tempfile.TemporaryDirectory() as place:
        # A tokenizer of its own: a pack's is set up otherwise than that of a build.
        write_tokenizer(replace(material), max_length, Path(place), "token_type_ids" in runnable.inputs)
        opened = import_module(f"{device_module().__name__}.model").opened
        with opened(folder, manifest, Path(place), usable_cores()) as model:
            yield model
