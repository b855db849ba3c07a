"""Chooses what the user left open: the least compression whose predictions meet the budgets. Pure and fast.

The precision comes first (it needs no training), then other means to a smaller file (see means.py), then the student, then pruned heads.
"""

from collections.abc import Iterator

from packaging.version import Version

from edgepack.core.errors import EdgepackError
from edgepack.plan.choice_record import Choice, RunnerUp, in_words
from edgepack.plan.coded_costs import coarse_alone
from edgepack.plan.cost_model import predict
from edgepack.plan.cuts import cut_shape, heads_do_not_fit
from edgepack.plan.formats import FORMATS, FormatWish
from edgepack.plan.means import Case, file_kind, smaller_files
from edgepack.plan.precision import all_precisions, exported_precision, precision_facts
from edgepack.plan.profile import PrecisionName, Profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.runtime import Format, runtime_facts
from edgepack.plan.shape import ModelShape
from edgepack.plan.student import candidate_students, choose_student, likeness, shapes_of_size
from edgepack.plan.student_size import StudentSize, parse_student
from edgepack.plan.tables import SMALLER
from edgepack.tasks import task_named

_AUTO_PRUNING = (0.0, 0.25, 0.5)
_DECODER_DEPTH = 0.75  # share of a decoder's layers that a student has where nobody asked for it


def supported_runtime(profile: Profile, wished: Format | None = None) -> str:
    """The profile's runtime for a format; where none is wished, the one that is preferred. EdgepackError: it has none."""
    names = sorted(profile.runtimes, key=lambda name: runtime_facts(name).rank)
    for name in names:
        if wished is None or FORMATS[name] == wished:
            return name
    raise EdgepackError(
        f"profile {profile.name!r} has no runtime for {wished}: it runs {' and '.join(names)}", f"use --format {FORMATS[names[0]]}"
    )


def wished_formats(profile: Profile, wish: FormatWish | None) -> tuple[Format, ...]:
    """The formats that a build writes: one, or both for `both` and `auto`, where the profile must run both."""
    match wish:
        case "both" | "auto":
            return FORMATS[supported_runtime(profile, "onnx")], FORMATS[supported_runtime(profile, "tflite")]
        case _:
            return (FORMATS[supported_runtime(profile, wish)],)


def choose(case: Case) -> tuple[Choice, list[Choice]]:
    """The first choice that meets the budgets, and those that were considered and did not."""
    recipe, teacher = case.recipe, case.teacher
    considered: list[Choice] = []
    near: list[Choice] = []  # of the student that is looked at: over a limit by so little that the prediction cannot tell
    for choice in _choices(case):
        if near and (near[0].student, near[0].prune_heads) != (choice.student, choice.prune_heads):
            break
        if not choice.broken:
            return choice, considered
        considered.append(choice)
        if all(budget.is_near for budget in choice.broken):
            near.append(choice)
    if near:
        return min(near, key=lambda choice: choice.overshoot).model_copy(update={"broken": ()}), considered
    nearest = min(considered, key=lambda choice: choice.overshoot)
    if recipe.prunes or any(fixed is not None for fixed in (recipe.student, recipe.prune_heads, recipe.precision)):
        # Training away what would not save the budget anyway only costs quality: the precision alone is chosen freely here.
        untrained = [
            tried for tried in considered if tried.student == considered[0].student and tried.prune_heads == considered[0].prune_heads
        ]
        return min(untrained, key=lambda choice: choice.overshoot), considered
    limits = "" if recipe.can_train else " without training (--epochs 0)" if recipe.data else " without data to train with"
    unasked = ""
    if teacher.decodes and recipe.can_train:
        limits = " with a student that is of use, for a decoder needs far more text than a build has to win back more,"
        unasked = ". Heads of a decoder are cut only where --prune-heads asks for it: even the best ranking loses too much"
    raise EdgepackError(
        f"no plan{limits} meets the budgets of {case.profile.name} for this model: the nearest one "
        f"({nearest.described}) is predicted to need {in_words(nearest.broken)}{unasked}",
        f"raise {' and '.join(budget.flag for budget in nearest.broken)}, or give --student (`same` keeps "
        "the shape) to build a pack over its budget" + _smaller_by(case),
    )


def _smaller_by(case: Case) -> str:
    """What else the user can give for a smaller model."""
    if case.teacher.family.is_table:
        return f", or make the table smaller: {SMALLER}"
    if case.recipe.can_train:
        return ""
    return f", or {'leave --epochs 0 out' if case.recipe.data else 'give --data'}, so that a smaller student can be distilled"


