"""The plan keeps what the user fixes, chooses the least compression that fits, and says why."""

import json

import pytest
from command_line import edgepack_here
from shapes import MINILM
from small import make_model

from edgepack.core.errors import EdgepackError
from edgepack.plan.choice import supported_runtime
from edgepack.plan.formats import python_runtime
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import Budget, load_profile, profile_names
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import LayerShape
from edgepack.plan.steps import CutVocabulary, Distill, Export, PruneFFN, PruneHeads, PruneWeights, Quantize

PI = load_profile("raspberry-pi")


def plan(profile=PI, teacher=MINILM, **recipe):
    return make_plan(profile, Recipe.read({"model": "m", "data": "d"} | recipe, "recipe"), teacher)


def roomy(**limits):
    return {"file_mb": 1e4, "ram_mb": 1e4, "latency_ms": 1e5, "load_ms": 1e6, "score_drop": 100.0} | limits


@pytest.mark.parametrize(
    ("budget", "student", "precision", "pruned"),
    [
        (roomy(), "6x384", "fp32", False),
        (roomy(file_mb=50.0), "6x384", "fp16", False),
        (roomy(file_mb=40.0), "6x384", "int8", False),
        (roomy(file_mb=20.0), "6x384", "int8", False),  # its weights coded
        (roomy(file_mb=7.0), "6x384", "int8", False),  # its vocabulary cut too
        (roomy(file_mb=5.0), "6x288", "int8", False),
        (roomy(latency_ms=49.0), "6x288", "int8", False),  # every layer, narrower: a layer counts more than as much width
        (roomy(latency_ms=30.0), "6x192", "fp32", False),
        (roomy(latency_ms=12.0), "5x128", "int8", False),  # none is narrower
    ],
)
def test_the_least_compression_that_fits_is_chosen(budget, student, precision, pruned):
    result = plan(budget=budget)
    assert (result.student.name(), result.precision) == (student, precision)
    assert any(isinstance(step, PruneHeads) for step in result.steps) is pruned
    assert not result.broken


def test_heads_go_last():
    smallest = plan(budget=roomy(), student="2x128", precision="int8").predictions
    result = plan(budget=roomy(latency_ms=smallest.latency_ms * 0.93))
    assert isinstance(result.steps[0], PruneHeads)


def test_what_the_user_fixes_is_kept_and_what_it_breaks_is_named():
    result = plan(student="same", prune_heads=0.0)
    assert result.student == MINILM
    assert [broken.name for broken in result.broken] == ["latency_ms"]
    assert "ms of latency (budget 50)" in str(result.broken[0])


def test_nothing_is_trained_away_where_it_would_not_save_the_budget():
    result = plan(student="same", precision="fp32", budget=roomy(file_mb=1.0))
    assert [type(step) for step in result.steps] == [Export] and [broken.name for broken in result.broken] == ["file_mb"]


@pytest.mark.parametrize("budget", [{"file_mb": 0.5}, {"load_ms": 1.0}, {"latency_ms": 0.1}])
def test_a_budget_that_no_plan_meets_is_refused_with_how_much_is_missing(budget):
    with pytest.raises(EdgepackError) as error:
        plan(budget=budget)
    name, limit = next(iter(budget.items()))
    assert f"(budget {limit:g})" in error.value.problem and f"raise --{name.replace('_', '-')}" in error.value.fix
    assert f"--{name.replace('_', '-')}" in error.value.fix


def test_steps_follow_the_recipe_in_order_and_each_says_why():
    result = plan(student="17M", prune_heads=0.25)
    assert [type(step) for step in result.steps] == [PruneHeads, Distill, Export, Quantize]
    assert all(step.why for step in result.steps)
    assert result.steps[0].scope == "layer" and (result.steps[1].layers, result.steps[1].hidden) == (4, 352)


def test_heads_pruned_without_a_smaller_student_are_chosen_anywhere_and_won_back():
    result = plan(student="same", prune_heads=0.25)
    assert result.steps[0].scope == "model"
    assert result.steps[1].layers == 6


