"""The plan: which steps turn a trained model into a pack for a device, each with its settings and its why. Pure and fast.

What the user fixes is kept. What is left open becomes the least compression whose predictions meet the budgets: the
precision first (it needs no training), then the student, then pruned heads.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from edgepack.errors import EdgepackError
from edgepack.frozen import Frozen
from edgepack.predict import Prediction, predict
from edgepack.profile import Budget, PrecisionName, Profile
from edgepack.recipe import Recipe, StudentSize, parse_student
from edgepack.shape import LayerShape, ModelShape
from edgepack.student import candidate_students, choose_student

SUPPORTED_RUNTIMES = ("onnxruntime",)
SUPPORTED_PRECISIONS: tuple[PrecisionName, ...] = ("fp32", "int8")  # the widest first
TRAINABLE_TASKS = ("text-classification",)
OPSET = 20  # the first with Gelu as one op; onnxruntime 1.17 and later take it
_AUTO_PRUNING = (0.0, 0.25, 0.5)


class PruneHeads(Frozen):
    """Cut the least important heads out. scope `layer` removes the same share in each layer, `model` the least anywhere."""

    verb: Literal["prune_heads"] = "prune_heads"
    fraction: float
    scope: Literal["layer", "model"]
    why: str


class Distill(Frozen):
    verb: Literal["distill"] = "distill"
    layers: int
    hidden: int
    epochs: int
    batch_rows: int
    learning_rate: float
    temperature: float
    why: str


class Export(Frozen):
    verb: Literal["export"] = "export"
    format: Literal["onnx"] = "onnx"
    opset: int
    why: str


class Quantize(Frozen):
    verb: Literal["quantize"] = "quantize"
    precision: Literal["int8"]
    reduce_range: bool
    why: str


Step = Annotated[PruneHeads | Distill | Export | Quantize, Field(discriminator="verb")]


class BrokenBudget(Frozen):
    name: str
    limit: float
    predicted: float

    def __str__(self) -> str:
        return f"{self.name}: predicted {self.predicted:g}, limit {self.limit:g} ({self.predicted / self.limit:.2f} times)"


class Plan(Frozen):
    """What will be done for a profile and a recipe; both stand beside it in pack.json."""

    profile: str
    task: str
    budget: Budget  # the profile's, overridden by the recipe's
    runtime: str
    precision: PrecisionName
    teacher: ModelShape
    student: ModelShape
    steps: tuple[Step, ...]
    predictions: Prediction
    teacher_predictions: Prediction  # the same device, unchanged and in fp32
    broken: tuple[BrokenBudget, ...]  # budgets that the user's own fixed choices are predicted to break


class _Choice(Frozen):
    prune_heads: float
    pruned: ModelShape
    student: ModelShape
    precision: PrecisionName
    prediction: Prediction
    broken: tuple[BrokenBudget, ...]

    @property
    def overshoot(self) -> float:
        return max((budget.predicted / budget.limit for budget in self.broken), default=0.0)


def make_plan(profile: Profile, recipe: Recipe, teacher: ModelShape) -> Plan:
    """EdgepackError where the profile's runtime is not supported, a fixed choice is impossible or no plan meets the budgets."""
    runtime = supported_runtime(profile)
    budget = profile.budget.overridden_by(recipe.budget)
    choice, considered = _choose(profile, recipe, teacher, budget, runtime)
    return Plan(
        profile=profile.name,
        task=teacher.task,
        budget=budget,
        runtime=runtime,
        precision=choice.precision,
        teacher=teacher,
        student=choice.student,
        steps=tuple(_steps(profile, recipe, teacher, choice, considered, runtime)),
        predictions=choice.prediction,
        teacher_predictions=predict(teacher, "fp32", profile, runtime, recipe.length),
        broken=choice.broken,
    )


def supported_runtime(profile: Profile) -> str:
    for name in profile.runtimes:
        if name in SUPPORTED_RUNTIMES:
            return name
    raise EdgepackError(
        f"profile {profile.name!r} needs {' or '.join(profile.runtimes)}, which edgepack cannot build for yet",
        f"choose a profile that runs {' or '.join(SUPPORTED_RUNTIMES)}; `edgepack profiles` shows which do",
    )


