"""Coded weights in a plan: coding comes before anything is trained, the start follows from the device, and idle wishes are refused."""

import re

import pytest
from shapes import MINILM
from test_plan import PI, WRITER, roomy

from edgepack.core.errors import EdgepackError
from edgepack.plan.coded_costs import bits_within, coded_mb, ways
from edgepack.plan.cost_model import predict
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import LayerShape, ModelShape
from edgepack.plan.steps import Distill, PruneHeads, Quantize


def plan(profile=PI, teacher=MINILM, **recipe):
    return make_plan(profile, Recipe.read({"model": "m", "data": "d"} | recipe, "recipe"), teacher)


def kinds(result):
    return {type(step) for step in result.steps}


def test_a_file_budget_is_met_by_coding_before_anything_is_trained_or_cut():
    result = plan(budget=roomy(file_mb=10.0))
    assert result.coding and kinds(result).isdisjoint({Distill, PruneHeads}) and result.predictions.file_mb <= 10
    (quantize,) = [step for step in result.steps if isinstance(step, Quantize)]
    assert quantize.mean_bits == result.coding.bits == pytest.approx(3.3, abs=0.2)
    assert "int8 alone would be 22.9 MB, over the budget of 10 MB" in result.coding.why
    wider = plan(budget=roomy(file_mb=14.0))
    assert wider.coding.bits > result.coding.bits  # no coarser than it must be


def test_what_no_grid_comes_to_is_met_by_a_student_whose_weights_are_coded_too():
    result = plan(budget=roomy(file_mb=6.0))
    assert Distill in kinds(result) and result.coding and result.predictions.file_mb <= 6


def test_without_a_tight_file_budget_nothing_is_coded():
    assert plan(budget=roomy()).coding is None and plan(budget=roomy(file_mb=30.0)).coding is None


def test_what_the_user_fixed_is_not_coded_behind_his_back():
    assert plan(budget=roomy(file_mb=10.0), precision="fp32").coding is None
    assert plan(budget=roomy(file_mb=10.0), embedding_bits=4, student="same", prune_heads=0.0).coding is None


def test_bits_and_codec_are_kept_as_they_were_asked_for():
    result = plan(bits=3.5, codec="zstd", start="expand", budget=roomy())
    assert (result.precision, result.coding.bits, result.coding.codec, result.coding.start) == ("int8", 3.5, "zstd", "expand")
    lossless = plan(codec="deflate", precision="int8", budget=roomy())
    assert lossless.coding.bits is None and all(getattr(step, "mean_bits", None) is None for step in lossless.steps)


@pytest.mark.parametrize(
    ("profile", "start"), [("raspberry-pi", "stream"), ("raspberry-pi-zero-2w", "stream"), ("x86-edge-avx2", "expand")]
)
def test_a_slow_card_streams_and_a_fast_disk_expands_and_the_plan_says_why(profile, start):
    result = plan(load_profile(profile), bits=3.5, budget=roomy())
    assert result.coding.start == start
    assert "this storage reads" in result.coding.why and "decoding pays below" in result.coding.why


def test_a_codec_that_was_left_open_is_deflate_and_the_plan_says_what_zstd_would_change():
    left_open, asked = plan(bits=3.5, budget=roomy()), plan(bits=3.5, codec="zstd", budget=roomy())
    assert (
        left_open.coding.codec == "deflate" and f"--codec zstd it would load in {asked.predictions.load_ms:.0f} ms" in left_open.coding.why
    )
    assert "--codec" not in asked.coding.why + plan(bits=3.5, codec="deflate", budget=roomy()).coding.why


def test_too_little_memory_to_decode_into_expands():
    tight = plan(bits=3.5, student="same", prune_heads=0.0, budget=roomy()).predictions.ram_mb - 1
    result = plan(bits=3.5, student="same", prune_heads=0.0, budget=roomy(ram_mb=tight))
    assert result.coding.start == "expand" and "MB of memory (budget" in result.coding.why


def test_the_break_even_bandwidth_is_decode_speed_times_what_is_saved():
    whole = predict(MINILM, "int8", PI, "onnxruntime", 128)
    result = ways(MINILM, whole, PI, 3.5, "deflate")
    assert result.break_even_mb_s == pytest.approx(result.decode_mb_s * (1 - result.coded_mb / whole.file_mb))
    faster = ways(MINILM, whole, PI, 3.5, "zstd")
    assert faster.break_even_mb_s > 3 * result.break_even_mb_s


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"bits": 3.0, "precision": "fp32"}, "--bits 3 with fp32 in onnx: there is no coarse grid"),
        ({"bits": 3.0, "embedding_bits": 4}, "--bits and --embedding-bits 4 exclude one another"),
        ({"bits": 3.0, "sensitive": 2}, "--bits and --sensitive exclude one another"),
        ({"start": "stream", "precision": "fp32"}, "--start stream changes nothing"),
        ({"bits": 9.0}, "wrong value in recipe bits"),
        ({"bits": 0.5}, "wrong value in recipe bits"),
        ({"bits": 1.0}, "--bits 1 by rounding alone loses too much: 2 bits a weight and fewer need a training"),
        ({"bits": 2.0}, "--bits 2 by rounding alone loses too much"),
        ({"codec": "lz4"}, "codec"),
        ({"weights": "binary"}, "--weights binary by rounding alone leaves nothing of the model: it needs a training"),
        ({"weights": "binary", "quantization_aware": True, "bits": 1.0}, "--weights binary and --bits exclude one another"),
        ({"weights": "ternary", "quantization_aware": True, "embedding_bits": 4}, "--weights and --embedding-bits 4 exclude one another"),
        ({"weights": "ternary", "quantization_aware": True, "precision": "fp32"}, "--weights ternary with fp32 in onnx: there is no"),
        ({"weights": "binary", "quantization_aware": True, "prune_weights": 0.5}, "--weights binary has no zero"),
        ({"weights": "quaternary"}, "weights"),
    ],
)
def test_wishes_that_could_change_nothing_or_that_no_grid_reaches_are_refused(wish, problem):
    with pytest.raises(EdgepackError, match=problem):
        plan(budget=roomy(), **wish)