def test_refit_belongs_to_the_cuts_and_needs_no_training():
    result = plan(student="same", prune_heads=0.25, prune_ffn=0.5, refit=True, iterations=2, training={"epochs": 0})
    assert [step.verb for step in result.steps] == ["prune_heads", "prune_ffn"] * 2 + ["export", "quantize"]
    assert all(step.refit for step in result.steps if isinstance(step, PruneHeads | PruneFFN))


def test_iterations_prune_a_part_of_the_way_and_recover_between():
    result = plan(student="same", prune_heads=0.5, prune_ffn=0.5, iterations=3, training={"epochs": 7})
    verbs = [step.verb for step in result.steps]
    assert verbs == ["prune_heads", "prune_ffn", "distill"] * 3 + ["export", "quantize"]
    heads, neurons = 12, 1536
    for step in result.steps:
        if isinstance(step, PruneHeads):
            heads -= round(heads * step.fraction)
        if isinstance(step, PruneFFN):
            neurons -= round(neurons * step.fraction)
    assert (heads, neurons) == (6, 768) == (result.student.layers[0].heads, result.student.layers[0].ffn)
    assert [step.epochs for step in result.steps if isinstance(step, Distill)] == [2, 2, 3]


def test_single_weights_go_last_on_a_cubic_schedule_and_stay_zero():
    result = plan(student="3x384", prune_weights=0.8, iterations=2)
    assert [step.verb for step in result.steps][:5] == ["distill", "prune_weights", "distill", "prune_weights", "distill"]
    assert [step.fraction for step in result.steps if isinstance(step, PruneWeights)] == [0.7, 0.8]
    assert [step.hold_zeros for step in result.steps if isinstance(step, Distill)] == [False, True, True]


def test_without_epochs_a_pruned_model_is_left_as_it_is():
    result = plan(student="same", prune_heads=0.25, training={"epochs": 0})
    assert not any(isinstance(step, Distill) for step in result.steps)


def test_without_epochs_no_student_is_trained_that_nobody_asked_for():
    """The rules took one of 4x384 for such a budget, and trained it for an epoch."""
    budget = roomy(latency_ms=30.0)
    assert any(isinstance(step, Distill) for step in plan(budget=budget).steps)
    with pytest.raises(EdgepackError, match=r"no plan without training \(--epochs 0\) meets the budgets") as error:
        plan(budget=budget, training={"epochs": 0})
    assert "leave --epochs 0 out, so that a smaller student can be distilled" in error.value.fix
    fixed = plan(budget=budget, precision="int8", training={"epochs": 0})
    assert [type(step) for step in fixed.steps] == [Export, Quantize] and fixed.broken
    assert "No smaller student is distilled: --epochs 0 trains nothing." in fixed.steps[0].why
    assert not any("--epochs 0" in step.why for step in plan(budget=roomy(), training={"epochs": 0}).steps)


@pytest.mark.parametrize(
    ("profile", "reduced"),
    [("x86-edge-avx2", True), ("x86-edge-atom", False), ("x86-edge", False), ("raspberry-pi", False), ("phone", False)],
)
def test_seven_bit_weights_only_where_the_cpu_saturates(profile, reduced):
    result = plan(load_profile(profile), precision="int8")
    assert [step.reduce_range for step in result.steps if isinstance(step, Quantize)] == [reduced]


