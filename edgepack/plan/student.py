"""Which student a size means: the depth and width that keep most of the teacher, within the size and a latency limit. Pure."""

import math
from contextlib import suppress

from edgepack.core.errors import EdgepackError
from edgepack.plan.cost_model import predict
from edgepack.plan.profile import Budget, PrecisionName, Profile
from edgepack.plan.shape import LayerShape, ModelShape
from edgepack.plan.student_size import StudentSize

NO_BUDGET = Budget()

_SHALLOWEST = 1 / 3  # a student keeps at least this share of its teacher's layers,
_NARROWEST = 1 / 3  # and of its hidden width: below, little of what the teacher knows can be carried over
_NARROWED, _CHOSEN = 0.95, 0.6  # what any narrowing leaves of a likeness: where layers are fitted, and where dimensions are chosen
_DEPTH = 1.25  # power of the share of layers in it: so students of ten shapes come in their order (benchmarks/RESULTS.md, Defaults)
_MOST_SIZES = 64  # depths, and widths, that are considered
_WORTH_ITS_LATENCY = 0.5  # of what the size can keep of its teacher: below, latency is bought with most of the quality
_SHORTFALL = 0.05  # a size is met by a student at most this much smaller,
_LIKER_SHORTFALL = 0.12  # or, for a share of its teacher, this much where it is more like its teacher then,
_WIDEST_SHORTFALL = 0.25  # or this much where no shape comes nearer
_NARROW_TOO = 1 / 6  # of the teacher's width: only for a share of its teacher that wider shapes do not reach


