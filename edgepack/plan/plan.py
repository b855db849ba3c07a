"""The plan: which steps turn a trained model into a pack for a device, each with its settings and its why. Pure and fast."""

from collections.abc import Iterator

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.plan.choice import choose, supported_runtime, with_runner_up
from edgepack.plan.choice_record import BrokenBudget, Choice, broken_budgets, in_words, last_need, wider_need
from edgepack.plan.coded_costs import refuse_idle_start
from edgepack.plan.coding import Coding, VectorCoding, vector_coding
from edgepack.plan.cost_model import held_positions, predict
from edgepack.plan.factors import check_factors
from edgepack.plan.formats import FORMATS
from edgepack.plan.means import GUESSED_PIECES, Case, file_kind
from edgepack.plan.model_steps import model_steps
from edgepack.plan.precision import Situation, exported_precision, precision_facts
from edgepack.plan.prediction import Prediction
from edgepack.plan.profile import Budget, PrecisionName, Profile
from edgepack.plan.recipe import DEFAULT_LENGTH, TRAIN_SPLIT, WHOLE_VOCABULARY, Recipe
from edgepack.plan.rounding import rounding_of
from edgepack.plan.runtime import Format
from edgepack.plan.shape import ModelShape
from edgepack.plan.steps import CutVocabulary, Export, Quantize, Step
from edgepack.plan.tables import refuse_wishes_of_layers, with_dimensions
from edgepack.plan.tflite_steps import tflite_export
from edgepack.plan.weight_cache import WISHED_CACHE, check_onnx_weight_cache
from edgepack.tasks import all_tasks, task_named

_FASTER = 0.95  # times the latency: less is no reason for another format
OPSET = 20  # the first with Gelu as one op; onnxruntime 1.17 and later take it


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
    coding: Coding | None = None  # the last thing that is done to the file; None: its weights lie there as a runtime reads them
    vectors: VectorCoding | None = None  # None: a text's vector has no code

    @property
    def format(self) -> Format:
        return FORMATS[self.runtime]

    @property
    def exact_products(self) -> bool:
        """Whether sums of u8 x s8 must be kept from saturating here, as the device does: 7-bit weights cannot saturate anywhere."""
        rounded = [step for step in self.steps if isinstance(step, Quantize) and step.rounds_activations]
        return self.format == "onnx" and any(not step.reduce_range for step in rounded)

    @property
    def cuts_vocabulary(self) -> bool:
        return any(isinstance(step, CutVocabulary) for step in self.steps)

    @property
    def embedding_bits(self) -> int:
        """Of a value of the embedding tables, where any are in integers."""
        return next((step.embedding_bits for step in self.steps if isinstance(step, Quantize)), 8)

    @property
    def prepack(self) -> bool:
        return all(step.prepack for step in self.steps if isinstance(step, Export))


def make_plan(profile: Profile, recipe: Recipe, teacher: ModelShape, pieces: int | None = None) -> Plan:
    """`pieces`: what a cut to the recipe's texts leaves of the vocabulary, where somebody has counted; else it is guessed.

    EdgepackError where the profile's runtime is not supported, a fixed choice is impossible or no plan meets the budgets.
    """
    runtime = supported_runtime(profile, recipe.format if recipe.format in ("onnx", "tflite") else None)
    _refuse_long_texts(recipe, teacher)
    refuse_wishes_of_layers(recipe, teacher)
    _refuse_idle_wishes(recipe, teacher)
    budget = profile.budget.overridden_by(recipe.budget)
    cut = with_dimensions(recipe, _with_vocabulary(recipe, teacher, pieces))
    if _cuts_rotations(recipe, cut, runtime):
        cut = cut.model_copy(update={"positions": held_positions(cut.positions, recipe.length + 1, recipe.max_length)})
    case = Case(profile, recipe, cut, budget, runtime, pieces, teacher)
    choice, considered = choose(case)
    choice = with_runner_up(case, choice)
    refuse_idle_start(recipe, choice.coding)
    return Plan(
        profile=profile.name,
        task=teacher.task,
        budget=budget,
        runtime=runtime,
        precision=choice.precision,
        teacher=teacher,
        student=choice.student,
        steps=(*_vocabulary_step(case, teacher, choice, considered), *_steps(profile, recipe, teacher, choice, considered, runtime)),
        predictions=choice.prediction,
        teacher_predictions=predict(teacher, exported_precision(), profile, runtime, recipe.length),
        broken=choice.broken,
        coding=choice.coding,
        vectors=vector_coding(recipe.vectors) if recipe.vectors else None,
    )