def test_one_bit_is_a_grid_with_a_zero_that_a_training_sees_and_the_plan_says_so():
    result = plan(bits=1.0, quantization_aware=True, student="same", prune_heads=0.0, precision="int8", budget=roomy())
    (seen,) = [step for step in result.steps if isinstance(step, Distill)]
    assert seen.rounding.bits == result.coding.bits == 1.0 and "the grid has a zero, so it is not binary" in seen.why
    wider = plan(bits=2.2, quantization_aware=True, student="same", prune_heads=0.0, precision="int8", budget=roomy())
    assert "binary" not in " ".join(step.why for step in wider.steps)


@pytest.mark.parametrize(("kind", "values", "bits"), [("binary", "-1 or 1", 1.22), ("ternary", "-1, 0 or 1", 1.87)])
@pytest.mark.parametrize("file_format", ["onnx", "tflite"])
def test_weights_of_few_values_are_trained_and_coded_and_the_plan_says_what_they_take_and_that_they_cost(kind, values, bits, file_format):
    wish = {"weights": kind, "quantization_aware": True, "student": "same", "prune_heads": 0.0, "format": file_format}
    result = plan(load_profile("phone"), **wish, budget=roomy())
    (seen,) = [step for step in result.steps if isinstance(step, Distill)]
    (quantize,) = [step for step in result.steps if isinstance(step, Quantize)]
    assert seen.rounding.weights == quantize.weights == result.coding.weights == kind and seen.rounding.bits is quantize.mean_bits is None
    assert values in seen.why and values in quantize.why and "lose quality" in seen.why
    assert re.match(rf"You asked for {kind} weights: \d\.\d MB in place of 2\d\.\d", result.coding.why)
    narrow_mb = 22.6 * bits / 8
    assert narrow_mb < result.predictions.file_mb < narrow_mb + (0.6 if file_format == "onnx" else 2.2)
    smaller = plan(load_profile("phone"), **wish, codec="zstd", budget=roomy())
    assert smaller.predictions.file_mb < result.predictions.file_mb


def test_a_decoder_has_no_weights_of_few_values():
    with pytest.raises(EdgepackError, match="--weights binary is for encoders"):
        plan(teacher=WRITER, weights="binary", quantization_aware=True, budget=roomy())


# MB of weights and graph that were measured: benchmarks/RESULTS.md, "Which codec at few bits" and the table above it.
@pytest.mark.parametrize(("bits", "mb"), [(1.21, 4.21), (1.61, 5.14), (2.2, 6.68), (2.6, 7.78), (3.0, 8.88), (3.55, 10.5)])
def test_the_size_of_a_coded_file_is_predicted_at_few_bits_too(bits, mb):
    whole = predict(MINILM, "int8", PI, "onnxruntime", 128)
    assert coded_mb(MINILM, whole, bits) == pytest.approx(mb, rel=0.05)


def test_a_decoder_in_tflite_has_no_coarse_grid_and_one_in_onnx_has():
    with pytest.raises(EdgepackError, match="in tflite for text-generation: there is no coarse grid"):
        plan(load_profile("phone"), WRITER, bits=5.0, format="tflite", precision="int8", budget=roomy())
    result = plan(teacher=WRITER, bits=5.0, budget=roomy())
    assert (
        result.coding.bits == 5.0
        and result.predictions.file_mb < plan(teacher=WRITER, precision="int8", budget=roomy()).predictions.file_mb
    )


def test_a_coded_decoders_size_is_that_of_a_built_one():
    """GPT-2's width with two layers, built by benchmarks/real_shapes.py: 20.5 MB at 6 bits. All scales of its blocks are equal there."""
    built = ModelShape(
        model_type="gpt2", task="text-generation", layers=(LayerShape(heads=12, ffn=3072),) * 2, hidden=768, head_dim=64, kv_groups=1,
        vocab=10416, positions=1024, token_types=0, embedding=768, labels=0,
    )  # fmt: skip
    whole = predict(built, "int8", PI, "onnxruntime", 128)
    assert coded_mb(built, whole, 6.0) == pytest.approx(20.5, rel=0.05)
    assert bits_within(built, whole, coded_mb(built, whole, 5.0) / 0.985) == pytest.approx(5.0, abs=0.11)