def test_a_browser_runs_the_same_files_as_onnxruntime():
    result = plan(load_profile("browser"))
    assert (result.runtime, result.format) == ("onnxruntime-web", "onnx") and python_runtime(result.runtime) == "onnxruntime"


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ({"data": None, "student": "3x384"}, "--student 3x384 needs data"),
        ({"data": None, "prune_heads": 0.25}, "pruning needs data"),
        ({"data": None, "prune_ffn": 0.5}, "pruning needs data"),
        ({"student": "3x384", "training": {"epochs": 0}}, "would learn nothing"),
        ({"prune_heads": 0.99, "scope": "layer"}, "leaves a layer without heads"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_before_any_work(recipe, says):
    with pytest.raises(EdgepackError, match=says):
        plan(**recipe)


MPNET = MINILM.model_copy(update={"model_type": "mpnet", "bias_rows": 32})
UNEVEN = MPNET.resized((LayerShape(heads=12, ffn=1536),) * 3 + (LayerShape(heads=8, ffn=1536),) * 3, 384)


@pytest.mark.parametrize(
    ("teacher", "recipe", "fix"),
    [
        (MPNET, {"student": "6x256", "drop_attention": 1}, "leave --drop-attention out"),
        (MPNET, {"student": "3x256", "prune_heads": 0.25, "scope": "model"}, "use --scope layer"),
        (UNEVEN, {"student": "25%"}, "before pruning"),
    ],
)
def test_a_narrower_student_of_layers_that_share_a_table_of_heads_needs_as_many_in_each(teacher, recipe, fix):
    with pytest.raises(EdgepackError, match="different numbers of heads") as error:
        plan(teacher=teacher, **recipe)
    assert fix in error.value.fix and "x384" in error.value.fix


@pytest.mark.parametrize(
    ("teacher", "recipe"),
    [
        (MPNET, {"student": "3x256", "drop_attention": 1}),  # the student begins with layers 0, 2 and 4
        (MPNET, {"student": "3x384", "drop_attention": 2}),
        (MPNET, {"student": "3x256", "prune_heads": 0.25}),
        (MINILM, {"student": "6x256", "drop_attention": 1}),
        (MINILM, {"student": "3x256", "prune_heads": 0.25, "scope": "model"}),
    ],
)
def test_other_students_of_uneven_heads_are_planned(teacher, recipe):
    assert plan(teacher=teacher, **recipe).student.name() == recipe["student"]


def test_unasked_a_student_keeps_the_width_where_its_layers_have_different_numbers_of_heads():
    limits = roomy(latency_ms=25.0)
    narrow, wide = (plan(teacher=MPNET, budget=limits, prune_heads=0.0, drop_attention=count) for count in (None, 3))
    assert narrow.student.hidden < 384 and wide.student.hidden == 384 and len(wide.student.layers) < 6


WRITER = MINILM.model_copy(update={"task": "text-generation", "model_type": "gpt2"})


def test_decoders_are_quantized_in_blocks_as_far_as_the_budget_needs():
    assert plan(teacher=WRITER, budget=roomy()).precision == "fp32"
    for limit_mb, precision, embedding_bits in ((50.0, "int8", 8), (22.0, "int4", 8)):
        result = plan(teacher=WRITER, budget=roomy(file_mb=limit_mb))
        step = result.steps[-1]
        assert (result.precision, step.precision, step.method, step.embedding_bits) == (precision, precision, "blockwise", embedding_bits)
        assert result.student == WRITER and "MB of files (budget" in step.why and not result.exact_products


def test_int4_is_for_decoders_and_for_widths_of_whole_blocks():
    with pytest.raises(EdgepackError, match="int4 is for decoders"):
        plan(precision="int4")
    odd = WRITER.model_copy(update={"hidden": 360, "embedding": 360, "head_dim": 30})
    assert plan(teacher=odd, budget=roomy(), student="same").precision == "fp32"
    for precision in ("int8", "int4"):
        with pytest.raises(EdgepackError, match="do not divide a hidden width of 360"):
            plan(teacher=odd, precision=precision)


@pytest.mark.parametrize(
    ("task", "training", "says"),
    [
        ("text-classification", {"soft_weight": 0.0, "hidden_weight": 0.0}, "every weight of the loss is 0"),
        ("feature-extraction", {"hard_weight": 1.0}, "have no labels"),
    ],
)
def test_a_loss_that_cannot_be_is_refused_before_any_work(task, training, says):
    with pytest.raises(EdgepackError, match=says):
        plan(teacher=MINILM.model_copy(update={"task": task}), student="3x384", training=training)


def test_embeddings_are_pruned_by_what_needs_no_labels():
    result = plan(teacher=MINILM.model_copy(update={"task": "feature-extraction"}), prune_heads=0.25, budget=roomy())
    assert next(step for step in result.steps if isinstance(step, PruneHeads)).importance == "activation"


def test_predictions_are_labelled_and_grow_with_the_model():
    small, large = plan(student="3x384").predictions, plan(student="same").predictions
    assert small.origin == large.origin == "predicted"
    for name in ("params", "file_mb", "ram_mb", "latency_ms", "load_ms"):
        assert getattr(small, name) < getattr(large, name)


def test_the_command_reads_a_config_and_no_weights(tmp_path):
    make_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    result = json.loads(edgepack_here("plan", tmp_path, "--profile", "raspberry-pi", "--json").stdout)
    assert result["predictions"]["origin"] == "predicted"
    assert [step["verb"] for step in result["steps"]] == ["export"]
    assert Budget.read(result["budget"], "the plan") == PI.budget


def test_a_session_packs_nothing_where_that_alone_saves_the_load_budget():
    packed = plan(student="same", prune_heads=0.0, precision="int8", budget=roomy())
    tight = roomy(load_ms=packed.predictions.load_ms - 1)
    result = plan(student="same", prune_heads=0.0, precision="int8", budget=tight)
    export = next(step for step in result.steps if isinstance(step, Export))
    assert (packed.prepack, result.prepack, result.broken) == (True, False, ())
    assert "packed, it would need" in export.why and "ms to load (budget" in export.why
    assert result.predictions.latency_ms > packed.predictions.latency_ms and result.predictions.load_ms < packed.predictions.load_ms
    assert plan(student="same", prune_heads=0.0, precision="int8", prepack=True, budget=tight).prepack


def with_runtime(version):
    runtime = PI.runtimes["onnxruntime"].model_copy(update={"version": version})
    return PI.model_copy(update={"runtimes": {"onnxruntime": runtime}})


def test_nothing_is_written_that_the_profiles_runtime_cannot_open():
    wide = {"student": "same", "prune_heads": 0.0}
    assert plan(with_runtime("1.22"), **wide).precision in ("fp32", "fp16")
    assert plan(with_runtime("1.23"), **wide).precision == "int8"
    with pytest.raises(EdgepackError, match="int8 files need onnxruntime 1.23, raspberry-pi has 1.22"):
        plan(with_runtime("1.22"), precision="int8", **wide)
    with pytest.raises(EdgepackError, match="fp32 files need onnxruntime 1.20"):
        plan(with_runtime("1.9"), **wide)


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"smoothing": 0.8, "precision": "fp32"}, "--smoothing with --precision fp32"),
        ({"embedding_bits": 4, "precision": "fp32"}, "--embedding-bits 4 with --precision fp32"),
        ({"sensitive": 2, "precision": "int8"}, "--sensitive needs texts"),
        ({"activations": "static", "precision": "int8"}, "--activations needs texts"),
        ({"smoothing": 0.5, "precision": "fp16"}, "--smoothing with --precision fp16"),
        ({"smoothing": 0.5, "task": "text-generation"}, "a decoder's activations"),
        ({"sensitive": 2, "task": "text-generation", "precision": "int8"}, "it keeps layers of a decoder in 4 bits at 8 bits"),
        ({"max_length": 1000}, "--max-length 1000 is over the 512 tokens"),
        ({"length": 513}, "--length 513 is over"),
        ({"prepack": False, "task": "text-generation"}, "--no-prepack"),
    ],
)
def test_a_wish_that_could_change_nothing_is_refused(wish, says):
    task = wish.pop("task", "text-classification")
    with pytest.raises(EdgepackError, match=says):
        make_plan(load_profile("raspberry-pi"), Recipe(model="m", student="same", **wish), MINILM.model_copy(update={"task": task}))