def _refuse_long_texts(recipe: Recipe, teacher: ModelShape) -> None:
    asked = {"--max-length": recipe.max_length, "--length": recipe.length if recipe.length != DEFAULT_LENGTH else None}
    for name, wished in asked.items():
        if wished and wished > teacher.positions:
            raise EdgepackError(
                f"{name} {wished} is over the {teacher.positions} tokens that the model has positions for", "choose a shorter length"
            )


def _refuse_idle_wishes(recipe: Recipe, teacher: ModelShape) -> None:
    """EdgepackError for settings of int8 that could change nothing: the user expects something of them."""
    settings: dict[str, object] = {"--smoothing": recipe.smoothing, "--sensitive": recipe.sensitive, "--activations": recipe.activations}
    given = {name: value for name, value in settings.items() if value is not None}
    if teacher.decodes:
        _refuse_idle_for_decoders(recipe, given)
    _refuse_vectors(recipe, teacher)
    check_factors(recipe, teacher)
    _refuse_cuts_of_factors(recipe, teacher)
    in_float = recipe.precision is not None and not precision_facts(recipe.precision).is_integer
    if given and in_float:
        raise EdgepackError(
            f"{' and '.join(given)} with --precision {recipe.precision} changes nothing", "leave it out, or give --precision int8"
        )
    if recipe.embedding_bits and in_float:
        raise EdgepackError(
            f"--embedding-bits {recipe.embedding_bits} with --precision {recipe.precision} changes nothing",
            "leave it out, or give a narrower --precision",
        )
    needing = [name for name, value in given.items() if value and value != "dynamic"]
    if needing and recipe.data is None:
        raise EdgepackError(f"{' and '.join(needing)} needs texts to calibrate on", "give --data, or leave it out")


def _refuse_cuts_of_factors(recipe: Recipe, teacher: ModelShape) -> None:
    """EdgepackError: a model whose matrices are two products already cannot be cut or made smaller."""
    cuts = recipe.prunes or recipe.cuts_vocabulary or recipe.student not in (None, "same")
    if teacher.factorized and cuts:
        raise EdgepackError(
            "the model's matrices are two smaller products already, which cannot be pruned, cut or distilled to another shape",
            "give the model as it was before --factorize, with all that is to be done in one build",
        )


def _refuse_vectors(recipe: Recipe, teacher: ModelShape) -> None:
    """EdgepackError: codes of vectors from a model that gives none, or without texts to take ranges and thresholds from."""
    if recipe.vectors is None:
        return
    if not task_named(teacher.task).gives_vectors:
        able = " or ".join(task.name for task in all_tasks() if task.gives_vectors)
        raise EdgepackError(
            f"--vectors {recipe.vectors}: a model for {teacher.task} gives no vectors of texts", f"leave it out, or give a model for {able}"
        )
    if recipe.data is None:
        raise EdgepackError(f"--vectors {recipe.vectors} needs texts to take each dimension's range from", "give --data, or leave it out")


def _refuse_idle_for_decoders(recipe: Recipe, given: dict[str, object]) -> None:
    if recipe.batch:
        raise EdgepackError("--batch with text-generation changes nothing: a decoder's file has that axis anyway", "leave it out")
    in_float = ("--smoothing", "--activations") if recipe.format != "tflite" else ("--activations",)
    of_activations = [name for name in in_float if name in given]
    if of_activations:
        raise EdgepackError(
            f"{' and '.join(of_activations)}: a decoder's activations are not in int8",
            "leave it out for text-generation; --smoothing is for its --format tflite",
        )
    if "--sensitive" in given and recipe.precision is not None and not precision_facts(recipe.precision).keeps_sensitive_layers:
        raise EdgepackError(
            f"--sensitive with --precision {recipe.precision} changes nothing: it keeps layers of a decoder in 4 bits at 8 bits",
            "leave it out, or give --precision int4",
        )


