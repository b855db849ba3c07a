"""What the rules chose beside its nearest neighbours: one thing changed at a time, each with its predictions. Pure and fast."""

from collections.abc import Iterator
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.plan.choice_record import BrokenBudget, in_words
from edgepack.plan.plan import Plan, make_plan
from edgepack.plan.precision import FileKind, all_precisions, precision_facts
from edgepack.plan.prediction import Prediction
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import TRAIN_SPLIT, WHOLE_VOCABULARY, Recipe
from edgepack.plan.shape import ModelShape
from edgepack.plan.steps import PruneHeads
from edgepack.plan.student import candidate_students

_SAME_MB, _SAME_MS = 0.005, 0.005  # shares of the chosen figures below which an alternative is the same pack


class Alternative(Frozen):
    """change: what is different from the plan, in words; flags: of `edgepack build`, for just this. refusal: why there is no such pack."""

    change: str
    flags: str
    student: str | None = None
    precision: str | None = None
    prediction: Prediction | None = None
    broken: tuple[BrokenBudget, ...] = ()
    refusal: str | None = None

    @property
    def verdict(self) -> str:
        """Why it was not chosen."""
        if self.refusal:
            return self.refusal
        return f"needs {in_words(self.broken)}" if self.broken else "within the budgets too"


def alternatives(plan: Plan, profile: Profile, recipe: Recipe) -> list[Alternative]:
    """Neighbours of a plan: other precisions, a layer more and less, the next widths, the heads, the embeddings and the vocabulary."""
    fixed = _as_settings(plan)
    rows = []
    for change, flags, settings in _changes(plan, recipe):
        try:
            other = make_plan(profile, _with(recipe, fixed | settings), plan.teacher)
        except EdgepackError as error:
            rows.append(Alternative(change=change, flags=flags, refusal=error.problem))
            continue
        if _is_same(other, plan):
            continue
        rows.append(
            Alternative(
                change=change,
                flags=flags + _needed_beside(other, profile, recipe, settings, fixed),
                student=other.student.name(),
                precision=other.precision,
                prediction=other.predictions,
                broken=other.broken,
            )
        )
    return rows


def _changes(plan: Plan, recipe: Recipe) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """In words, as flags, and as settings. What the user has fixed stays."""
    if recipe.precision is None:
        kind = FileKind(plan.format, plan.teacher.decodes)
        for name in (each.name for each in all_precisions() if kind in each.quantize and each.name != plan.precision):
            yield f"{name} instead of {plan.precision}", f"--precision {name}", {"precision": name}
    if recipe.student is None and recipe.can_train:
        for words, shape in _neighbours(plan.student, plan.teacher):
            yield f"{words}: {shape}", f"--student {shape}", {"student": shape}
    heads = [step.fraction for step in plan.steps if isinstance(step, PruneHeads)]
    if recipe.prune_heads is None and recipe.data is not None and plan.teacher.layers:
        share = 0.0 if heads else 0.25
        words = "no head cut" if heads else "a quarter of the heads cut"
        yield words, f"--prune-heads {share:.0%}", {"prune_heads": share}
    yield from _other_files(plan, recipe)


def _other_files(plan: Plan, recipe: Recipe) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """With each of the means that train nothing, or without it where the plan has it."""
    if recipe.embedding_bits is None and precision_facts(plan.precision).is_integer:
        bits = 4 if plan.embedding_bits == 8 else 8
        yield f"embeddings in {bits} bits", f"--embedding-bits {bits}", {"embedding_bits": bits}
    if recipe.vocabulary is None and plan.cuts_vocabulary:
        yield "every token stays", f"--vocabulary {WHOLE_VOCABULARY}", {"vocabulary": WHOLE_VOCABULARY}
    elif recipe.vocabulary is None and recipe.data is not None:
        yield "only the tokens of the train split", f"--vocabulary {TRAIN_SPLIT}", {"vocabulary": TRAIN_SPLIT}
    can_be_coded = FileKind(plan.format, plan.teacher.decodes) in precision_facts(plan.precision).coarse
    if recipe.codec is None and recipe.bits is None and plan.coding is None and can_be_coded:
        yield "weights coded, the same answers", "--codec deflate", {"codec": "deflate"}


def _neighbours(student: ModelShape, teacher: ModelShape) -> Iterator[tuple[str, str]]:
    depths = sorted({len(shape.layers) for shape in candidate_students(teacher)} | {len(teacher.layers)})
    widths = sorted({shape.hidden for shape in candidate_students(teacher)} | {teacher.hidden})
    layers, hidden = len(student.layers), student.hidden
    for words, count in (("a layer more", layers + 1), ("a layer less", layers - 1)):
        if count in depths:
            yield words, _name(count, hidden, teacher)
    for words, nearest in (("wider", [w for w in widths if w > hidden][:1]), ("narrower", [w for w in widths if w < hidden][-1:])):
        for width in nearest:
            yield words, _name(layers, width, teacher)
    flatter = [w for w in widths if w < hidden]
    if flatter and layers + 1 in depths:
        yield "deeper and narrower", _name(layers + 1, flatter[-1], teacher)


def _name(layers: int, hidden: int, teacher: ModelShape) -> str:
    return "same" if not layers or (layers, hidden) == (len(teacher.layers), teacher.hidden) else f"{layers}x{hidden}"


def _as_settings(plan: Plan) -> dict[str, Any]:
    """The plan's choices as if the user had fixed them."""
    heads = [step.fraction for step in plan.steps if isinstance(step, PruneHeads)]
    return {
        "student": _name(len(plan.student.layers), plan.student.hidden, plan.teacher),
        "vocabulary": TRAIN_SPLIT if plan.cuts_vocabulary else None,
        "embedding_bits": plan.embedding_bits if plan.embedding_bits != 8 else None,
        "precision": plan.precision,
        "prune_heads": min(0.99, sum(heads)),
    }


def _with(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    """The user's own choices stay, and a training that nothing is left for is not refused here."""
    given = {name: value for name, value in settings.items() if getattr(recipe, name) is None}
    return recipe.model_copy(update=given)


def _needed_beside(other: Plan, profile: Profile, recipe: Recipe, settings: dict[str, Any], fixed: dict[str, Any]) -> str:
    """Flags for as many of the plan's choices as it takes: with them beside the row's, `edgepack build` plans what the row shows."""
    choices = {name: value for name, value in fixed.items() if name not in settings and value is not None and getattr(recipe, name) is None}
    for count in range(len(choices) + 1):
        needed = dict(list(choices.items())[:count])
        try:
            then = make_plan(profile, _with(recipe, needed | settings), other.teacher)
        except EdgepackError:
            continue
        if (then.student, then.precision, then.predictions) == (other.student, other.precision, other.predictions):
            break
    return "".join(f" --{name.replace('_', '-')} {_as_text(value)}" for name, value in needed.items())


def _as_text(value: Any) -> str:
    return f"{value:.0%}" if isinstance(value, float) else str(value)


def _is_same(other: Plan, plan: Plan) -> bool:
    mb, ms = plan.predictions.file_mb, plan.predictions.latency_ms
    return (
        other.precision == plan.precision
        and abs(other.predictions.file_mb - mb) <= _SAME_MB * mb
        and abs(other.predictions.latency_ms - ms) <= _SAME_MS * ms
    )