WISHES = (
    {},
    {"student": "17M", "prune_heads": 0.25, "prune_weights": 0.3, "iterations": 2, "vocabulary": "data"},
    {"student": "same", "prune_heads": 0.0, "prune_ffn": 0.25, "prune_layers": "33%", "drop_attention": 1, "precision": "int8"},
    {"student": "same", "prune_layers": "0,2,5", "precision": "int8", "activations": "static", "prepack": False},
)


@pytest.mark.parametrize("wish", WISHES, ids=["open", "small", "cut", "fixed"])
@pytest.mark.parametrize("name", profile_names())
def test_every_why_is_a_sentence(name, wish):
    """Those of profiles too: a shipped profile states its reason in words that stand in a sentence."""
    profile = load_profile(name)
    if wish.get("activations") and supported_runtime(profile) != "onnxruntime":
        wish = {key: value for key, value in wish.items() if key not in ("activations", "prepack")}
    result = make_plan(profile, Recipe(model="m", data="d", **wish), MINILM)
    for step in result.steps:
        assert step.why.endswith(".") and "  " not in step.why and ".." not in step.why, step
        assert not {"asked for;", "breaks", "None"} & set(step.why.split()), step


def test_a_plan_without_epochs_trains_by_need_in_equal_shares():
    steps = [step for step in plan(student="same", prune_heads=0.5, iterations=2).steps if isinstance(step, Distill)]
    assert [(step.epochs, step.learning_rate, step.share) for step in steps] == [(None, None, 0.5)] * 2
    stated = next(step for step in plan(student="3x384", training={"epochs": 3}).steps if isinstance(step, Distill))
    assert (stated.epochs, stated.learning_rate) == (3, 1e-4)


