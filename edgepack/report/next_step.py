"""The cheapest next step towards a budget that does not hold. Steps without training come first. Each is predicted, none is tried."""

from collections.abc import Iterator, Sequence
from math import ceil, floor, log10
from typing import Any, NamedTuple

from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import Manifest
from edgepack.plan.coding import WeightKind
from edgepack.plan.means import file_kind
from edgepack.plan.plan import make_plan
from edgepack.plan.precision import all_precisions, precision_facts
from edgepack.plan.profile import PrecisionName
from edgepack.plan.recipe import TRAIN_SPLIT, Recipe
from edgepack.plan.shape import ModelShape
from edgepack.plan.student import candidate_students
from edgepack.report.training_doubts import flags_of_longer_training

_NO_TRAINING = "It needs no training."
_DISTILS = "It distils a smaller student, which may lose points."
_MOST_SIZES = 30
_LARGER = 1.3  # times the parameters: a student hardly larger would hardly be better


class NextStep(NamedTuple):
    """flags: for `edgepack build`; None where no flags would help."""

    sentence: str
    flags: str | None = None


def next_step(manifest: Manifest, name: str, actual: float, limit: float) -> NextStep:
    """For the budget `name`, which `actual` exceeds. A step's prediction is scaled by the error of this pack's prediction."""
    if name == "score_drop":
        return _more_quality(manifest)
    units = {"file_mb": "MB", "ram_mb": "MB"}
    predicted_now = getattr(manifest.predictions, name)
    for flag, predicted, needs in _steps(manifest, name):
        expected = actual * predicted / predicted_now
        if expected <= limit:
            return NextStep(f"Cheapest next step: {flag}. It is predicted to give {expected:.3g} {units.get(name, 'ms')}. {needs}", flag)
    flag = f"--{name.replace('_', '-')} {_rounded_up(actual)}"
    sentence = f"No step that edgepack knows is predicted to meet this budget. Raise the budget with {flag}, or choose another model."
    return NextStep(sentence, flag)


def _rounded_up(figure: float) -> str:
    """Three digits or more, without an exponent, and never below the figure: it is typed as a limit."""
    digits = max(0, 2 - floor(log10(figure))) if figure > 0 else 0
    return f"{ceil(round(figure * 10**digits, 6)) / 10**digits:.{digits}f}"


def _steps(manifest: Manifest, name: str) -> Iterator[tuple[str, float, str]]:
    """(flags, the figure predicted for a build with them, what they need); the cheapest first."""
    now = manifest.plan
    for wish, needs in _wishes(manifest, name):
        recipe = manifest.recipe.model_copy(update=wish)
        try:
            plan = make_plan(manifest.profile, recipe, now.teacher, now.student.vocab if now.cuts_vocabulary else None)
        except EdgepackError:  # no flags that the planner would take
            continue
        yield _flags(manifest.recipe, wish), getattr(plan.predictions, name), needs if plan.student == now.student else _DISTILS


def _flags(recipe: Recipe, wish: dict[str, Any]) -> str:
    """All that the wish changes: with these flags beside those of before, the planner makes the plan that was predicted."""
    changed = {name: value for name, value in wish.items() if value != getattr(recipe, name)}
    named = {name: f"--{name.replace('_', '-')}" for name in changed}
    return " ".join(f"--no-{name}" if value is False else f"{named[name]} {value}" for name, value in changed.items())


def _wishes(manifest: Manifest, name: str) -> Iterator[tuple[dict[str, Any], str]]:
    """(what a step sets in the recipe, what it needs). First those without training, then smaller and smaller students."""
    plan, recipe, shape = manifest.plan, manifest.recipe, manifest.plan.student
    is_onnx_encoder = plan.format == "onnx" and not shape.decodes
    small_file = _small_file(manifest)
    is_same = shape == plan.teacher or shape.family.is_table
    same_student: dict[str, Any] = {} if recipe.student or is_same else {"student": shape.name()} | small_file
    narrower = _narrower(manifest)
    for precision in narrower:
        yield {"precision": precision} | same_student, _NO_TRAINING
    if name == "file_mb" and (recipe.embedding_bits or 8) == 8 and is_onnx_encoder and precision_facts(plan.precision).is_integer:
        yield same_student | {"embedding_bits": 4}, _NO_TRAINING
    if name in ("load_ms", "ram_mb") and plan.prepack and is_onnx_encoder:
        yield {"prepack": False} | same_student, f"{_NO_TRAINING} Each inference takes longer."
    if recipe.data is None:
        return
    sizes = _smaller_sizes(plan.teacher, shape)
    for size in sizes:
        yield small_file | {"student": size, "precision": recipe.precision or plan.precision}, _DISTILS
    for size in sizes if narrower else ():
        yield small_file | {"student": size, "precision": narrower[-1]}, _DISTILS


