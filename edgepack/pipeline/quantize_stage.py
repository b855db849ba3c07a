"""The stage that quantizes an exported file: the narrowest recipe that passes the gate. What was tried and failed is kept.

What the user fixed is never widened beyond it. There is no way back to fp32: a plan chooses less because fp32 breaks a budget.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from edgepack.pack.runnable import RUNNABLE_FILE, Runnable, read_runnable, write_runnable
from edgepack.pipeline.checks import checked_decoding, products_in_float
from edgepack.pipeline.gate import judge_attempt
from edgepack.pipeline.scoring import file_outputs, file_size_mb, judged, load_model
from edgepack.pipeline.served_gate import ServedGate, served_gate
from edgepack.pipeline.state import BuildState, QuantizedFile
from edgepack.plan.plan import Plan
from edgepack.plan.runtime import Format
from edgepack.plan.steps import Quantize
from edgepack.quantize.calibration import CalibrationTexts
from edgepack.quantize.coarse_weights import RowWeights
from edgepack.quantize.schemes import SCHEMES, Candidate, candidates, quantized_runnable
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
    served: ServedGate | None  # where raw texts are answered otherwise than token ids

    def judge(self, folder: Path, candidate: Candidate) -> Attempt:
        from edgepack.quantize.matrix_products import count_matrix_products

        in_float = products_in_float(folder / self.runnable.model, candidate, self.plan.teacher.family)
        outputs = file_outputs(folder, self.plan, self.features, f"judge {candidate.recipe}")
        quality = judge_attempt(self.material.task, outputs, self.expected, self.features, self.rows, self.material.labels)
        quality |= self.served.judge(folder) if self.served else {}
        drop, limit = quality["score_drop"], self.plan.budget.score_drop
        return Attempt(
            recipe=candidate.recipe,
            precision=candidate.precision,
            file_mb=round(sum(path.stat().st_size for path in folder.glob(f"{self.runnable.model}*")) / 1e6, 3),
            products=count_matrix_products(folder / self.runnable.model),
            limit=limit,
            passed=None if drop is None or limit is None else drop <= limit,
            details=candidate.details | self._coded(folder, candidate) | self._on_raw_texts(),
            sensitivity=candidate.sensitivity,
            in_float=in_float,
            least_mean_cosine=self.material.least_mean_cosine,
            **quality,
        )

    def _on_raw_texts(self) -> dict[str, int]:
        return {"rows_that_raw_texts_decide_otherwise": self.served.differing} if self.served else {}

    def _coded(self, folder: Path, candidate: Candidate) -> dict[str, float]:
        """What the file takes once its weights are coded, where they were rounded for that."""
        if "bits" not in candidate.details or self.plan.coding is None:
            return {}
        from edgepack.export.weight_places import weights_in
        from edgepack.pack.coding import coded_file_bytes, parts_between

        source, places = weights_in(folder, self.runnable.model)
        parts = parts_between(places, source.stat().st_size)
        graph = 0 if source.name == self.runnable.model else (folder / self.runnable.model).stat().st_size
        return {"coded_mb": round((coded_file_bytes(source, parts, self.plan.coding.codec) + graph) / 1e6, 3)}


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
    judge = _judge(material, plan, exported.folder)
    attempts: list[Attempt] = []
    for_curve: list[Attempt] = []
    for candidate in candidates(step, exported.folder, _calibration_texts(material, state.work.checkpoint)):
        folder = place.folder / f"attempt-{len(attempts)}"
        folder.mkdir()
        candidate.write(folder)
        shutil.copyfile(exported.folder / RUNNABLE_FILE, folder / RUNNABLE_FILE)
        attempts.append(judge.judge(folder, candidate))
        say(f"  {candidate.recipe}: {attempts[-1].verdict()}")
        for_curve += [attempts[-1]] if candidate.for_curve else []
        if attempts[-1].passed is not False and not candidate.for_curve and not attempts[-1].below_mean:
            break
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


def _judge(material: Material, plan: Plan, exported: Path) -> _Judge:
    rows = material.rows("dev")
    picked = sorted(np.random.default_rng(material.recipe.seed).permutation(len(rows))[:GATE_ROWS])
    rows = [rows[index] for index in picked]
    features = material.encoded(rows) if rows else material.sample[1]
    expected, runnable = file_outputs(exported, plan, features, "judge the fp32 export"), read_runnable(exported)
    served = served_gate(exported, runnable, material, plan, rows, features, expected)
    return _Judge(material, plan, rows, features, expected, runnable, served)
