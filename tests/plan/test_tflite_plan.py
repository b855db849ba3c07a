"""A plan for TFLite says why, and refuses before any work what the runtime cannot run."""

import pytest
from shapes import MINILM

from edgepack.core.errors import EdgepackError
from edgepack.plan.choice import supported_runtime, wished_formats
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Export, Quantize

PHONE, PI_3 = load_profile("phone"), load_profile("raspberry-pi-3-32bit")
ROOMY = {"file_mb": 1e4, "ram_mb": 1e4, "latency_ms": 1e5, "load_ms": 1e6}


def plan(profile, teacher=MINILM, **recipe):
    return make_plan(profile, Recipe.read({"model": "m", "data": "d", "student": "same", "prune_heads": 0.0} | recipe, "recipe"), teacher)


@pytest.mark.parametrize(
    ("profile", "wish", "runtime"),
    [
        ("phone", None, "onnxruntime"),
        ("phone", "tflite", "litert"),
        ("phone", "onnx", "onnxruntime"),
        ("raspberry-pi", None, "onnxruntime"),
        ("raspberry-pi-3-32bit", None, "tflite-runtime"),
    ],
)
def test_the_format_decides_the_runtime(profile, wish, runtime):
    assert supported_runtime(load_profile(profile), wish) == runtime


@pytest.mark.parametrize(("profile", "wish", "way_out"), [("raspberry-pi", "tflite", "onnx"), ("raspberry-pi-3-32bit", "onnx", "tflite")])
def test_a_format_that_the_profile_does_not_run_is_refused(profile, wish, way_out):
    with pytest.raises(EdgepackError, match=f"{profile}.* has no runtime for {wish}") as error:
        supported_runtime(load_profile(profile), wish)
    assert f"--format {way_out}" in error.value.fix


def test_auto_and_both_mean_both_formats():
    assert wished_formats(PHONE, "auto") == wished_formats(PHONE, "both") == ("onnx", "tflite")
    assert wished_formats(PHONE, "tflite") == ("tflite",) and wished_formats(PHONE, None) == ("onnx",)
    with pytest.raises(EdgepackError, match="no runtime for tflite"):
        wished_formats(load_profile("raspberry-pi"), "auto")


def test_int8_has_a_scale_for_each_channel_except_where_the_runtime_is_wrong_then():
    for profile, scales_apart in ((PHONE, False), (PI_3, True)):
        export, quantize = plan(profile, format="tflite", precision="int8").steps
        assert isinstance(export, Export) and export.format == "tflite" and export.opset is None
        assert isinstance(quantize, Quantize) and quantize.scales_apart is scales_apart
        assert ("answers wrongly" in quantize.why) is scales_apart
        assert not plan(profile, format="tflite", precision="int8").exact_products


def test_fp32_is_kept_where_it_fits():
    result = plan(PHONE, format="tflite", budget=ROOMY)
    assert result.precision == "fp32" and [step.verb for step in result.steps] == ["export"]


@pytest.mark.parametrize(
    ("budget", "is_kept"),
    [({}, False), ({"load_ms": 1.0}, True), ({"ram_mb": 1.0}, False), ({"file_mb": 1.0}, False)],
)
def test_a_weight_cache_is_kept_where_load_is_over_its_budget(budget, is_kept):
    export = plan(PHONE, format="tflite", budget=ROOMY | budget).steps[0]
    assert export.weight_cache is is_kept and ("weight cache" in export.why) is is_kept
    assert not plan(PI_3, budget=ROOMY | budget).steps[0].weight_cache, "tflite-runtime 2.14 has none"


def test_an_encoders_int4_is_for_those_who_ask():
    assert plan(PHONE, format="tflite", budget={"file_mb": 18.0}).precision == "int8"
    result = plan(PHONE, format="tflite", precision="int4")
    assert result.steps[-1].method == "blockwise" and result.steps[-1].why.startswith("You asked for int4.")


SMOLLM2 = MINILM.model_copy(update={"task": "text-generation", "model_type": "llama", "positions": 8192, "vocab": 49152})


