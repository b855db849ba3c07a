"""Trials that are cut out of one shared model and judged in seconds: see compress/supernet.py. Packs are trained alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import hushed
from edgepack.pipeline.shared_stage import shared_network
from edgepack.pipeline.state import BuildState, TrainedModel
from edgepack.pipeline.teacher import judge_teacher
from edgepack.plan.plan import make_plan
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Distill
from edgepack.plan.student import student_layers
from edgepack.plan.student_size import parse_student
from edgepack.search.rungs import Materials, Rung, full_texts, materials_of
from edgepack.search.space import HIDDEN, Space
from edgepack.search.space_file import Narrowed
from edgepack.search.trials import Bench, Outcome
from edgepack.tasks.common.scores import Score

_RANKED_BY = "activation"  # as the shared model orders its parts


@dataclass
class SharedBench:
    """Judges on the first rung by parts of the shared model; on later ones as a plain bench does."""

    plain: Bench
    network: Path | None = None
    parts: Bench | None = field(default=None, init=False)
    teacher: Score | None = field(default=None, init=False)

    @property
    def materials(self) -> Materials:
        return self.plain.materials

    def outcome(self, recipe: Recipe, rung: Rung) -> Outcome:
        """score_drop: against the model as it came, not against the shared model."""
        if rung.index > 0:
            return self.plain.outcome(recipe, rung)
        if self.parts is None:
            with hushed():
                self._train(recipe, rung)
        assert self.parts is not None, "the shared model was trained"
        outcome = self.parts.outcome(part_recipe(recipe, len(self._layers)), rung)
        if outcome.score is None or self.teacher is None:
            return outcome
        score = self.teacher.model_copy(update={"value": outcome.score})
        return outcome.model_copy(update={"score_drop": round(score.drop_from(self.teacher), 3)})

    @property
    def _layers(self) -> tuple[object, ...]:
        whole = self.plain.materials.whole
        return whole.source.shape(whole.task.name).layers

    def _train(self, recipe: Recipe, rung: Rung) -> None:
        """The model on all rows, and what the teacher scores on the rung's."""
        whole = self.plain.materials.whole
        rows = len(whole.rows("train"))
        epochs = max(1, round(full_texts(whole.recipe, rows) / rows))
        training = whole.recipe.training.model_copy(update={"epochs": epochs})
        learns = whole.recipe.model_copy(update={"student": "same", "prune_ffn": 0.5, "prune_heads": 0.0, "training": training})
        plan = make_plan(self.plain.profile, learns, whole.source.shape(whole.task.name))
        step = next(step for step in plan.steps if isinstance(step, Distill))
        material = replace(whole, recipe=learns)
        state = BuildState(whole.source, material, plan, self.plain.profile, self.plain.cache, TrainedModel(whole.source))
        self.network = shared_network(state, step)
        short = self.plain.materials.at(rung, rung.recipe(recipe.model_copy(update={"vocabulary": None})))
        judged = replace(state, material=replace(short, recipe=learns))
        self.teacher = judge_teacher(judged).ladder[0].score
        of_network = whole.recipe.model_copy(update={"model": str(self.network), "revision": None, "base": None})
        self.parts = Bench(materials_of(of_network), self.plain.profile, self.plain.cache)


def check_shared(materials: Materials, workers: int, cluster: str | None, narrowed: Mapping[str, Narrowed | bool]) -> None:
    """EdgepackError where a shared model cannot stand for the model, or cannot be cut into the students that are wished for.

    narrowed: what the file of --space says. The parts of a shared model are as wide as the teacher.
    """
    if workers > 1 or cluster is not None:
        raise EdgepackError("--shared-training judges its trials in one process", "leave --workers and --ray out")
    if materials.whole.source.sentence is not None:
        raise EdgepackError(
            "--shared-training is not for sentence-transformers folders: their pooling lies beside the model", "leave it out"
        )
    _check_widths(materials, narrowed)


def _check_widths(materials: Materials, narrowed: Mapping[str, Narrowed | bool]) -> None:
    recipe, whole = materials.whole.recipe, materials.whole
    width = whole.source.shape(whole.task.name).hidden
    if recipe.student is not None and not (size := parse_student(recipe.student)).is_same and size.hidden != width:
        raise EdgepackError(
            f"--shared-training judges parts of the teacher, which are {width} wide, and --student is {recipe.student}",
            f"give a size of that width, such as 3x{width}, or leave one of the two flags out",
        )
    wish = narrowed.get("student")
    if isinstance(wish, Narrowed) and (wish.values or wish.hidden):
        raise EdgepackError(
            f"--shared-training judges parts of the teacher, which are {width} wide, and the file of --space lists students of other sizes",
            "list layers only: student = { layers = [2, 3, 4] }",
        )


def one_width(space: Space) -> Space:
    """Without other widths than the teacher's: the parts of a shared model differ in layers, heads and neurons."""
    width = (space.teacher.hidden,)
    dimensions = tuple(replace(each, values=width) if each.key == HIDDEN else each for each in space.dimensions)
    return replace(space, dimensions=dimensions)


def part_recipe(recipe: Recipe, layers: int) -> Recipe:
    """The candidate as a part of the shared model: cut as it was trained to be cut, and not trained."""
    size = parse_student(recipe.student or "same")
    depth = layers if size.layers is None else size.layers
    keep = None if depth == layers else ",".join(map(str, student_layers(depth, layers)))
    training = recipe.training.model_copy(update={"epochs": 0})
    cut = {"student": "same", "prune_layers": keep, "importance": _RANKED_BY, "scope": "layer", "refit": False, "training": training}
    return recipe.model_copy(update=cut)