def _small_file(manifest: Manifest) -> dict[str, Any]:
    """What the planner did to the file by itself, as settings: it does nothing of that where a student is stated."""
    plan, recipe = manifest.plan, manifest.recipe
    cut = {"vocabulary": TRAIN_SPLIT} if plan.cuts_vocabulary and recipe.vocabulary is None else {}
    # Of the grid that the file's budget asks for: a smaller student alone would get more bits, and fill the budget again.
    grid = {"bits": plan.coding.bits} if plan.coding and plan.coding.bits and recipe.bits is None else {}
    return cut | grid | ({"embedding_bits": plan.embedding_bits} if plan.embedding_bits != (recipe.embedding_bits or 8) else {})


def _narrower(manifest: Manifest) -> list[PrecisionName]:
    plan, widest_first = manifest.plan, all_precisions()
    offered, kind = manifest.profile.runtimes[plan.runtime].precisions, file_kind(plan.student, plan.runtime)
    behind = widest_first[widest_first.index(precision_facts(plan.precision)) + 1 :]
    return [facts.name for facts in behind if facts.name in offered and kind in facts.suggested_for]


def _smaller_sizes(teacher: ModelShape, now: ModelShape) -> list[str]:
    """Sizes as --student takes them, the largest first. At most `_MOST_SIZES`, because each costs a plan."""
    sizes = list(dict.fromkeys(f"{shape.params / 1e6:.2g}M" for shape in candidate_students(teacher) if shape.params < now.params * 0.975))
    return sizes[:: -(-len(sizes) // _MOST_SIZES)] if sizes else []


def _more_values(weights: WeightKind) -> NextStep:
    why = f"because {weights} weights lose points. It is trained again"
    if weights == "binary":
        return NextStep(f"Cheapest next step: --weights ternary, {why}.", "--weights ternary")
    return NextStep(f"Cheapest next step: --bits 2.2 in place of --weights {weights}, {why}.")


def _more_quality(manifest: Manifest) -> NextStep:
    wider = precision_facts(manifest.plan.precision).wider
    rows = [row for row in manifest.ladder if row.stage != "code"]  # which changes no answer
    last_lost_most = _last_lost_most([row.score_drop for row in rows])
    if manifest.plan.coding and manifest.plan.coding.weights:
        return _more_values(manifest.plan.coding.weights)
    if manifest.plan.coding and manifest.plan.coding.bits and last_lost_most:
        bits = min(manifest.plan.coding.bits + 1, 7)
        why = "because the coarse grid lost most of the points"
        return NextStep(f"Cheapest next step: --bits {bits:g}, {why}. {_NO_TRAINING}", f"--bits {bits:g}")
    if wider and last_lost_most:
        why = "because the last stage lost most of the points"
        return NextStep(f"Cheapest next step: --precision {wider}, {why}. {_NO_TRAINING}", f"--precision {wider}")
    trained = [row.stage for row in rows if row.stage not in ("teacher", "export", "quantize")]
    if trained and manifest.plan.student.family.is_table:
        cut = f"The points were lost in: {', '.join(trained)}. This is not predicted."
        return NextStep(f"Next step: give --vocabulary more texts, or leave it out. {cut}")
    if trained:
        return _better_student(manifest, f"The points were lost in: {', '.join(trained)}. Nothing predicts the score.")
    return NextStep("Next step: a wider --precision, or a larger --score-drop. This is not predicted.")


def _last_lost_most(drops: Sequence[float | None]) -> bool:
    """Whether the last stage lost more than half of all points. What is not known is no reason to blame it."""
    before, last = (None, *drops)[-2:]
    return last is not None and before is not None and last - before > 0.5 * last


def _better_student(manifest: Manifest, where: str) -> NextStep:
    """Trained longer, where its training ended too early; else a larger one. where: the points were lost."""
    longer = flags_of_longer_training(manifest.recipe, manifest.ladder)
    if longer:
        return NextStep(f"Next step: {longer}, because the training ended before its time. {where}", longer)
    larger = _larger_student(manifest)
    if larger:
        return NextStep(f"Next step: {larger}. It is predicted to keep the other limits. {where}", larger)
    return NextStep(f"Next step: more --epochs, or a larger --student with a larger budget for it. {where}")


def _larger_student(manifest: Manifest) -> str | None:
    """Flags for the smallest student that is clearly larger, and is predicted to keep every limit but the score's."""
    plan, recipe = manifest.plan, manifest.recipe
    limits = plan.budget.model_dump(exclude_none=True, exclude={"score_drop"})
    sizes = [f"{shape.params / 1e6:.2g}M" for shape in candidate_students(plan.teacher) if shape.params >= plan.student.params * _LARGER]
    for size in dict.fromkeys(reversed(sizes)):
        wish = _small_file(manifest) | {"student": size, "precision": recipe.precision or plan.precision}
        try:
            planned = make_plan(manifest.profile, recipe.model_copy(update=wish), plan.teacher)
        except EdgepackError:  # no student of that size
            continue
        if planned.student.params > plan.student.params and all(getattr(planned.predictions, name) <= limits[name] for name in limits):
            return _flags(recipe, wish)
    return None
