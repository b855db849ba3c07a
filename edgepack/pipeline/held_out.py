"""Judges files that were quantized on held-out rows, beside the fp32 export that they were made from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.model.material import Material
from edgepack.model.quality import paired_drop
from edgepack.pack.attempts import Attempt
from edgepack.pack.runnable import Runnable, read_runnable
from edgepack.pipeline.checks import products_in_float
from edgepack.pipeline.file_answers import FileAnswers
from edgepack.pipeline.gate import cosines_of, judge_attempt
from edgepack.pipeline.looks import drop_range, looks_at, mean_decides
from edgepack.pipeline.served_gate import ServedGate, served_gate
from edgepack.plan.plan import Plan
from edgepack.quantize.schemes import Candidate
from edgepack.tasks.common.rows import Row

GATE_ROWS = 1000  # of the dev split: they tell half a point apart; an encoder answers them in seconds


@dataclass(frozen=True)
class Judge:
    """Held-out rows, and what the fp32 export says of them. looks: after how many rows a verdict may be reached, the last being all."""

    material: Material
    plan: Plan
    rows: Sequence[Row]
    export: FileAnswers
    runnable: Runnable  # of the fp32 export, and of all that is made from it
    served: ServedGate | None  # where raw texts are answered otherwise than token ids
    looks: tuple[int, ...]
    _answers: dict[Path, FileAnswers] = field(default_factory=dict)

    def judge(self, folder: Path, candidate: Candidate, by_all_rows: bool = False) -> Attempt:
        """The verdict on the file in `folder`, after as few rows as decide; by_all_rows: after all of them."""
        from edgepack.quantize.matrix_products import count_matrix_products

        self._answers[folder] = FileAnswers(folder, self.plan, self.export.features, f"judge {candidate.recipe}")
        in_float = products_in_float(folder / self.runnable.model, candidate, self.plan.teacher.family)
        look = self.looks[-1] if by_all_rows else next(rows for rows in self.looks if self._is_decided(folder, rows))
        return Attempt(
            recipe=candidate.recipe,
            precision=candidate.precision,
            file_mb=round(sum(path.stat().st_size for path in folder.glob(f"{self.runnable.model}*")) / 1e6, 3),
            products=count_matrix_products(folder / self.runnable.model),
            limit=self.plan.budget.score_drop,
            details=candidate.details | self._coded(folder, candidate) | self._on_raw_texts(),
            sensitivity=candidate.sensitivity,
            in_float=in_float,
            least_mean_cosine=self.material.least_mean_cosine,
            **self._quality(folder, look),
        )

    def on_equal_rows(self, attempts: Sequence[Attempt], folders: Sequence[Path]) -> list[Attempt]:
        """The attempts judged on as many rows as any of them was, so that their figures can be compared."""
        most = max(attempt.texts for attempt in attempts)
        return [
            attempt if attempt.texts == most else attempt.model_copy(update=self._quality(folder, most))
            for attempt, folder in zip(attempts, folders, strict=True)
        ]

    def _is_decided(self, folder: Path, look: int) -> bool:
        """Whether the first rows tell what all of them would: of the drop, and of the mean cosine where it has a limit too."""
        if look == self.looks[-1]:
            return True
        limit, least = self.plan.budget.score_drop, self.material.least_mean_cosine
        points = self._drop_range(folder, look)
        if limit is None or points is None or points[0] <= limit < points[1]:
            return False
        cosines = cosines_of(self._answers[folder].to_first(look)[1], self.export.to_first(look)[1])
        return least is None or mean_decides(cosines, len(self.export.features), least, self.looks)

    def _drop_range(self, folder: Path, look: int) -> tuple[float, float] | None:
        features, expected = self.export.to_first(look)
        actual = self._answers[folder].to_first(look)[1]
        drop = paired_drop(self.material.task, actual, expected, features, self.rows[:look], self.material.labels)
        return None if drop is None else drop_range(drop, self.looks, look)

    def _quality(self, folder: Path, look: int) -> dict[str, Any]:
        """The fields of an Attempt that the first rows tell; without rows, those that the sample tells."""
        material, limit, is_early = self.material, self.plan.budget.score_drop, look < self.looks[-1]
        (features, expected), (_, actual) = (
            answers.to_first(look) if is_early else answers.to_all() for answers in (self.export, self._answers[folder])
        )
        quality = judge_attempt(material.task, actual, expected, features, self.rows[:look], material.labels)
        quality |= self.served.judge(folder) if self.served else {}
        drop = quality["score_drop"]
        quality["passed"] = None if drop is None or limit is None else drop <= limit
        low, high = (is_early and self._drop_range(folder, look)) or (None, None)
        of_all = {"of_texts": self.looks[-1], "drop_low": round(low, 3), "drop_high": round(high, 3)} if low is not None else {}
        return quality | dict.fromkeys(("of_texts", "drop_low", "drop_high")) | of_all

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


def judge_beside(exported: Path, material: Material, plan: Plan) -> Judge:
    """With rows of the dev split, in a random order; running text keeps its own, and is read as a whole."""
    rows, task = material.rows("dev"), material.task
    picked = np.random.default_rng(material.recipe.seed).permutation(len(rows))[:GATE_ROWS]
    rows = [rows[index] for index in (sorted(picked) if task.joins_rows else picked)]
    features = material.encoded(rows) if rows else material.sample[1]
    export, runnable = FileAnswers(exported, plan, features, "judge the fp32 export"), read_runnable(exported)
    looks = (len(rows),) if task.joins_rows or plan.budget.score_drop is None else looks_at(len(rows))
    export.to_first(looks[0])
    served = served_gate(runnable, material, rows, export)
    # Raw texts are asked one at a time, and the report says how many of all rows they decide otherwise.
    return Judge(material, plan, rows, export, runnable, served, looks[-1:] if served else looks)
