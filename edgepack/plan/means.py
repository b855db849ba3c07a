"""Means that make a file smaller and train nothing: weights are coded, embeddings take 4 bits, tokens that no text has are cut. Pure.

They come before a layer is dropped, in that order. What they cost MiniLM on SST-2 was measured (benchmarks/RESULTS.md): a grid of 2.6 to
3 bits 0.2 to 0.5 points, embeddings in 4 bits nothing that 1,821 sentences show, a cut vocabulary 0.4 points on texts with other words.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgepack.plan.choice_record import Choice, broken_budgets
from edgepack.plan.coded_costs import bits_within, coding_of, predicted, ways
from edgepack.plan.coding import Coding
from edgepack.plan.cost_model import predict
from edgepack.plan.formats import FORMATS
from edgepack.plan.precision import FileKind, precision_facts
from edgepack.plan.prediction import Prediction
from edgepack.plan.profile import Budget, PrecisionName, Profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import ModelShape

GUESSED_PIECES = 20_000  # what a few languages need; nobody knows before the corpus is read
WORTH_CUTTING = 0.95  # of the pieces: a corpus that needs more of them saves next to nothing
_BLIND_BITS = 0.7  # more that a grid needs where no texts tell what an error weighs
_NARROW_BITS = 4


@dataclass(frozen=True)
class Case:
    """What a choice is made for.

    teacher: with the vocabulary and the outputs that the user asked for. pieces: of the vocabulary that a cut would leave; None: nobody
    has counted, so it is guessed. given: the teacher as it came, which sizes are shares of; None: it is `teacher`.
    """

    profile: Profile
    recipe: Recipe
    teacher: ModelShape
    budget: Budget
    runtime: str
    pieces: int | None = None
    given: ModelShape | None = None

    def plain(self, choice: Choice) -> Choice:
        """The choice with the prediction for its student, precision and embeddings, coded only where the user asked for it."""
        recipe, profile = self.recipe, self.profile
        whole = predict(choice.student, choice.precision, profile, self.runtime, recipe.length, choice.embedding_bits, choice.prepack)
        coding, prediction = self._asked_coding(choice.student, whole)
        return self._with(choice, prediction, coding)

    def of(self, fraction: float, pruned: ModelShape, student: ModelShape, precision: PrecisionName, prepack: bool) -> Choice:
        """A choice of these, with its prediction. fraction: of the heads that are cut."""
        bits = self.recipe.embedding_bits or 8
        whole = predict(student, precision, self.profile, self.runtime, self.recipe.length, bits, prepack)
        choice = Choice(
            prune_heads=fraction,
            pruned=pruned,
            student=student,
            precision=precision,
            prepack=prepack,
            embedding_bits=bits,
            cuts_vocabulary=pruned.vocab < self.teacher.vocab,
            prediction=whole,
            broken=(),
        )
        return self.plain(choice)

    def _with(self, choice: Choice, prediction: Prediction, coding: Coding | None) -> Choice:
        broken = broken_budgets(prediction, self.budget)
        return choice.model_copy(update={"prediction": prediction, "coding": coding, "broken": broken})

    def _asked_coding(self, student: ModelShape, whole: Prediction) -> tuple[Coding | None, Prediction]:
        """Coding as the user asked for it, and the prediction with it."""
        recipe = self.recipe
        if recipe.bits is None and recipe.weights is None and recipe.codec is None:
            return None, whole
        options = ways(student, whole, self.profile, recipe.bits, recipe.codec or "deflate", recipe.weights)
        coding = coding_of(recipe, self.profile, self.budget, options, recipe.bits)
        return coding, predicted(options, coding.start)

    def coded(self, choice: Choice) -> Choice | None:
        """The choice with weights as coarse as the file's budget needs, where that was broken and no model must be trained for it."""
        recipe, budget = self.recipe, self.budget
        fewest = precision_facts(choice.precision).coarse.get(file_kind(choice.student, self.runtime))
        asked = (recipe.bits, recipe.weights, recipe.codec, recipe.sensitive, recipe.embedding_bits)
        if fewest is None or not self.breaks_file(choice) or budget.file_mb is None or any(asked):
            return None
        bits = bits_within(choice.student, choice.prediction, budget.file_mb)
        if bits < fewest + (_BLIND_BITS if recipe.data is None else 0):
            return None
        options = ways(choice.student, choice.prediction, self.profile, bits, "deflate")
        coding = coding_of(recipe, self.profile, budget, options, bits)
        return self._with(choice, predicted(options, coding.start), coding)

    def with_narrow_embeddings(self, choice: Choice) -> Choice | None:
        """The choice with embeddings in 4 bits, where the planner may take them and the file needs it."""
        kind, recipe = file_kind(choice.student, self.runtime), self.recipe
        is_open = recipe.student is None and recipe.embedding_bits is None and recipe.bits is None and recipe.weights is None
        if not is_open or kind not in precision_facts(choice.precision).narrow_embeddings or not self._only_file_needs(choice):
            return None
        return self.plain(choice.model_copy(update={"embedding_bits": _NARROW_BITS}))

    def with_cut_vocabulary(self, choice: Choice) -> Choice | None:
        """The choice with the tokens of the train split alone, where nothing speaks against it and the file needs it."""
        if self.recipe.student is not None or not self._only_file_needs(choice):
            return None
        cut = self.cut_vocabulary_of(choice.student)
        return None if cut is None else self.plain(choice.model_copy(update={"student": cut, "cuts_vocabulary": True}))

    def cut_vocabulary_of(self, shape: ModelShape) -> ModelShape | None:
        """The shape with the tokens of the train split alone, where nothing speaks against it and it saves something."""
        recipe = self.recipe
        is_open = recipe.vocabulary is None and recipe.data is not None and recipe.factorize is None
        answers_with_tokens = shape.decodes or shape.vocabulary_head  # they could not give an answer that no text of the data has
        pieces = min(shape.vocab, GUESSED_PIECES) if self.pieces is None else self.pieces
        if not is_open or answers_with_tokens or shape.factorized or pieces > WORTH_CUTTING * shape.vocab:
            return None
        return shape.model_copy(update={"vocab": pieces})

    def breaks_file(self, choice: Choice) -> bool:
        return any(budget.name == "file_mb" for budget in choice.broken)

    def _only_file_needs(self, choice: Choice) -> bool:
        """Whether the file is too large, and a smaller one alone could be enough: none of the means makes a model faster."""
        return self.breaks_file(choice) and all(budget.is_near for budget in choice.broken if budget.name == "latency_ms")


def smaller_files(case: Case, tried: Sequence[Choice]) -> Iterator[Choice]:
    """What the means make of the choices that were tried, what costs least first."""
    yield from _each(case.coded, tried)
    yield from _each(case.with_narrow_embeddings, tried)
    cut = _each(case.with_cut_vocabulary, tried)
    yield from cut
    yield from _each(case.coded, cut)
    yield from _each(case.with_narrow_embeddings, cut)


def _each(means: Callable[[Choice], Choice | None], choices: Sequence[Choice]) -> list[Choice]:
    return [smaller for choice in choices if (smaller := means(choice)) is not None]


def file_kind(shape: ModelShape, runtime: str) -> FileKind:
    """The format of the runtime's files, and whether the model is a decoder."""
    return FileKind(FORMATS[runtime], shape.decodes)
