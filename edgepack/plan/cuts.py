"""How many heads, FFN neurons and layers a cut leaves. Pure: the plan predicts with it, and the stages cut by it."""

import re

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.plan.factors import factor_work
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import LayerShape, ModelShape
from edgepack.plan.student import student_layers

_NEURON_STEP = 16  # FFN widths in multiples of a kernel's block; a width that is not costs as much as the next one


class LayerWish(Frozen):
    """What `--prune-layers` asks for: how many layers stay, chosen by their influence or listed here."""

    count: int
    keep: tuple[int, ...] = ()


def kept_heads(heads: int, fraction: float, group: int = 1) -> int:
    """Heads that stay when `fraction` is cut; `group` query heads share a key and value head and stay or go together."""
    groups = heads // group
    return (groups - round(groups * fraction)) * group


def kept_neurons(neurons: int, fraction: float) -> int:
    """How many FFN neurons stay when `fraction` of them is cut: a multiple of the kernels' step, and at least one step."""
    if fraction == 0:
        return neurons
    step = _NEURON_STEP if neurons >= 4 * _NEURON_STEP else 1
    return min(neurons, max(step, round(neurons * (1 - fraction) / step) * step))


def parse_layers(text: str, total: int) -> LayerWish:
    """`33%` (the least influential go), `alternate` (every other stays) or `0,2,5` (these stay) for a model of `total` layers."""
    if text == "alternate":
        keep = tuple(student_layers((total + 1) // 2, total))
        return LayerWish(count=len(keep), keep=keep)
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)%", text):
        count = total - round(total * float(match[1]) / 100)
        if count < 1:
            raise EdgepackError(f"--prune-layers {text} leaves no layer of {total}", "choose a smaller share")
        return LayerWish(count=count)
    if re.fullmatch(r"\d+(,\d+)*", text):
        keep = tuple(int(part) for part in text.split(","))
        if len(set(keep)) != len(keep) or list(keep) != sorted(keep) or keep[-1] >= total:
            raise EdgepackError(
                f"--prune-layers {text} is not a list of layers to keep", f"name layers from 0 to {total - 1} in rising order"
            )
        return LayerWish(count=len(keep), keep=keep)
    raise EdgepackError(
        f"unknown --prune-layers: {text!r}", "write 33% (the least influential go), alternate, or the layers that stay: 0,2,5"
    )


def cut_shape(teacher: ModelShape, recipe: Recipe, heads_fraction: float) -> ModelShape:
    """The shape that the recipe's pruning leaves of `teacher`; heads and neurons evenly, whatever importance will say."""
    anywhere = (recipe.scope or ("model" if recipe.student in (None, "same") else "layer")) == "model"
    rows = list(cut_widths(teacher, heads_fraction, recipe.prune_ffn or 0, anywhere).layers)
    if recipe.prune_heads and sum(row.heads for row in rows) == sum(row.heads for row in teacher.layers):
        raise EdgepackError(
            f"--prune-heads {recipe.prune_heads:.0%} of {teacher.layers[0].heads} heads in groups of {teacher.kv_groups} cuts no head",
            f"choose at least {teacher.kv_groups / max(1, teacher.layers[0].heads):.0%}",
        )
    if recipe.prune_layers is not None:
        wish = parse_layers(recipe.prune_layers, len(rows))
        if wish.keep and wish.keep[0] and teacher.family.first_layer_stays:
            raise EdgepackError(
                f"--prune-layers {recipe.prune_layers} leaves out layer 0, which a {teacher.model_type} needs", "keep layer 0"
            )
        rows = [rows[index] for index in wish.keep or student_layers(wish.count, len(rows))]
    if recipe.drop_attention:
        skipped = layers_without_attention(recipe.drop_attention, len(rows))
        if teacher.family.shared_layers and len(skipped) < len(rows):
            raise EdgepackError(
                f"--drop-attention {recipe.drop_attention}: the model's {len(rows)} layers share their weights",
                f"a {teacher.model_type} can lose all of its attention or none: use --prune-heads or --prune-layers",
            )
        if recipe.training.relation_weight and len(skipped) == len(rows):
            raise EdgepackError(
                f"--relation-weight {recipe.training.relation_weight:g} compares attention, and --drop-attention {recipe.drop_attention} "
                "leaves none of it",
                "leave one of the two out, or drop fewer",
            )
        rows = [row.model_copy(update={"heads": 0}) if index in skipped else row for index, row in enumerate(rows)]
    return teacher.resized(tuple(rows), teacher.hidden).model_copy(
        update={"factorized": recipe.factorize, "factor_work": factor_work(recipe.factorize_by)} if recipe.factorize else {}
    )


def cut_widths(teacher: ModelShape, heads_fraction: float, ffn_fraction: float, anywhere: bool) -> ModelShape:
    """The same share of each layer, or of all layers together: then a share too small for one layer still cuts some heads."""
    group = teacher.kv_groups
    heads = [kept_heads(row.heads, heads_fraction, group) for row in teacher.layers]
    if anywhere and not teacher.family.shared_layers:
        total = sum(row.heads for row in teacher.layers)
        heads = _spread(kept_heads(total, heads_fraction, group), [row.heads for row in teacher.layers], group)
    elif any(count < 1 <= row.heads for count, row in zip(heads, teacher.layers, strict=True)):
        raise EdgepackError(
            f"pruning {heads_fraction:.0%} of {teacher.layers[0].heads} heads leaves a layer without heads",
            "choose a smaller --prune-heads",
        )
    rows = (LayerShape(heads=count, ffn=kept_neurons(row.ffn, ffn_fraction)) for count, row in zip(heads, teacher.layers, strict=True))
    return teacher.resized(tuple(rows), teacher.hidden)


def heads_do_not_fit(recipe: Recipe, pruned: ModelShape, student: ModelShape, heads_fraction: float) -> bool:
    """Whether a narrower student's layers would begin with different numbers of heads, while all share a table with a column a head;
    EdgepackError where the user asked for that student.
    """
    rows = [pruned.layers[index] for index in student_layers(len(student.layers), len(pruned.layers))]
    anywhere = recipe.scope == "model" and heads_fraction > 0  # nobody knows yet how many each layer loses
    is_even = len({row.heads for row in rows}) == 1 and not anywhere
    if not pruned.family.head_bias or student.hidden == pruned.hidden or is_even:
        return False
    if recipe.student is None:
        return True
    unpruned = "leave --drop-attention out" if recipe.drop_attention else "give the model as it was before pruning"
    fix = "use --scope layer" if anywhere else unpruned
    raise EdgepackError(
        f"--student {recipe.student}: the layers would have different numbers of heads, but those of a narrower {pruned.model_type} "
        f"({student.name()}) share a table with a column for each head",
        f"{fix}, or give a student of the model's own width, such as {len(student.layers)}x{pruned.hidden}",
    )


def _spread(wanted: int, heads: list[int], group: int) -> list[int]:
    """`wanted` heads over layers of `heads`, in proportion and in whole groups; the first layers take what is left over."""
    share = wanted / max(1, sum(heads))
    spread = [int(count * share) // group * group for count in heads]
    for index in range(len(heads)):
        if sum(spread) < wanted and spread[index] < heads[index]:
            spread[index] += group
    return spread


def layers_without_attention(count: int, total: int) -> tuple[int, ...]:
    """The last `count` of `total` layers: in decoders of 7 B parameters and more theirs is missed least (He 2024); in small ones not."""
    if count > total:
        raise EdgepackError(f"--drop-attention {count} is not possible with {total} layers", f"choose at most {total}")
    return tuple(range(total - count, total))
