"""Quantizes an exported file: the narrowest recipe that passes the gate. What was tried, and why it was not enough, is kept.

What the user fixed is never widened beyond it. There is no way back to fp32: a plan chooses less because fp32 breaks a budget.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.measure.answers import answer
from edgepack.model.material import Material
from edgepack.pack.attempts import Attempt
from edgepack.pack.runnable import RUNNABLE_FILE, Runnable, read_runnable
from edgepack.pipeline.gate import judge_attempt
from edgepack.plan.plan import Plan
from edgepack.plan.steps import Quantize
from edgepack.quantize.calibration import CalibrationTexts
from edgepack.quantize.schemes import Candidate, candidates
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features, Outputs

_LEAST_TEXTS = 8  # fewer say little of what a scale must hold
GATE_ROWS = 1000  # of the dev split: they tell half a point apart; an encoder answers them in seconds


@dataclass(frozen=True)
class _Judge:
    """Held-out rows, and what the fp32 export says of them."""

    material: Material
    plan: Plan
    rows: Sequence[Row]
    features: Sequence[Features]
    expected: Outputs
    runnable: Runnable  # of the fp32 export, and of all that is made from it

    def judge(self, folder: Path, candidate: Candidate) -> Attempt:
        from edgepack.quantize.matrix_products import count_matrix_products

        found = _answers(self.plan, folder, self.features, f"judge {candidate.recipe}")
        judged = judge_attempt(self.material.task, found, self.expected, self.features, self.rows, self.material.labels)
        drop, limit = judged["score_drop"], self.plan.budget.score_drop
        return Attempt(
            recipe=candidate.recipe,
            precision=candidate.precision,
            file_mb=round(sum(path.stat().st_size for path in folder.glob(f"{self.runnable.model}*")) / 1e6, 3),
            products=count_matrix_products(folder / self.runnable.model),
            limit=limit,
            passed=None if drop is None or limit is None else drop <= limit,
            details=candidate.details,
            sensitivity=candidate.sensitivity,
            **judged,
        )


def check_calibration(material: Material, plan: Plan) -> None:
    """EdgepackError where int8 was asked for with settings that so few texts cannot choose."""
    count = len(material.rows("train"))
    asked = [name for name in ("smoothing", "sensitive") if getattr(material.recipe, name)]
    asked += ["activations static"] if material.recipe.activations == "static" else []
    if asked and count < _LEAST_TEXTS and any(isinstance(step, Quantize) for step in plan.steps):
        raise EdgepackError(
            f"--{asked[0]} calibrates on texts of the train split, which has {count}: {_LEAST_TEXTS} at least",
            "give more data, or leave the flag out",
        )


def quantize_file(material: Material, plan: Plan, exported: Path, step: Quantize, folder: Path) -> list[Attempt]:
    """Leaves a file in `folder`, ready for its runtime; returns what was tried, and what was chosen last.

    Where no recipe passes, the one that loses least is chosen, and its Attempt says that it failed.
    """
    judge = _judge(material, plan, exported)
    attempts: list[Attempt] = []
    for candidate in candidates(step, exported, _calibration_texts(material)):
        place = folder / f"attempt-{len(attempts)}"
        place.mkdir()
        candidate.write(place)
        shutil.copyfile(exported / RUNNABLE_FILE, place / RUNNABLE_FILE)
        attempts.append(judge.judge(place, candidate))
        say(f"  {candidate.recipe}: {attempts[-1].verdict()}")
        if attempts[-1].passed is not False:
            break
    best = min(attempts, key=lambda one: (one.passed is False, one.score_drop or 0.0))
    for path in (folder / f"attempt-{attempts.index(best)}").glob(f"*{Path(judge.runnable.model).suffix}*"):
        path.rename(folder / path.name)
    for index in range(len(attempts)):
        shutil.rmtree(folder / f"attempt-{index}")
    return [one for one in attempts if one is not best] + [best]


def _calibration_texts(material: Material) -> CalibrationTexts:
    drawn = np.random.default_rng(material.recipe.seed)

    def sampled(count: int) -> tuple[Sequence[Features], Sequence[Features]]:
        def texts(rows: Sequence[Row]) -> Sequence[Features]:
            return material.encoded([rows[index] for index in drawn.permutation(len(rows))[:count]])[:count]

        return texts(material.rows("train")), texts(material.rows("dev"))

    return CalibrationTexts(lambda: material.train, sampled, material.recipe.precision is not None)


def _judge(material: Material, plan: Plan, exported: Path) -> _Judge:
    rows = material.rows("dev")
    picked = sorted(np.random.default_rng(material.recipe.seed).permutation(len(rows))[:GATE_ROWS])
    rows = [rows[index] for index in picked]
    features = material.encoded(rows) if rows else material.sample[1]
    return _Judge(material, plan, rows, features, _answers(plan, exported, features, "judge the fp32 export"), read_runnable(exported))


def _answers(plan: Plan, folder: Path, features: Sequence[Features], title: str) -> Outputs:
    return answer(folder, plan.runtime, features, len(os.sched_getaffinity(0)), plan.exact_products, title=title)