def broken_budgets(prediction: Prediction, budget: Budget) -> tuple[BrokenBudget, ...]:
    """The limits that a prediction exceeds; score_drop is known only after training and is judged in the report."""
    limits = {name: limit for name, limit in budget.model_dump(exclude_none=True).items() if name != "score_drop"}
    return tuple(
        BrokenBudget(name=name, limit=limit, predicted=getattr(prediction, name))
        for name, limit in limits.items()
        if getattr(prediction, name) > limit
    )


def _choose(profile: Profile, recipe: Recipe, teacher: ModelShape, budget: Budget, runtime: str) -> tuple[_Choice, list[_Choice]]:
    """The first choice that meets the budgets, and those that were considered and did not."""
    considered: list[_Choice] = []
    for choice in _choices(profile, recipe, teacher, budget, runtime):
        if not choice.broken:
            return choice, considered
        considered.append(choice)
    nearest = min(considered, key=lambda choice: choice.overshoot)
    if any(fixed is not None for fixed in (recipe.student, recipe.prune_heads, recipe.precision)):
        # Training away what would not save the budget anyway only costs quality: the precision alone is chosen freely here.
        untrained = [
            tried for tried in considered if tried.student == considered[0].student and tried.prune_heads == considered[0].prune_heads
        ]
        return min(untrained, key=lambda choice: choice.overshoot), considered
    breaks = "; ".join(str(budget) for budget in nearest.broken)
    without_data = "" if recipe.data else " without data to train with"
    raise EdgepackError(
        f"no plan{without_data} meets the budgets of {profile.name} for this model: the nearest "
        f"({nearest.student.name()}, {nearest.precision}) breaks {breaks}",
        "raise the budget it names (--file-mb, --ram-mb, --latency-ms, --load-ms), or fix --student to build it nevertheless"
        + ("" if recipe.data else ", or give --data so that a smaller student can be distilled"),
    )


def _choices(profile: Profile, recipe: Recipe, teacher: ModelShape, budget: Budget, runtime: str) -> Iterator[_Choice]:
    """What the user left open, the least compression first."""
    precisions = _precisions(profile, recipe, teacher, runtime)
    can_train = recipe.data is not None and teacher.task in TRAINABLE_TASKS
    _refuse_training_that_cannot_be(recipe, teacher, can_train)
    fractions = (recipe.prune_heads,) if recipe.prune_heads is not None else _AUTO_PRUNING if can_train else (0.0,)
    for fraction in fractions:
        pruned = _pruned(teacher, fraction)
        for student in _students(profile, recipe, teacher, pruned, runtime, precisions[-1], can_train):
            for precision in precisions:
                prediction = predict(student, precision, profile, runtime, recipe.length)
                yield _Choice(
                    prune_heads=fraction,
                    pruned=pruned,
                    student=student,
                    precision=precision,
                    prediction=prediction,
                    broken=broken_budgets(prediction, budget),
                )


def _precisions(profile: Profile, recipe: Recipe, teacher: ModelShape, runtime: str) -> list[PrecisionName]:
    offered = [name for name in SUPPORTED_PRECISIONS if name in profile.runtimes[runtime].precisions]
    if teacher.task == "text-generation":
        offered = ["fp32"]  # one activation scale for a whole prompt breaks a decoder's prefill
    if recipe.precision is None:
        return offered
    if recipe.precision not in offered and teacher.task == "text-generation":
        raise EdgepackError("dynamic int8 breaks what a decoder reads at once, its prompt", "use --precision fp32 for text-generation")
    if recipe.precision not in offered:
        raise EdgepackError(
            f"profile {profile.name!r} does not list {recipe.precision} for {runtime}", f"choose one of: {', '.join(offered)}"
        )
    return [recipe.precision]


def _refuse_training_that_cannot_be(recipe: Recipe, teacher: ModelShape, can_train: bool) -> None:
    wants_student = recipe.student is not None and not parse_student(recipe.student).is_same
    if can_train or not (wants_student or recipe.prune_heads):
        return
    wish = f"--student {recipe.student}" if wants_student else f"--prune-heads {recipe.prune_heads:.0%}"
    if recipe.data is None:
        raise EdgepackError(f"{wish} needs data to distil with", "give --data, a file or folder of texts with labels")
    raise EdgepackError(
        f"{wish} is not supported for {teacher.task} yet", f"use --student same --prune-heads 0, or one of: {', '.join(TRAINABLE_TASKS)}"
    )