def _with_vocabulary(recipe: Recipe, teacher: ModelShape, pieces: int | None) -> ModelShape:
    if not recipe.cuts_vocabulary:
        return teacher
    if recipe.vocabulary == TRAIN_SPLIT and recipe.data is None:
        raise EdgepackError(
            "--vocabulary data has no data: it keeps what the train split needs", "give --data, or a file: --vocabulary FILE"
        )
    return teacher.model_copy(update={"vocab": min(teacher.vocab, GUESSED_PIECES) if pieces is None else pieces})


def _vocabulary_step(case: Case, teacher: ModelShape, choice: Choice, considered: list[Choice]) -> Iterator[Step]:
    """As the user asked for it, or as the planner chose it for the file's size. teacher: as it came."""
    recipe = case.recipe
    if not recipe.cuts_vocabulary and not choice.cuts_vocabulary:
        return
    table = f"{teacher.vocab:,} pieces take {teacher.vocab * teacher.embedding / 1e6:.1f}M of {teacher.params / 1e6:.1f}M parameters."
    left = f"{choice.student.vocab:,} stay"
    left += "." if case.pieces is not None else ", which is a guess until the build has counted."
    if not choice.cuts_vocabulary:
        yield CutVocabulary(corpus=recipe.vocabulary or "", why=f"You asked for it. {table} {left}")
        return
    texts = "the train split and of the texts without labels" if recipe.unlabelled else "the train split"
    after = f"The tokens of {texts} are kept, what its words are made of, and common ones, until the dev split keeps 97 % of its tokens."
    after += f" Other words may take more of them (--vocabulary {WHOLE_VOCABULARY}: no cut)."
    if recipe.student is not None:
        why = f"You asked for {recipe.student}. With fewer tokens a student of that size is wider or deeper."
        yield CutVocabulary(corpus=TRAIN_SPLIT, why=f"{why} {table} {left} {after}")
        return
    whole = [tried for tried in considered if tried.student.name() == choice.student.name() and not tried.cuts_vocabulary]
    least = min(whole, key=lambda tried: tried.overshoot)
    fewest = precision_facts(choice.precision).coarse.get(file_kind(teacher, case.runtime))
    grid = f", or a grid of fewer than {fewest:g} bits a weight" if fewest and least.coding is None else ""
    why = f"Without it, {choice.student.name()} would need {in_words(least.broken)}{grid}. {table} {left}"
    yield CutVocabulary(corpus=TRAIN_SPLIT, why=f"{why} {after}")


def _steps(profile: Profile, recipe: Recipe, teacher: ModelShape, choice: Choice, considered: list[Choice], runtime: str) -> Iterator[Step]:
    kind = file_kind(teacher, runtime)
    make_step = precision_facts(choice.precision).quantize[kind]
    bits = choice.coding.bits if choice.coding else None
    narrowed = recipe.model_copy(update={"embedding_bits": choice.embedding_bits}) if _narrows_embeddings(recipe, choice) else recipe
    situation = Situation(profile, narrowed, runtime, teacher, choice.student, wider_need(choice, considered), bits)
    quantize = make_step(situation) if make_step else None
    rounding = rounding_of(recipe, teacher, quantize, kind)
    yield from model_steps(recipe, teacher, choice, considered, rounding)
    as_trained = recipe.model_copy(update={"smoothing": 0.0}) if rounding else recipe  # activations were trained as they are rounded
    export = _export(profile, as_trained, choice, considered, runtime)
    yield export.model_copy(update={"why": export.why + _why_untrained(recipe, choice)})
    if quantize is not None:
        quantize = quantize.model_copy(update={"why": quantize.why + _why_narrow_embeddings(recipe, choice, considered)})
        yield quantize.model_copy(update={"smoothing": 0.0}) if rounding else quantize


def _narrows_embeddings(recipe: Recipe, choice: Choice) -> bool:
    """Whether the planner does that, and nobody asked for it."""
    return choice.embedding_bits != (recipe.embedding_bits or 8)


