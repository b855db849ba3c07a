"""A trial: a candidate that is trained for a short time and judged on rows of the dev split, through the stages of a build."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import hushed
from edgepack.core.records import Frozen
from edgepack.pack.manifest import StageRecord
from edgepack.pipeline.build import through_steps
from edgepack.pipeline.state import BuildState, TrainedModel
from edgepack.pipeline.teacher import judge_teacher
from edgepack.plan.plan import make_plan
from edgepack.plan.prediction import Prediction
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.search.rungs import Materials, Rung
from edgepack.tasks.common.scores import lower_is_better

_OF_95_PER_CENT = 1.96  # standard errors on each side of a normal score


class Outcome(Frozen):
    """What a trial says. score_drop: points lost against the teacher on the same rows; low and high: the score's 95 % interval.

    file_mb: of the file that was written. seconds: that the trial took here; a stage from the cache takes none. failure: why there is
    no score. lost: the machines ended, which need not be the candidate's doing. steps, texts: of its trainings, and the different texts
    that they read; 0 where nothing was trained. training_s: of the trainings, now or when the cache got them; teacher_s: of the teacher.
    rest_s: what this trial took beside both.
    """

    score: float | None = None
    low: float | None = None
    high: float | None = None
    metric: str | None = None
    score_drop: float | None = None
    file_mb: float | None = None
    params: int | None = None
    seconds: float
    failure: str | None = None
    lost: bool = False
    steps: int = 0
    texts: int = 0
    training_s: float = 0.0
    initialization_s: float = 0.0
    teacher_s: float = 0.0
    rest_s: float = 0.0

    @property
    def standard_error(self) -> float | None:
        """Of the score, in points as `score_drop` has them, by its 95 % interval; None where there is no interval."""
        if self.score is None or self.low is None or self.high is None or self.metric is None:
            return None
        interval = (self.high - self.low) / (self.score if lower_is_better(self.metric) else 1.0)
        return 100 * interval / (2 * _OF_95_PER_CENT)


@dataclass(frozen=True)
class Bench:
    """What all trials of a search share."""

    materials: Materials
    profile: Profile
    cache: Path

    def outcome(self, recipe: Recipe, rung: Rung) -> Outcome:
        """The score and size of a candidate's recipe. A candidate that cannot be built is an outcome too: it must not end the search."""
        started = time.monotonic()
        try:
            with hushed():
                state = judge_teacher(self._state(recipe, rung))
                asked_s = time.monotonic() - started
                state = through_steps(state)
        except EdgepackError as error:
            return Outcome(seconds=round(time.monotonic() - started, 2), failure=f"{error.problem}: {error.fix}")
        row, seconds = state.ladder[-1], time.monotonic() - started
        training_s, initialization_s = training_s_of(state.ladder), initialization_s_of(state.ladder)
        steps_s, of_student_s = seconds - asked_s, training_s + initialization_s
        return Outcome(
            score=row.score.value if row.score else None,
            low=row.score.low if row.score else None,
            high=row.score.high if row.score else None,
            metric=row.score.metric if row.score else None,
            score_drop=row.score_drop,
            file_mb=_file_mb(state.plan.coding is not None, row.details, row.file_mb, state.plan.predictions),
            params=row.params,
            seconds=round(seconds, 2),
            training_s=training_s,
            initialization_s=initialization_s,
            teacher_s=state.ladder[0].seconds,
            rest_s=round(steps_s - of_student_s if steps_s > of_student_s else steps_s, 2),  # without a student that the cache had
            **trained_on(state.ladder),
        )

    def _state(self, whole: Recipe, rung: Rung) -> BuildState:
        recipe = rung.recipe(whole)
        material = self.materials.at(rung, recipe)
        pieces = len(material.vocabulary_cut.order) if recipe.cuts_vocabulary else None
        plan = make_plan(self.profile, recipe, material.source.shape(material.task.name), pieces)
        return BuildState(material.source, material, plan, self.profile, self.cache, TrainedModel(material.source))


def trained_on(ladder: Sequence[StageRecord]) -> dict[str, int]:
    """Steps of all trainings of a ladder, and how many texts the largest of them read."""
    trainings = [row.details for row in ladder if row.stage == "distill"]
    return {
        "steps": sum(int(each.get("steps", 0)) for each in trainings),
        "texts": max((int(each.get("texts", 0)) for each in trainings), default=0),
    }


def training_s_of(ladder: Sequence[StageRecord]) -> float:
    """Seconds of the trainings of a ladder, now or when the cache got them."""
    return round(sum(row.seconds - (row.initialization_s or 0.0) for row in ladder if row.stage == "distill"), 2)


def initialization_s_of(ladder: Sequence[StageRecord]) -> float:
    """Seconds that making the students of a ladder took: as many for a short training as for a long one."""
    return round(sum(row.initialization_s or 0.0 for row in ladder), 2)


def _file_mb(is_coded: bool, details: dict[str, Any], file_mb: float, prediction: Prediction) -> float:
    """Of the file as it ships: a coded one is smaller than the file that it is made from."""
    return float(details.get("coded_mb", prediction.file_mb)) if is_coded else file_mb