def with_runner_up(case: Case, choice: Choice) -> Choice:
    """The choice with the next best shape, where the user's size leaves one."""
    recipe = case.recipe
    size = parse_student(recipe.student or "same")
    if size.is_same or size.layers is not None:
        return choice
    shapes = shapes_of_size(
        choice.pruned, case.given or case.teacher, size, case.profile, case.runtime, choice.precision, recipe.length, case.budget
    )
    others = [shape for shape in shapes if shape.name() != choice.student.name()]
    if not others:
        return choice
    latency_ms = predict(others[0], choice.precision, case.profile, case.runtime, recipe.length).latency_ms
    return choice.model_copy(update={"runner_up": RunnerUp(student=others[0], latency_ms=latency_ms)})


def _choices(case: Case) -> Iterator[Choice]:
    """What the user left open, the least compression first."""
    recipe, teacher, runtime = case.recipe, case.teacher, case.runtime
    precisions = coarse_alone(recipe, file_kind(teacher, runtime), _precisions(case.profile, recipe, teacher, runtime))
    _refuse_training_that_cannot_be(recipe)
    has_heads = not teacher.family.is_table and not teacher.decodes  # no ranking of a decoder's heads is good enough unasked
    freely = _AUTO_PRUNING if recipe.can_train and has_heads else (0.0,)
    fractions = (recipe.prune_heads,) if recipe.prune_heads is not None else freely
    for fraction in fractions:
        pruned = _with_room_for_width(case, cut_shape(teacher, recipe, fraction), precisions[-1])
        for student in _students(case, pruned, precisions[-1]):
            if heads_do_not_fit(recipe, pruned, student, fraction):
                continue
            tried: list[Choice] = []
            for precision in precisions:
                if _blocks_do_not_fit(recipe, student, precision, runtime):
                    continue
                for prepack in _prepacking(recipe, student, runtime):
                    tried.append(case.of(fraction, pruned, student, precision, prepack))
                    yield tried[-1]
                    if {budget.name for budget in tried[-1].broken} != {"load_ms"}:
                        break  # without packing it loads faster, and costs more of all else
            yield from smaller_files(case, tried)


def _prepacking(recipe: Recipe, student: ModelShape, runtime: str) -> tuple[bool, ...]:
    """What to try, in turn. A decoder's blocks have no fast kernel that does without packing; some runtimes always pack."""
    if runtime_facts(runtime).always_packs:
        return (True,)
    if student.decodes:
        if recipe.prepack is False:
            raise EdgepackError("--no-prepack: a decoder's products are slow without packing", "leave it out for text-generation")
        return (True,)
    return (True, False) if recipe.prepack is None else (recipe.prepack,)


def _precisions(profile: Profile, recipe: Recipe, teacher: ModelShape, runtime: str) -> list[PrecisionName]:
    """The precision that the user asked for, or what the planner may choose between, the widest first."""
    facts, kind = runtime_facts(runtime), file_kind(teacher, runtime)
    if kind.decodes and not facts.writes_text:
        raise EdgepackError(
            f"text-generation needs LiteRT's CompiledModel, which keeps the cache between tokens: {runtime} has none",
            "use a profile that runs litert or onnxruntime",
        )
    listed = [each for each in all_precisions() if each.name in profile.runtimes[runtime].precisions and kind in each.quantize]
    offered = [each for each in listed if _version(profile, runtime) >= facts.oldest.get(each.name, ())]
    chosen_freely = [each.name for each in offered if kind not in each.only_when_asked]
    if recipe.precision is None and chosen_freely:
        return chosen_freely
    asked = precision_facts(recipe.precision or exported_precision())
    _refuse_an_old_runtime(profile, runtime, asked.name)
    fix = f"choose one of: {', '.join(each.name for each in offered)}"
    if kind not in asked.quantize:
        raise EdgepackError(asked.refusals[kind].format(task=teacher.task), fix)
    if asked not in offered and kind not in asked.in_blocks:
        raise EdgepackError(f"profile {profile.name!r} does not list {asked.name} for {runtime}", fix)
    return [asked.name]


def _version(profile: Profile, runtime: str) -> tuple[int, ...]:
    """Major and minor, as the oldest versions of a runtime are stated."""
    return Version(profile.runtimes[runtime].version).release[:2]