@pytest.mark.parametrize(("wished", "positions"), [({}, 1024), ({"length": 1500}, 1501), ({"max_length": 4096}, 4096)])
def test_a_decoders_cache_is_as_long_as_is_asked_for_and_its_weights_are_packed_once(wished, positions):
    export, quantize = plan(PHONE, SMOLLM2, format="tflite", precision="int8", budget=ROOMY, **wished).steps
    assert export.positions == positions and export.weight_cache and f"{positions:,} tokens" in export.why
    assert quantize.method == "dynamic"
    short = SMOLLM2.model_copy(update={"positions": 512})
    assert plan(PHONE, short, format="tflite", budget=ROOMY).steps[0].positions == 512


@pytest.mark.parametrize(("wished", "positions"), [({}, None), ({"max_length": 512}, 1024), ({"max_length": 4096}, 4096)])
def test_an_onnx_decoders_tables_of_rotations_are_as_long_as_its_texts(wished, positions):
    result = plan(load_profile("x86-server"), SMOLLM2, precision="int8", budget=ROOMY, **wished)
    assert result.steps[0].positions == positions and ("tables of rotations" in result.steps[0].why) == bool(positions)
    turns_mb = (8192 - (positions or 8192)) * SMOLLM2.head_dim * 4 / 1e6
    whole = plan(load_profile("x86-server"), SMOLLM2, precision="int8", budget=ROOMY)
    assert result.predictions.file_mb == pytest.approx(whole.predictions.file_mb - turns_mb, abs=0.02)
    gpt2 = SMOLLM2.model_copy(update={"model_type": "gpt2"})  # it embeds its positions
    assert plan(load_profile("x86-server"), gpt2, precision="int8", budget=ROOMY, **wished).steps[0].positions is None


def test_a_decoders_width_need_be_no_whole_blocks_and_int4_is_for_those_who_ask():
    odd = SMOLLM2.model_copy(update={"hidden": 360, "embedding": 360})
    assert plan(PHONE, odd, format="tflite", precision="int8", budget=ROOMY).precision == "int8"
    assert plan(PHONE, SMOLLM2, format="tflite", budget={"file_mb": 1.0}).precision == "int8"
    assert plan(PHONE, SMOLLM2, format="tflite", precision="int4").steps[-1].block == 32


@pytest.mark.parametrize(
    ("profile", "recipe", "problem"),
    [
        (PHONE, {"sensitive": 2}, "--sensitive 2 is for ONNX"),
        (PHONE, {"precision": "int8", "embedding_bits": 4}, "--embedding-bits 4 is for ONNX"),
        (PHONE, {"precision": "int8", "activations": "static"}, "--activations static is for ONNX"),
        (PHONE, {"precision": "int8", "prepack": False}, "--no-prepack is for ONNX"),
        (PHONE, {"precision": "fp16"}, "fp16 on a CPU makes a TFLite pack slower"),
        (PI_3, {"precision": "int4"}, "does not list int4 for tflite-runtime"),
    ],
)
def test_what_the_runtime_cannot_do_is_refused(profile, recipe, problem):
    with pytest.raises(EdgepackError, match=problem):
        plan(profile, format="tflite", **recipe)


def test_a_decoder_is_refused_where_no_cache_is_kept_between_tokens():
    with pytest.raises(EdgepackError, match="tflite-runtime has none"):
        plan(PI_3, SMOLLM2, precision="int8")


def test_what_int8_rounds_is_smoothed_before_the_export_and_nothing_else():
    def strength(*shape, **more):
        return plan(PHONE, *shape, format="tflite", budget=ROOMY, **more).steps[0].smoothing

    for precision, of_decoder, of_encoder in (("int8", 0.7, 0.5), ("int4", None, None), ("fp32", None, None)):
        assert strength(SMOLLM2, precision=precision) == of_decoder
        assert strength(precision=precision) == of_encoder
    assert strength(SMOLLM2, precision="int8", data=None) is None  # no texts to tell what is large
    assert strength(precision="int8", smoothing=0.0) is None
    asked = plan(PHONE, SMOLLM2, format="tflite", budget=ROOMY, precision="int8", smoothing=0.4).steps[0]
    assert asked.smoothing == 0.4 and "smoothed by 0.4" in asked.why