def student_layers(count: int, teacher_layers: int) -> list[int]:
    """Which of the teacher's layers a student of `count` layers starts from: spread evenly, the first one always kept.

    DistilBERT (Sanh 2019) takes every other layer; this is the same for any count.
    """
    return [index * teacher_layers // count for index in range(count)]


def shrink(teacher: ModelShape, layers: int, hidden: int) -> ModelShape:
    """The shape of a student: fewer layers, a narrower hidden state; heads and FFN shrink with the width."""
    rows = [teacher.layers[index] for index in student_layers(layers, len(teacher.layers))]
    ratio = hidden / teacher.hidden
    return teacher.resized(tuple(narrowed(row, ratio, teacher.kv_groups) for row in rows), hidden)


def narrowed(layer: LayerShape, ratio: float, group: int) -> LayerShape:
    """A layer of a student that is `ratio` as wide; `group` query heads share a key and value head and stay together."""
    heads = max(1, round(layer.heads / group * ratio)) * group
    return LayerShape(heads=layer.heads and heads, ffn=max(1, round(layer.ffn * ratio)))


def choose_student(
    teacher: ModelShape,
    full: ModelShape,
    size: StudentSize,
    profile: Profile,
    runtime: str,
    precision: PrecisionName,
    length: int,
    budget: Budget = NO_BUDGET,
) -> ModelShape:
    """The student that `size` asks for. `teacher` is what it is cut from (vocabulary and heads cut already), `full` the model as it came.

    Of several shapes the one that keeps most of its teacher, as far as it can be told without training (see `likeness`), within the
    budget of latency. Where none is that keeps at least half of what the size can, the one that keeps most for its time.
    EdgepackError: larger than its teacher, a width that heads do not divide, or no shape within the size.
    """
    return shapes_of_size(teacher, full, size, profile, runtime, precision, length, budget)[0]


def shapes_of_size(
    teacher: ModelShape,
    full: ModelShape,
    size: StudentSize,
    profile: Profile,
    runtime: str,
    precision: PrecisionName,
    length: int,
    budget: Budget = NO_BUDGET,
) -> list[ModelShape]:
    """The shapes that a size means, the best first: see `choose_student`."""
    if size.is_same:
        return [teacher]
    if size.layers is not None and size.hidden is not None:
        return [_exact(teacher, size.layers, size.hidden)]
    if size.params is not None:
        target, highest = size.params, size.params + (size.rounding or 0)
    else:
        target = highest = full.params * (size.percent or 100) / 100
    if highest > full.params * 1.025:
        raise EdgepackError(
            f"a student of {size.text} is larger than its teacher ({full.params / 1e6:.1f}M)", "choose a smaller one, or `same`"
        )
    if target >= full.params * 0.975 or (target >= teacher.params and size.percent):  # a cut vocabulary is enough
        return [teacher]
    candidates = candidate_students(teacher)
    is_cut = teacher.vocab < full.vocab
    fitting = _within([*([teacher] if is_cut and size.params else []), *candidates], target, highest)
    if size.percent:
        fitting = _of_share(teacher, fitting, target)
    if not fitting and is_cut and target > teacher.params:
        shapes = []
        with suppress(EdgepackError):  # with every token no shape has that size either
            every_token = teacher.model_copy(update={"vocab": full.vocab})
            shapes = shapes_of_size(every_token, full, size, profile, runtime, precision, length, budget)
        raise _larger_than_a_cut_leaves(size, teacher, shapes)
    if not fitting:
        candidates = candidate_students(teacher, _NARROW_TOO) if size.percent else candidates
        nearest = sorted(candidates, key=lambda shape: abs(shape.params - target))[:3]
        sizes = ", ".join(f"{shape.name()} ({shape.params / 1e6:.1f}M)" for shape in nearest)
        raise EdgepackError(f"no student of {size.text} has a sensible shape", f"the nearest are {sizes}")
    latency_ms = {shape.name(): predict(shape, precision, profile, runtime, length).latency_ms for shape in fitting}
    likenesses = {shape.name(): likeness(shape, teacher) for shape in fitting}
    limit, least = budget.latency_ms or float("inf"), _WORTH_ITS_LATENCY * max(likenesses.values())
    fast = [shape for shape in fitting if latency_ms[shape.name()] <= limit and likenesses[shape.name()] >= least]
    if not fast:
        return sorted(fitting, key=lambda shape: -likenesses[shape.name()] / latency_ms[shape.name()])
    return sorted(fast, key=lambda shape: (-likenesses[shape.name()], latency_ms[shape.name()]))


def _larger_than_a_cut_leaves(size: StudentSize, teacher: ModelShape, shapes: list[ModelShape]) -> EdgepackError:
    """The refusal of a size that the teacher itself has no more, its vocabulary cut. shapes: what the size means with every token."""
    shape = f", or --student {shapes[0].name()}, the shape that has {size.text} with every token" if shapes else ""
    return EdgepackError(
        f"a student of {size.text} is larger than what the cut vocabulary leaves of its teacher ({teacher.params / 1e6:.1f}M): "
        f"a size counts the {teacher.vocab:,} tokens that stay",
        f"choose a smaller one, `same`{shape}",
    )


def _within(shapes: list[ModelShape], target: float, highest: float, shortfall: float = _SHORTFALL) -> list[ModelShape]:
    return [shape for shape in shapes if target * (1 - shortfall) <= shape.params <= highest]


def _of_share(teacher: ModelShape, near: list[ModelShape], target: float) -> list[ModelShape]:
    """The shapes for a share of the teacher, which is a wish for about so many parameters: somewhat smaller ones too, where they are more
    like their teacher.

    Where nothing is near, the smaller ones, and at last the narrow ones: a vocabulary of 30,000 tokens leaves 10 % of a small teacher to
    no wide student.
    """
    if near:
        likest = max(likeness(shape, teacher) for shape in near)
        below = _within(candidate_students(teacher), target, target * (1 - _SHORTFALL), _LIKER_SHORTFALL)
        return near + [shape for shape in below if likeness(shape, teacher) > likest]
    for narrowest in (_NARROWEST, _NARROW_TOO):
        for shortfall in (_LIKER_SHORTFALL, _WIDEST_SHORTFALL):
            if fitting := _within(candidate_students(teacher, narrowest), target, target, shortfall):
                return fitting
    return []


def is_narrow(shape: ModelShape, teacher: ModelShape) -> bool:
    """Whether a shape is narrower than any that is considered unasked."""
    return shape.hidden < teacher.hidden * _NARROWEST


def likeness(shape: ModelShape, teacher: ModelShape) -> float:
    """How much of its teacher a student can keep, from 0 to 1, to rank shapes of a size before any is trained.

    A layer counts more than as much width: a narrower student's layers are fitted to its teacher's (compress/layer_fitting.py), and what a
    layer did is harder to fit. Where a family's layers cannot be fitted, a student has to learn anew how its dimensions belong together.
    """
    fits = 1.0 if shape.hidden == teacher.hidden else _NARROWED if teacher.family.fits_layers else _CHOSEN
    return fits * math.pow(len(shape.layers) / len(teacher.layers), _DEPTH) * shape.hidden / teacher.hidden


def candidate_students(teacher: ModelShape, narrowest: float = _NARROWEST) -> list[ModelShape]:
    """Every student worth considering, the largest first: at least a third of the layers, and `narrowest` of the width."""
    depths = _thinned(range(max(1, round(len(teacher.layers) * _SHALLOWEST)), len(teacher.layers) + 1))
    widths = sorted({*_thinned(_whole_heads(teacher)), teacher.hidden})
    shapes = [
        shrink(teacher, depth, width)
        for depth in depths
        for width in widths
        if width >= teacher.hidden * narrowest and (depth, width) != (len(teacher.layers), teacher.hidden)
    ]
    return sorted(shapes, key=lambda shape: -shape.params)


def _whole_heads(teacher: ModelShape) -> range:
    """Widths that heads divide. The teacher's own is one more where its heads do not: a student of it is cut in depth alone."""
    return range(teacher.head_dim, teacher.hidden + 1, teacher.head_dim)


def _thinned(values: range) -> range:
    """The largest and every so many below it: a plan stays a matter of moments for the largest models too."""
    return values if len(values) <= _MOST_SIZES else values[:: -(-len(values) // -_MOST_SIZES)][::-1]


def _exact(teacher: ModelShape, layers: int, hidden: int) -> ModelShape:
    if layers < 1 or layers > len(teacher.layers) or hidden > teacher.hidden:
        raise EdgepackError(
            f"a student of {layers}x{hidden} is larger than its teacher ({teacher.name()}) or has no layer",
            f"choose 1 to {len(teacher.layers)} layers and a width up to {teacher.hidden}",
        )
    if hidden != teacher.hidden and hidden not in _whole_heads(teacher):
        widths = ", ".join(map(str, sorted({*_whole_heads(teacher), teacher.hidden})))
        raise EdgepackError(f"a width of {hidden} is not a multiple of the head size {teacher.head_dim}", f"choose one of {widths}")
    return shrink(teacher, layers, hidden)