def _why_narrow_embeddings(recipe: Recipe, choice: Choice, considered: list[Choice]) -> str:
    """A sentence where the planner chose narrow embeddings: what embeddings in 8 bits would need, and coded weights."""
    if not _narrows_embeddings(recipe, choice):
        return ""
    alike = [tried for tried in considered if (tried.student, tried.precision) == (choice.student, choice.precision)]
    wider = [tried for tried in alike if tried.embedding_bits != choice.embedding_bits]
    needs = [f"{'with coded weights' if tried.coding else 'in 8 bits'} {in_words(tried.broken)}" for tried in wider]
    return f" Embeddings take {choice.embedding_bits} bits: the pack would need {', and '.join(needs)}."


def _cuts_rotations(recipe: Recipe, shape: ModelShape, runtime: str) -> bool:
    """Whether the file holds tables of rotations, and they need to be no longer than the user's texts."""
    return recipe.max_length is not None and shape.decodes and not shape.family.position_table and FORMATS[runtime] != "tflite"


def _export(profile: Profile, recipe: Recipe, choice: Choice, considered: list[Choice], runtime: str) -> Export:
    if FORMATS[runtime] == "tflite":
        return tflite_export(profile, recipe, choice, runtime)
    why = f"{runtime} {profile.runtimes[runtime].version} runs opset {OPSET}. Ops are fused, and the weights lie in a file that it maps."
    one_text = "" if recipe.batch or choice.student.decodes else " It reads one text at a time, without a mask (--batch: several)."
    why += one_text + _why_not_packed(recipe, choice, considered) + _beside_other_runtimes(profile, recipe, choice, considered, runtime)
    positions = choice.student.positions if _cuts_rotations(recipe, choice.student, runtime) else None
    if positions:
        why += f" Its tables of rotations end at {positions:,} tokens (--max-length makes them longer)."
    if recipe.weight_cache:
        check_onnx_weight_cache(recipe, choice, runtime)
        why += WISHED_CACHE
    is_kept = bool(recipe.weight_cache)
    return Export(opset=OPSET, prepack=choice.prepack, batch=not one_text, weight_cache=is_kept, positions=positions, why=why)


def _why_untrained(recipe: Recipe, choice: Choice) -> str:
    """A sentence where a smaller student might meet the budgets, and the user has forbidden to train one."""
    is_open = recipe.student is None and recipe.data is not None and choice.broken
    return " No smaller student is distilled: --epochs 0 trains nothing." if is_open and not recipe.can_train else ""


def _beside_other_runtimes(profile: Profile, recipe: Recipe, choice: Choice, considered: list[Choice], runtime: str) -> str:
    """What the profile's runtimes of other formats would take for the same model, where the user has not chosen a format."""
    others = [name for name in profile.runtimes if FORMATS[name] != FORMATS[runtime]]
    computing = [name for name in others if choice.precision in profile.runtimes[name].precisions]
    if recipe.format is not None or choice.student.decodes or not computing:
        return ""

    def predicted(student: ModelShape, name: str) -> Prediction:
        return predict(student, choice.precision, profile, name, recipe.length)

    ours = choice.prediction.latency_ms
    theirs = {name: predicted(choice.student, name).latency_ms for name in computing}
    name = min(theirs, key=lambda each: theirs[each])
    if theirs[name] >= ours * _FASTER:
        return f" {name} is predicted to be no faster ({theirs[name]:g} ms, {runtime} {ours:g})."
    faster = f" {name} is predicted to be faster ({theirs[name]:g} ms, {runtime} {ours:g}): --format auto measures both."
    whole = considered[0].student if considered else choice.student
    untrained, budget = predicted(whole, name), profile.budget.overridden_by(recipe.budget)
    is_cut = (whole.layers, whole.hidden) != (choice.student.layers, choice.student.hidden)
    if recipe.student is not None or not is_cut or broken_budgets(untrained, budget):
        return faster
    without = f" With {name}, {whole.name()} is predicted to meet the budgets ({untrained.latency_ms:g} ms), and nothing would be trained."
    return faster + without


def _why_not_packed(recipe: Recipe, choice: Choice, considered: list[Choice]) -> str:
    if choice.prepack:
        return ""
    reason = "you asked for that" if recipe.prepack is False else f"packed, it would need {last_need(considered)}"
    return f" The session does not pack the matrices as it opens: {reason}."
