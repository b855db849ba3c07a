"""The steps from model to model: prune, recover, prune again, distil. Pure: settings and whys, no work."""

from collections.abc import Iterator
from typing import Any

from edgepack.plan.choice_record import Choice, last_need
from edgepack.plan.coding import VALUES
from edgepack.plan.cuts import cut_widths, layers_without_attention, parse_layers
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import ModelShape
from edgepack.plan.steps import (
    BlockRounding,
    Distill,
    DropAttention,
    Factorize,
    ModelStep,
    PruneFFN,
    PruneHeads,
    PruneLayers,
    PruneWeights,
    Rounding,
)
from edgepack.plan.student import is_narrow
from edgepack.plan.student_size import parse_student
from edgepack.plan.training_settings import Training, training_for
from edgepack.tasks import task_named

_NOTICEABLE = 0.01  # share of heads or neurons
_TERNARY_BITS = 1.6  # of -1, 0 and 1, each as often as the others: log2 3


def model_steps(
    recipe: Recipe, teacher: ModelShape, choice: Choice, considered: list[Choice], rounding: Rounding | BlockRounding | None = None
) -> Iterator[ModelStep]:
    """Structure first, a part of the way in each iteration with recovery between; then the student; single weights; rounding last."""
    shrinks = (len(choice.student.layers), choice.student.hidden) != (len(choice.pruned.layers), choice.pruned.hidden)
    rounds = _rounds(recipe, teacher, choice, considered, shrinks)
    weights = _weight_fractions(recipe)
    recovers = recipe.training.epochs != 0
    factors = recipe.factorize is not None
    ends_distilled = shrinks or (bool(rounds) and recovers and not factors)
    recoveries = max(0, len(rounds) - 1) + len(weights) + factors + (rounding is not None)
    lengths = iter(_lengths(recipe.training, recoveries * recovers + ends_distilled))
    for index, cuts in enumerate(rounds):
        yield from cuts
        if index < len(rounds) - 1 and recovers:
            yield _distill(recipe, teacher, next(lengths), f"Training wins back what round {index + 1} of {len(rounds)} cut.")
    if ends_distilled:
        yield _distill(recipe, choice.student, next(lengths), _why_student(recipe, choice, considered, shrinks))
    if recipe.factorize is not None:
        yield Factorize(fraction=recipe.factorize, by=recipe.factorize_by or "svd", why=_why_factors(recipe))
        if recovers:
            yield _distill(recipe, choice.student, next(lengths), "Training wins back what the smaller products lost.")
    for fraction in weights:
        yield PruneWeights(fraction=fraction, why="You asked for it. Weights that are zero make no runtime faster.")
        if recovers:
            why = "Training wins back what the zeroed weights did. They stay zero."
            yield _distill(recipe, choice.student, next(lengths), why).model_copy(update={"hold_zeros": True})
    if rounding is not None:
        rounded = _distill(recipe, choice.student, next(lengths), _why_rounding(rounding))
        yield rounded.model_copy(update={"rounding": rounding, "hold_zeros": bool(weights)})


def _rounds(recipe: Recipe, teacher: ModelShape, choice: Choice, considered: list[Choice], shrinks: bool) -> list[list[ModelStep]]:
    """The cuts of each iteration: heads and neurons a part of the way, layers and attention sublayers in the last."""
    widths = bool(choice.prune_heads or recipe.prune_ffn)
    count = recipe.iterations if widths else 1
    rounds: list[list[ModelStep]] = [[] for _ in range(count)]
    scope = recipe.scope or ("layer" if shrinks else "model")
    note = " Each layer loses the same share, because the student keeps only some layers." if shrinks and not recipe.scope else ""
    before = teacher
    for index, cuts in enumerate(rounds):
        part = (index + 1) / count
        after = cut_widths(teacher, choice.prune_heads * part, (recipe.prune_ffn or 0) * part, scope == "model")
        settings: dict[str, Any] = {
            "scope": scope,
            "importance": recipe.importance or task_named(teacher.task).default_importance,
            "refit": recipe.refit,
        }
        if heads := _share_cut(before, after, "heads"):
            real = _real_share(heads, choice.prune_heads, f"heads, which go in groups of {teacher.kv_groups}") if count == 1 else ""
            cuts.append(PruneHeads(fraction=heads, why=_why_heads(recipe, considered) + real + note, **settings))
        if neurons := _share_cut(before, after, "ffn"):
            real = _real_share(neurons, recipe.prune_ffn or 0, "neurons, whose counts are multiples") if count == 1 else ""
            cuts.append(PruneFFN(fraction=neurons, why="You asked for it." + real + note, **settings))
        before = after
    if recipe.prune_layers is not None:
        wish = parse_layers(recipe.prune_layers, len(teacher.layers))
        why = "You asked for these layers." if wish.keep else "You asked for it. The layers that change their input least are cut."
        rounds[-1].append(PruneLayers(count=wish.count, keep=wish.keep, why=why))
    if recipe.drop_attention:
        skipped = layers_without_attention(recipe.drop_attention, len(choice.pruned.layers))
        rounds[-1].append(
            DropAttention(
                layers=skipped, why="You asked for it. The last layers lose their attention, because large decoders miss it least."
            )
        )
    return [cuts for cuts in rounds if cuts]


