"""The stage that quantizes an exported file: the narrowest recipe that passes the gate. What was tried and failed is kept.

What the user fixed is never widened beyond it. There is no way back to fp32: a plan chooses less because fp32 breaks a budget.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.core.cache import Stage
from edgepack.core.distributed import is_first
from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.model.material import Material
from edgepack.model.source import Source
from edgepack.pack.attempts import Attempt, best_attempt
from edgepack.pack.runnable import RUNNABLE_FILE, read_runnable, write_runnable
from edgepack.pipeline.checks import checked_decoding
from edgepack.pipeline.held_out import judge_beside
from edgepack.pipeline.scoring import file_outputs, file_size_mb, judged, load_model
from edgepack.pipeline.state import BuildState, QuantizedFile
from edgepack.plan.plan import Plan
from edgepack.plan.runtime import Format
from edgepack.plan.steps import Quantize
from edgepack.quantize.calibration import CalibrationTexts
from edgepack.quantize.coarse_weights import RowWeights
from edgepack.quantize.schemes import SCHEMES, candidates, quantized_runnable
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features

_LEAST_TEXTS = 8  # fewer say little of what a scale must hold


def check_calibration(material: Material, plan: Plan) -> None:
    """EdgepackError where int8 was asked for with settings that so few texts cannot choose."""
    count = len(material.rows("train"))
    asked = [name for name in ("smoothing", "sensitive") if getattr(material.recipe, name)]
    asked += ["activations static"] if material.recipe.activations == "static" else []
    if asked and count < _LEAST_TEXTS and any(isinstance(step, Quantize) for step in plan.steps):
        raise EdgepackError(
            f"--{asked[0]} calibrates on texts of the train split, which has only {count}: at least {_LEAST_TEXTS} are needed",
            "give more data, or leave the flag out",
        )


def scheme_of(step: Quantize, file_format: Format) -> str:
    """The module of the scheme that the step uses."""
    return f"edgepack.quantize.schemes.{SCHEMES[file_format, step.method]}"


def make(state: BuildState, step: Quantize, place: Stage) -> dict[str, Any]:
    """Leaves a file in the place's folder, ready for its runtime. The record holds what was tried, and what was chosen last.

    Where no recipe passes, the one that loses least is chosen, and its Attempt says that it failed.
    """
    if not is_first():
        return {}
    material, plan, exported = state.material, state.plan, state.model_file
    judge = judge_beside(exported.folder, material, plan)
    attempts: list[Attempt] = []
    for_curve: list[Attempt] = []
    for candidate in candidates(step, exported.folder, _calibration_texts(material, state.work.checkpoint)):
        folder = place.folder / f"attempt-{len(attempts)}"
        folder.mkdir()
        candidate.write(folder)
        shutil.copyfile(exported.folder / RUNNABLE_FILE, folder / RUNNABLE_FILE)
        # The points of a curve, and the file that ships beside them, are compared with one another: all rows judge them.
        attempts.append(judge.judge(folder, candidate, by_all_rows=candidate.for_curve or bool(for_curve)))
        say(f"  {candidate.recipe}: {attempts[-1].verdict()}")
        for_curve += [attempts[-1]] if candidate.for_curve else []
        if attempts[-1].passed is not False and not candidate.for_curve and not attempts[-1].below_mean:
            break
    else:  # none is as it should be: the best of them is chosen by its figures
        attempts = judge.on_equal_rows(attempts, [place.folder / f"attempt-{index}" for index in range(len(attempts))])
    attempts = _keep_best(attempts, for_curve, place.folder, exported.runnable.model)
    runnable = quantized_runnable(step, exported.folder)
    write_runnable(place.folder, runnable)
    details = dict(attempts[-1].details)
    if runnable.is_decoder:
        details |= checked_decoding(material, plan, place.folder, step.precision)
    outputs = file_outputs(place.folder, plan, material.test, f"score after {step.verb}")
    size = {"params": state.ladder[-1].params, "file_mb": file_size_mb(place.folder, runnable)}
    tried = {"attempts": [attempt.as_json() for attempt in attempts], "details": details}
    return judged(material, outputs, state.teacher.test) | size | tried


def after(state: BuildState, step: Quantize, place: Stage) -> tuple[BuildState, dict[str, Any]]:
    """The state with the quantized file, and the stage's record."""
    return replace(state, work=QuantizedFile(state.work.checkpoint, place.folder, read_runnable(place.folder))), place.record


def _keep_best(attempts: list[Attempt], for_curve: list[Attempt], folder: Path, model: str) -> list[Attempt]:
    """Moves the best attempt's files into `folder` and removes the others; returns the attempts with the best one last."""
    offered = [attempt for attempt in attempts if not any(attempt is other for other in for_curve)]
    best = best_attempt(offered)
    for path in (folder / f"attempt-{attempts.index(best)}").glob(f"*{Path(model).suffix}*"):
        path.rename(folder / path.name)
    for index in range(len(attempts)):
        shutil.rmtree(folder / f"attempt-{index}")
    return [attempt for attempt in attempts if attempt is not best] + [best]


def _calibration_texts(material: Material, checkpoint: Source) -> CalibrationTexts:
    drawn = np.random.default_rng(material.recipe.seed)

    def sampled(count: int) -> tuple[Sequence[Features], Sequence[Features]]:
        def texts(rows: Sequence[Row]) -> Sequence[Features]:
            return material.encoded([rows[index] for index in drawn.permutation(len(rows))[:count]])[:count]

        return [*texts(material.rows("train")), *material.unfamiliar], texts(material.rows("dev"))

    def of_rows(texts: Sequence[Features]) -> RowWeights:
        from edgepack.quantize.torch_row_weights import row_weights

        return row_weights(load_model(material, checkpoint), texts, material.recipe.seed)

    return CalibrationTexts(lambda: material.train, sampled, material.recipe.precision is not None, of_rows)