def test_a_plan_for_a_size_names_the_next_shape_of_it():
    why = next(step.why for step in plan(student="11M").steps if isinstance(step, Distill))
    assert "The next one would be" in why and "ms instead of" in why


def test_a_latency_far_inside_its_own_error_drops_no_layer():
    whole = plan(student="same", prune_heads=0.0, precision="int8", budget=roomy()).predictions.latency_ms
    near = plan(precision="int8", budget=roomy(latency_ms=whole / 1.02))
    assert near.student.name() == "6x384" and near.predictions.fits("latency_ms", whole / 1.02) == "likely"
    assert plan(precision="int8", budget=roomy(latency_ms=whole / 1.08)).student.name() != "6x384"


SMOL = MINILM.model_copy(update={"model_type": "llama", "task": "text-generation", "hidden": 576, "embedding": 576, "head_dim": 64,
                                 "layers": (LayerShape(heads=9, ffn=1536),) * 30, "kv_groups": 3, "vocab": 49152})  # fmt: skip


def test_no_decoder_student_is_planned_that_a_builds_data_cannot_teach():
    whole = plan(teacher=SMOL, precision="int8", budget=roomy()).predictions.ram_mb
    with pytest.raises(EdgepackError) as error:
        plan(teacher=SMOL, budget=roomy(ram_mb=whole / 4))
    assert "far more text than a build has" in error.value.problem and "raise --ram-mb" in error.value.fix
    assert "only where --prune-heads asks" in error.value.problem
    heads = next(step for step in plan(teacher=SMOL, student="same", prune_heads=0.25, budget=roomy()).steps)
    assert heads.importance == "remainder"
    asked = plan(teacher=SMOL, student="10x576", precision="int8", budget=roomy())
    assert asked.student.name() == "10x576"


def test_a_share_cuts_the_tokens_that_the_data_lacks_where_that_leaves_a_wider_student():
    cut, whole = plan(student="25%"), plan(student="25%", vocabulary="all")
    assert isinstance(cut.steps[0], CutVocabulary) and isinstance(cut.steps[1], Distill) and not whole.cuts_vocabulary
    assert cut.student.hidden > whole.student.hidden and cut.student.params <= 0.25 * MINILM.params
    assert "--vocabulary all: no cut" in cut.steps[0].why and "You asked for 25%" in cut.steps[0].why


def test_latency_comes_before_a_cut_vocabulary():
    """With 8,000 pieces half of MiniLM is 5x384 or wider, which no Pi runs in 50 ms; with every piece it is 6x224."""

    def half_of(pieces, **limits):
        recipe = Recipe.read({"model": "m", "data": "d", "student": "50%", "budget": limits}, "the test")
        return make_plan(PI, recipe, MINILM, pieces)

    assert not half_of(8_000).cuts_vocabulary and half_of(8_000).predictions.latency_ms <= 50
    assert half_of(8_000, latency_ms=1e4).cuts_vocabulary
    assert half_of(12_000).cuts_vocabulary, "where both are in time, the one that keeps more"


def test_a_tagger_keeps_its_tokens_where_a_classifier_does_not():
    recipe = Recipe.read({"model": "m", "data": "d", "student": "25%"}, "the test")
    plans = {
        task: make_plan(PI, recipe, MINILM.model_copy(update={"task": task}), 12_000)
        for task in ("text-classification", "token-classification")
    }
    assert {task: result.cuts_vocabulary for task, result in plans.items()} == {"text-classification": True, "token-classification": False}


def test_a_size_in_parameters_and_a_shape_cut_no_token_unasked():
    assert not plan(student="13M").cuts_vocabulary and not plan(student="3x384").cuts_vocabulary
