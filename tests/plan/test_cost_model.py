"""Predictions are monotone, and close to what can be checked here: the file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import MINILM

from edgepack.plan.cost_model import predict
from edgepack.plan.file_size import predict_file_mb
from edgepack.plan.precision import precision_facts
from edgepack.plan.profile import load_profile, profile_names
from edgepack.plan.shape import LayerShape, read_shape

NAMES = [name for name in profile_names() if "onnxruntime" in load_profile(name).runtimes]


@pytest.mark.parametrize("name", NAMES)
def test_more_cores_fewer_bits_and_shorter_texts_cost_less(name):
    profile = load_profile(name)
    fp32, int8 = (predict(MINILM, precision, profile, "onnxruntime", 128) for precision in ("fp32", "int8"))
    assert int8.file_mb < fp32.file_mb and int8.ram_mb < fp32.ram_mb and int8.load_ms < fp32.load_ms
    assert fp32.latency_ms <= fp32.latency_one_core_ms
    assert predict(MINILM, "int8", profile, "onnxruntime", 16).latency_ms < int8.latency_ms


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 1536)), min_size=1, max_size=6))
def test_a_cut_layer_never_costs_more(rows):
    cut = MINILM.resized(tuple(LayerShape(heads=heads, ffn=ffn) for heads, ffn in rows), 384)
    profile = load_profile("raspberry-pi")
    less, full = (predict(shape, "int8", profile, "onnxruntime", 64) for shape in (cut, MINILM))
    assert less.params <= full.params and less.latency_ms <= full.latency_ms and less.file_mb <= full.file_mb


@pytest.mark.parametrize(("precision", "measured_mb"), [("fp32", 90.9), ("int8", 23.12)])
def test_the_file_of_minilm_is_predicted_within_two_per_cent(precision, measured_mb):
    assert predict_file_mb(MINILM, precision) == pytest.approx(measured_mb, rel=0.02)


SMOLLM2 = read_shape(
    {
        "model_type": "llama", "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576,
        "intermediate_size": 1536, "vocab_size": 49152, "max_position_embeddings": 8192, "tie_word_embeddings": True,
    },
    "text-generation", None, "smollm2",
)  # fmt: skip


# fp32 and 4 bits are measured; 8 bits are counted by hand from the shapes, and a built file has 153.8 MB.
@pytest.mark.parametrize(("precision", "known_mb"), [("fp32", 540.3), ("int8", 153.5), ("int4", 93.55)])
def test_the_file_of_a_decoder_is_predicted_within_two_per_cent(precision, known_mb):
    assert predict_file_mb(SMOLLM2, precision) == pytest.approx(known_mb, rel=0.02)


@pytest.mark.parametrize(("precision", "hidden", "block"), [("int4", 576, 64), ("int4", 96, 32), ("int4", 100, 32), ("int8", 576, 32)])
def test_a_block_is_the_widest_that_divides_the_hidden_width(precision, hidden, block):
    assert precision_facts(precision).block_of(hidden) == block


@pytest.mark.parametrize(("precision", "known_mb"), [("fp32", 538.9), ("int8", 137.9)])
def test_the_file_of_a_decoder_in_tflite_is_predicted_within_two_per_cent(precision, known_mb):
    assert predict_file_mb(SMOLLM2, precision, format="tflite") == pytest.approx(known_mb, rel=0.02)


@pytest.mark.parametrize(
    ("latency_ms", "error", "fits"),
    [
        (40.0, 0.17, "yes"),
        (49.0, 0.17, "likely"),
        (51.0, 0.17, "likely"),  # over the limit, but far inside the error
        (53.0, 0.17, "unlikely"),
        (80.0, 0.17, "no"),
        (1.0, None, "likely"),
        (90.0, None, "unlikely"),
    ],
)
def test_a_margin_below_the_predictions_own_error_is_no_yes_and_no_no(latency_ms, error, fits):
    result = predict(MINILM, "fp32", load_profile("raspberry-pi"), "onnxruntime", 128)
    known = None if error is None else result.mean_error | {"latency_ms": error}
    assert result.model_copy(update={"latency_ms": latency_ms, "mean_error": known}).fits("latency_ms", 50.0) == fits


@pytest.mark.parametrize(
    ("params", "first_token_ms", "far"), [(22e6, None, False), (170e3, None, True), (260e3, 1.0, True), (30e6, 1.0, False)]
)
def test_a_prediction_far_outside_of_what_was_compared_says_so(params, first_token_ms, far):
    prediction = predict(MINILM, "int8", load_profile("raspberry-pi"), "onnxruntime", 128)
    doubt = prediction.model_copy(update={"params": int(params), "first_token_ms": first_token_ms}).doubt()
    assert ("off several times over" in doubt) is far