def _pruned(teacher: ModelShape, fraction: float) -> ModelShape:
    """The teacher with a share of its heads gone, spread evenly: what scope `layer` does, and the average of `model`."""
    layers = tuple(LayerShape(heads=row.heads - round(row.heads * fraction), ffn=row.ffn) for row in teacher.layers)
    if fraction and any(row.heads < 1 for row in layers):
        raise EdgepackError(
            f"pruning {fraction:.0%} of {teacher.layers[0].heads} heads leaves a layer none", "choose a smaller --prune-heads"
        )
    return teacher.resized(layers, teacher.hidden)


def _students(
    profile: Profile, recipe: Recipe, teacher: ModelShape, pruned: ModelShape, runtime: str, precision: PrecisionName, can_train: bool
) -> Iterator[ModelShape]:
    size = parse_student(recipe.student) if recipe.student is not None else StudentSize(text="same")
    yield choose_student(pruned, teacher, size, profile, runtime, precision, recipe.length)
    if recipe.student is None and can_train:
        candidates = candidate_students(pruned)
        yield from (shape for shape in candidates if shape.hidden == teacher.hidden)  # full width carries over best
        yield from (shape for shape in candidates if shape.hidden != teacher.hidden)


def _steps(
    profile: Profile, recipe: Recipe, teacher: ModelShape, choice: _Choice, considered: list[_Choice], runtime: str
) -> Iterator[Step]:
    shrinks = (len(choice.student.layers), choice.student.hidden) != (len(teacher.layers), teacher.hidden)
    if choice.prune_heads:
        yield PruneHeads(
            fraction=choice.prune_heads,
            scope="layer" if shrinks else "model",
            why=_why_pruned(recipe, considered) + (", the same in every layer: a student keeps only some" if shrinks else ""),
        )
    if shrinks or choice.prune_heads:
        yield Distill(
            layers=len(choice.student.layers),
            hidden=choice.student.hidden,
            why=_why_student(recipe, choice, considered, shrinks),
            **recipe.training.model_dump(),
        )
    yield Export(
        opset=OPSET,
        why=f"{runtime} {profile.runtimes[runtime].version} takes opset {OPSET}; fused ahead, the weights in a file that it maps",
    )
    if choice.precision == "int8":
        yield Quantize(
            precision="int8",
            reduce_range=profile.cpu.saturates_u8s8,
            why=_why_int8(profile, recipe, considered, runtime),
        )


def _why_pruned(recipe: Recipe, considered: list[_Choice]) -> str:
    return "asked for" if recipe.prune_heads is not None else f"no student alone meets the budgets: {_last_break(considered)}"


def _why_student(recipe: Recipe, choice: _Choice, considered: list[_Choice], shrinks: bool) -> str:
    if not shrinks:
        return "wins back what the pruned heads knew"
    size = f"{choice.student.name()}, {choice.student.params / 1e6:.1f}M"
    if recipe.student is not None:
        return f"{size} for the {recipe.student} asked for: the least predicted latency within the size"
    same = [tried for tried in considered if tried.student.name() == choice.pruned.name()]
    return f"{size} is the largest that meets the budgets; unshrunk breaks {_last_break(same)}"


def _why_int8(profile: Profile, recipe: Recipe, considered: list[_Choice], runtime: str) -> str:
    why = profile.runtimes[runtime].precisions["int8"].why
    if profile.cpu.saturates_u8s8:
        why += f"; 7-bit weights: {profile.cpu.part} adds u8 x s8 products in 16 bits"
    if recipe.precision is not None:
        return f"asked for; {why}"
    wider = [tried for tried in considered if tried.precision == "fp32"]
    return f"{why}; fp32 breaks {_last_break(wider)}" if wider else why


def _last_break(considered: list[_Choice]) -> str:
    return "; ".join(str(budget) for budget in considered[-1].broken) if considered else "the budgets"