def _refuse_an_old_runtime(profile: Profile, runtime: str, precision: PrecisionName) -> None:
    oldest, version, exported = runtime_facts(runtime).oldest, _version(profile, runtime), exported_precision()
    needed = oldest.get(precision)
    if needed is not None and version < needed:
        raise EdgepackError(
            f"{precision} files need {runtime} {needed[0]}.{needed[1]}, {profile.name} has {profile.runtimes[runtime].version}",
            "update the device's runtime and its profile" + (f", or choose {exported}" if version >= oldest[exported] else ""),
        )


def _blocks_do_not_fit(recipe: Recipe, student: ModelShape, precision: PrecisionName, runtime: str) -> bool:
    """Whether the embeddings' rows are no whole blocks; EdgepackError where the user asked for such a precision."""
    facts = precision_facts(precision)
    if file_kind(student, runtime) not in facts.in_blocks or student.hidden % facts.block_of(student.hidden) == 0:
        return False
    if recipe.precision is None:
        return True
    raise EdgepackError(
        f"{precision} keeps weights in blocks of {facts.blocks[-1]}, which do not divide a hidden width of {student.hidden}",
        f"use --precision fp32, or a --student whose width is a multiple of {facts.blocks[-1]}",
    )


def _refuse_training_that_cannot_be(recipe: Recipe) -> None:
    wants_student = recipe.student is not None and not parse_student(recipe.student).is_same
    if wants_student and recipe.training.epochs == 0:
        raise EdgepackError(f"--student {recipe.student} with --epochs 0 would learn nothing", "give at least --epochs 1")
    if recipe.data is not None or not (wants_student or recipe.prunes):
        return
    wish = f"--student {recipe.student}" if wants_student else "pruning"
    raise EdgepackError(f"{wish} needs data to learn from", "give --data, a file or folder of texts, with labels where the task has some")


def _with_room_for_width(case: Case, pruned: ModelShape, precision: PrecisionName) -> ModelShape:
    """`pruned`, its vocabulary cut to the data's where a share of the teacher leaves a student so that keeps clearly more of it.

    Of a small model most parameters are its table of tokens, and a student is narrow for the sake of tokens that it never reads. The
    latency budget comes first: a table of fewer tokens makes no model faster, and what it leaves room for makes it slower.
    """
    size, cut = parse_student(case.recipe.student or "same"), case.cut_vocabulary_of(pruned)
    if size.percent is None or cut is None:
        return pruned
    of_all, of_few = (_student_or_none(case, shape, size, precision) for shape in (pruned, cut))
    if of_all is None or of_few is None:
        return pruned if of_few is None else cut
    all_in_time, few_in_time = (_is_in_time(case, student, precision) for student in (of_all, of_few))
    if all_in_time != few_in_time:
        return pruned if all_in_time else cut
    return cut if likeness(of_few, cut) > task_named(pruned.task).worth_fewer_tokens * likeness(of_all, pruned) else pruned


def _student_or_none(case: Case, shape: ModelShape, size: StudentSize, precision: PrecisionName) -> ModelShape | None:
    """That the size leaves of `shape`; None where no shape has that size."""
    try:
        return _student_of(case, shape, size, precision)
    except EdgepackError:
        return None


def _is_in_time(case: Case, student: ModelShape, precision: PrecisionName) -> bool:
    latency_ms = predict(student, precision, case.profile, case.runtime, case.recipe.length).latency_ms
    return latency_ms <= (case.budget.latency_ms or float("inf"))


def _student_of(case: Case, pruned: ModelShape, size: StudentSize, precision: PrecisionName) -> ModelShape:
    full = case.given or case.teacher
    return choose_student(pruned, full, size, case.profile, case.runtime, precision, case.recipe.length, case.budget)


def _students(case: Case, pruned: ModelShape, precision: PrecisionName) -> Iterator[ModelShape]:
    recipe, teacher = case.recipe, case.teacher
    size = parse_student(recipe.student) if recipe.student is not None else StudentSize(text="same")
    yield _student_of(case, pruned, size, precision)
    if recipe.student is None and recipe.can_train:
        candidates = [shape for shape in candidate_students(pruned) if _worth_planning(shape, teacher)]
        yield from sorted(candidates, key=lambda shape: -likeness(shape, pruned))


def _worth_planning(shape: ModelShape, teacher: ModelShape) -> bool:
    """Whether a build's data can teach such a student. A decoder learned from far more text than a build has: nothing gives it back a
    narrower stream, or more than a few layers.
    """
    return not teacher.decodes or (shape.hidden == teacher.hidden and len(shape.layers) >= _DECODER_DEPTH * len(teacher.layers))
