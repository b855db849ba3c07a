"""A candidate: a recipe of the space with its plan. What the plan predicts is known before anything is trained, and costs nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from edgepack.core.cache import key_of
from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.core.records import Frozen
from edgepack.plan.choice import choose, supported_runtime
from edgepack.plan.choice_record import broken_budgets
from edgepack.plan.cost_model import predict
from edgepack.plan.means import Case
from edgepack.plan.plan import Plan, make_plan
from edgepack.plan.precision import exported_precision
from edgepack.plan.prediction import Prediction
from edgepack.plan.profile import Budget, Profile
from edgepack.plan.recipe import TRAIN_SPLIT, Recipe
from edgepack.plan.steps import Export, Quantize
from edgepack.search.rungs import Materials
from edgepack.search.space import HIDDEN, LAYERS, Space

COSTS = ("latency_ms", "file_mb", "ram_mb", "load_ms")


class Factors(Frozen):
    """What a target's figures were, divided by their predictions; 1 where nobody has measured."""

    latency_ms: float = 1.0
    file_mb: float = 1.0
    ram_mb: float = 1.0
    load_ms: float = 1.0

    def corrected(self, prediction: Prediction) -> Prediction:
        """The prediction times the factors."""
        return prediction.model_copy(update={name: getattr(prediction, name) * getattr(self, name) for name in COSTS})


_UNCORRECTED = Factors()


@dataclass(frozen=True)
class Candidate:
    """settings: values by dimension. signature: equal where packs would be the same. over: budgets that are predicted to break by more
    than decides nothing, as the planner and a report judge.
    """

    settings: dict[str, Any]
    recipe: Recipe
    plan: Plan
    prediction: Prediction
    signature: str
    over: dict[str, float]

    @property
    def is_allowed(self) -> bool:
        return not self.over


class _Same(Frozen):
    """What tells packs apart: the steps without their reasons, and the coding of the file."""

    steps: tuple[dict[str, Any], ...]
    coding: dict[str, Any] | None


@dataclass(frozen=True)
class Maker:
    """Makes candidates of one search."""

    space: Space
    profile: Profile
    materials: Materials
    factors: Factors = _UNCORRECTED

    @property
    def budget(self) -> Budget:
        return self.profile.budget.overridden_by(self.space.base.budget)

    def usable(self, is_wished: bool = False) -> "Maker":
        """Without a vocabulary cut in the space, where it would save almost nothing on this data, which is said.

        is_wished: the user lists the vocabulary among what varies. EdgepackError: then a cut that is not possible.
        """
        for dimension in self.space.dimensions:
            if dimension.key == "vocabulary":
                try:
                    for value in dimension.values:
                        self.materials.with_cut(self.space.base.model_copy(update={"vocabulary": value}))
                except EdgepackError as error:
                    if is_wished:
                        raise EdgepackError(
                            f"the file of --space lists a vocabulary that cannot be cut: {error.problem}",
                            "take it out of the list, or write vocabulary = false",
                        ) from None
                    say(f"the search leaves the vocabulary as it is: {error.problem}")
                    left = tuple(each for each in self.space.dimensions if each is not dimension)
                    return replace(self, space=replace(self.space, dimensions=left))
        return self

    def teacher_prediction(self) -> Prediction:
        """Of the model as it came, in fp32."""
        runtime = supported_runtime(self.profile, self.space.base.format if self.space.base.format in ("onnx", "tflite") else None)
        return self.factors.corrected(predict(self.space.teacher, exported_precision(), self.profile, runtime, self.space.base.length))

    def candidate(self, settings: dict[str, Any]) -> Candidate:
        """EdgepackError: the settings do not go together."""
        recipe = self.space.recipe(settings)
        cut = self.materials.with_cut(recipe)
        plan = make_plan(self.profile, recipe, self.space.teacher, len(cut["vocabulary_cut"].order) if cut else None)
        prediction = self.factors.corrected(plan.predictions)
        over = {each.name: each.predicted / each.limit for each in broken_budgets(prediction, self.budget) if not each.is_near}
        return Candidate(settings, recipe, plan, prediction, signature_of(plan), over)

    def first_points(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Where a search begins: what the planner chooses, and recipes that were good elsewhere. Each with its name."""
        planned = self._planned()
        if planned is not None:
            yield "the planner's choice", self.space.snapped(planned)
        layers, hidden = len(self.space.teacher.layers), self.space.teacher.hidden
        small = {"precision": "int8", "prune_heads": 0.0, "prune_ffn": 0.0}
        known = {
            "the teacher's shape in int8 (no training)": {LAYERS: layers, HIDDEN: hidden},
            "half of the layers (DistilBERT)": {LAYERS: (layers + 1) // 2, HIDDEN: hidden},
            "half of the layers and of the width (MiniLM)": {LAYERS: (layers + 1) // 2, HIDDEN: hidden // 2},
            "a third of the layers, half of the width (TinyBERT)": {LAYERS: (layers + 2) // 3, HIDDEN: round(hidden * 0.45)},
            "half of the FFN (CoFi)": {LAYERS: layers, HIDDEN: hidden, "prune_ffn": 0.5},
        }
        for name, wished in known.items():
            yield name, self.space.snapped({"vocabulary": None, "embedding_bits": 8, "bits": None} | small | wished)

    def _planned(self) -> dict[str, Any] | None:
        """The planner's choice in the space's terms. None where no plan meets the budgets."""
        base = self.space.base
        runtime = supported_runtime(self.profile, base.format if base.format in ("onnx", "tflite") else None)
        try:
            choice, _ = choose(Case(self.profile, base, self.space.teacher, self.budget, runtime))
        except EdgepackError:
            return None
        return {
            LAYERS: len(choice.student.layers),
            HIDDEN: choice.student.hidden,
            "prune_heads": choice.prune_heads,
            "prune_ffn": base.prune_ffn or 0.0,
            "precision": choice.precision,
            "vocabulary": TRAIN_SPLIT if choice.cuts_vocabulary else base.vocabulary,
            "embedding_bits": choice.embedding_bits,
            "bits": choice.coding.bits if choice.coding else None,
        }


def signature_of(plan: Plan) -> str:
    """A name for all plans that make the same pack."""
    steps = tuple(step.model_dump(mode="json", exclude={"why"}) for step in plan.steps)
    return key_of(_Same(steps=steps, coding=plan.coding.model_dump(mode="json", exclude={"why"}) if plan.coding else None))


def student_signature(plan: Plan) -> str:
    """A name for all plans that train the same model, whatever file is made of it."""
    steps = tuple(step.model_dump(mode="json", exclude={"why"}) for step in plan.steps if not isinstance(step, Export | Quantize))
    return key_of(_Same(steps=steps, coding=None))