def _real_share(cut: float, asked: float, units: str) -> str:
    """A sentence where whole units are another share than was asked for."""
    return f" {cut:.0%} of the {units}, are cut, where {asked:.0%} was asked for." if abs(cut - asked) > _NOTICEABLE else ""


def _share_cut(before: ModelShape, after: ModelShape, unit: str) -> float:
    """Of what is left now, so that rounding ends where the plan predicts."""
    total = sum(getattr(row, unit) for row in before.layers)
    return round(1 - sum(getattr(row, unit) for row in after.layers) / total, 6) if total else 0.0


def _weight_fractions(recipe: Recipe) -> list[float]:
    """A cubic schedule: much at first, little at the end. Zhu and Gupta 2017, "To prune, or not to prune"."""
    if not recipe.prune_weights:
        return []
    parts = [(index + 1) / recipe.iterations for index in range(recipe.iterations)]
    return [round(recipe.prune_weights * (1 - (1 - part) ** 3), 6) for part in parts]


def _lengths(training: Training, recoveries: int) -> list[dict[str, Any]]:
    """Epochs and steps shared out: at least one each, the last takes what is left over. Where no epochs are stated, equal shares."""
    if not recoveries:
        return []
    stated = {
        name: _shared_out(total, recoveries) for name in ("epochs", "training_steps") if (total := getattr(training, name)) is not None
    }
    share = {} if "epochs" in stated else {"share": round(1 / recoveries, 6)}
    return [share | {name: counts[index] for name, counts in stated.items()} for index in range(recoveries)]


def _shared_out(total: int, parts: int) -> list[int]:
    assert total > 0, "a plan that trains nothing has no length to share out"
    each = max(1, total // parts)
    return [each] * (parts - 1) + [max(each, total - each * (parts - 1))]


def _distill(recipe: Recipe, student: ModelShape, length: dict[str, Any], why: str) -> Distill:
    settings = training_for(student.task, recipe.training).model_dump() | length
    lasts = " It is trained as long as it comes nearer to its teacher on the dev split." if settings["epochs"] is None else ""
    return Distill(layers=len(student.layers), hidden=student.hidden, why=why + lasts, **settings)


def _why_rounding(rounding: Rounding | BlockRounding) -> str:
    if isinstance(rounding, BlockRounding):
        return f"You asked for it. The student learns with its weights in blocks of {rounding.block}, {rounding.bits} bits each."
    if rounding.weights is not None:
        return (
            f"You asked for it. The student learns with each weight {VALUES[rounding.weights]} times a scale of its channel, and "
            "activations in 8 bits. So few values lose quality: the report shows how much."
        )
    what = "8 bits" if rounding.bits is None else f"a grid that takes {rounding.bits:g} bits a weight once it is coded"
    why = f"You asked for it. The student learns with its weights on {what}{' and activations in 8 bits' if rounding.activations else ''}."
    if rounding.bits is not None and rounding.bits < _TERNARY_BITS:
        why += " At so few bits most weights are 0 and most others a step above or below it: the grid has a zero, so it is not binary"
        why += " (--weights binary is)."
    return why


def _why_factors(recipe: Recipe) -> str:
    way = "a network of two cores" if recipe.factorize_by == "tensor" else "the singular vectors of each matrix as the texts use it"
    return f"You asked for it. Two products take the place of one, by {way}; each matrix's rank follows from what the outputs lose by it."


def _why_heads(recipe: Recipe, considered: list[Choice]) -> str:
    if recipe.prune_heads is not None:
        return "You asked for it."
    return f"No smaller student alone meets the budgets: the last one would need {last_need(considered)}."


def _why_student(recipe: Recipe, choice: Choice, considered: list[Choice], shrinks: bool) -> str:
    if not shrinks:
        return "Training wins back what was cut."
    size = f"{choice.student.name()} ({choice.student.params / 1e6:.1f}M parameters)"
    if recipe.student is not None:
        return f"You asked for {recipe.student}." + _why_shape(size, choice) + _narrow(recipe, choice)
    unchanged = [tried for tried in considered if tried.student.name() == choice.pruned.name()]
    anyway = ", whatever is done without training" if unchanged and not unchanged[-1].is_plain else ""
    most = f"{size} keeps most of its teacher's depth and width of the students that meet the budgets."
    return f"{most} The teacher's shape would need {last_need(unchanged)}{anyway}."


def _narrow(recipe: Recipe, choice: Choice) -> str:
    if parse_student(recipe.student or "same").layers is not None or not is_narrow(choice.student, choice.pruned):
        return ""
    wider = "" if recipe.vocabulary else " --vocabulary data cuts the vocabulary, and leaves room for a wider one."
    return f" A width of {choice.student.hidden} is less than a third of the teacher's, and little can be carried over.{wider}"


def _why_shape(size: str, choice: Choice) -> str:
    """Sentences on the shape that was taken for a size, beside the next best one."""
    other = choice.runner_up
    if other is None:
        return f" The student is {size}."
    if any(each.name == "latency_ms" for each in choice.broken):
        return f" Within the latency budget no shape of that size keeps half of what the best one does. {size} keeps most for its time."
    return (
        f" {size} is the shape of that size that keeps most of its teacher's depth and width within the latency budget. The next one would "
        f"be {other.student.name()} ({other.student.params / 1e6:.1f}M, {other.latency_ms:.1f} ms instead of "
        f"{choice.prediction.latency_ms:.1f} ms)."
    )
