"""int8 by hand: smoothing changes no function, rounding is what it says, and a recipe that loses too much is not the last one."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from small import make_model

from edgepack.export.onnx_export import export_onnx
from edgepack.export.onnx_graph import Graph, gemms_as_products
from edgepack.export.onnx_weights import load_mapped, with_weights
from edgepack.pipeline.gate import judge_attempt
from edgepack.plan.steps import Export, Quantize
from edgepack.quantize.onnx_int8_ops import quantized_embeddings, quantized_products
from edgepack.quantize.onnx_int8_search import STRENGTHS, Texts, int8_model, outputs_of, prepare, scan
from edgepack.quantize.onnx_ranges import best_range
from edgepack.quantize.onnx_smoothing import groups_of, largest_activations, smoothed
from edgepack.quantize.sensitivity import Sensitivity, more_and_more, most_sensitive
from edgepack.tasks import task_named
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features

FLOAT = onnx.TensorProto.FLOAT


def int8(**more):
    return Quantize(**({"precision": "int8", "reduce_range": False, "why": ""} | more))


def run(model, feeds):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)[0]


def two_products(norm=True, seed=0, outlier=30.0, width=48):
    """x -> LayerNorm -> two products, their sum: with one channel that is `outlier` times the others."""
    drawn = np.random.default_rng(seed)
    gamma = np.ones(width, dtype=np.float32)
    gamma[3] = outlier
    tensors = {"gamma": gamma, "beta": drawn.normal(size=width)}
    tensors |= {name: drawn.normal(size=(width, 40)) for name in ("a", "b")} | {"bias": drawn.normal(size=40)}
    nodes = [
        helper.make_node("LayerNormalization", ["x", "gamma", "beta"], ["n"]),
        helper.make_node("MatMul", ["n", "a"], ["na"], name="first/MatMul"),
        helper.make_node("MatMul", ["n", "b"], ["nb"], name="second/MatMul"),
        helper.make_node("Add", ["na", "bias"], ["biased"]),
        helper.make_node("Add", ["biased", "nb"], ["y" if norm else "sum"]),
    ]
    if not norm:  # something else reads the norm, as the residual does: it cannot take the scale
        nodes += [helper.make_node("ReduceSum", ["n"], ["rest"], keepdims=0), helper.make_node("Add", ["sum", "rest"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, ["rows", width])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value, dtype=np.float32), name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def inputs(count=8, width=48, seed=1):
    drawn = np.random.default_rng(seed)
    return [{"x": drawn.normal(size=(5, width)).astype(np.float32)} for _ in range(count)]


@given(strength=st.floats(0.0, 1.0), norm=st.booleans(), seed=st.integers(0, 50))
@settings(max_examples=25)
def test_smoothing_of_any_strength_leaves_the_function(strength, norm, seed):
    model, texts = two_products(norm, seed), inputs()
    evened = smoothed(model, largest_activations(model, texts), strength)
    assert np.allclose(run(evened, texts[0]), run(model, texts[0]), atol=1e-3)
    assert [node.op_type for node in evened.graph.node].count("Mul") == (0 if norm else 1)


@pytest.mark.parametrize("family", ["bert", *(pytest.param(name, marks=pytest.mark.slow) for name in ("albert", "modernbert"))])
def test_a_model_computes_the_same_when_smoothed(tmp_path, family):
    """Shared layers (ALBERT) take one scale; a norm in front (ModernBERT) takes it for nothing; attention's values too."""
    model, task = make_model(tmp_path / "model", family), task_named("text-classification")
    export_onnx(model, task, Export(opset=20, why=""), tmp_path / "graph.onnx")
    graph = onnx.load(tmp_path / "graph.onnx")
    names = [value.name for value in graph.graph.input]
    filled = {"attention_mask": 1, "token_type_ids": 0}
    texts = [{name: np.full((1, 7), filled.get(name, 1 + 3 * index)) for name in names} for index in range(4)]
    gemms_as_products(graph)
    before = [node.op_type for node in graph.graph.node].count("Mul")
    evened = smoothed(graph, largest_activations(graph, texts), 0.8)
    assert np.abs(outputs_of(evened, texts) - outputs_of(graph, texts)).max() < 1e-4
    added = [node.op_type for node in evened.graph.node].count("Mul") - before
    assert added < sum(len(group.sources) for group in groups_of(Graph(graph))), "nothing was folded"


@pytest.mark.slow
def test_weights_that_stay_in_their_file_give_the_same_int8(tmp_path):
    """What makes models over 2 GB possible: no copy of the graph holds the float weights that it was made from."""
    export_onnx(
        make_model(tmp_path / "model", "bert"), task_named("text-classification"), Export(opset=20, why=""), tmp_path / "graph.onnx"
    )
    held, mapped = onnx.load(tmp_path / "graph.onnx"), load_mapped(tmp_path / "graph.onnx")
    assert mapped.ByteSize() < 0.5 * held.ByteSize()
    ids = np.arange(1, 8, dtype=np.int64)[None]
    given = [{"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}]
    texts, step = Texts(given, []), int8(smoothing=0.8)
    folder = [int8_model(prepare(model, step, texts), step) for model in (held, mapped)]
    assert with_weights(folder[1]) == folder[0]


def test_an_outlier_channel_costs_less_when_smoothed_and_the_choice_says_so():
    model, texts = two_products(norm=False), Texts(inputs(), inputs(seed=2))
    prepared = prepare(model, int8(), texts)
    assert prepared.details["smoothing"] in STRENGTHS
    assert prepared.details["held_out_error"] < 0.5 * prepared.details["held_out_error_unsmoothed"]
    assert prepare(model, int8(smoothing=0.0), texts).details == {"smoothing": 0}
    assert "no" in str(prepare(model, int8(), Texts([], [])).details["smoothing"])


def test_static_scales_are_fixed_and_near_on_texts_like_those_they_come_from():
    model, texts = two_products(outlier=3.0), Texts(inputs(32), inputs(seed=2))
    static = int8(method="static", smoothing=0.0)
    folder = int8_model(prepare(model, static, texts), static)
    kinds = [node.op_type for node in folder.graph.node]
    assert (kinds.count("QuantizeLinear"), kinds.count("MatMulIntegerToFloat")) == (1, 2)
    assert not {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMul"} & set(kinds)
    expected, result = (outputs_of(graph, texts.held_out) for graph in (model, folder))
    assert 0 < np.abs(result - expected).max() < 0.05 * np.abs(expected).max()
    beyond = [{"x": 10 * feeds["x"]} for feeds in inputs(4, seed=2)]  # the norm makes them the same: nothing is clipped
    assert np.allclose(outputs_of(folder, beyond), outputs_of(folder, inputs(4, seed=2)), atol=0.05 * np.abs(expected).max())


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=200), st.floats(0, 1000))
@settings(max_examples=50)
def test_a_range_clips_no_more_than_it_gains(values, outlier):
    """Against the range that holds everything: never a larger error, by the histogram's own measure and nearly so by the values."""
    array = np.array([*values, outlier, 0.0], dtype=np.float32)
    low, high = min(0.0, float(array.min())), max(float(array.max()), 1e-6)
    counts = np.histogram(array, 2048, (low, high))[0]
    scale, zero = best_range(low, high, counts)
    back = (np.clip(np.rint(array / scale) + zero, 0, 255) - zero) * scale
    bin_width, whole_step = (high - low) / 2048, (high - low) / 255
    assert back[-1] == 0, "zero is exact"
    assert np.square(back - array).mean() <= (whole_step / 2 + bin_width) ** 2 + 1e-9


def test_a_norm_without_a_bias_takes_the_scale_too():
    model, texts = two_products(), inputs()
    del model.graph.node[0].input[2:]
    evened = smoothed(model, largest_activations(model, texts), 0.8)
    assert np.allclose(run(evened, texts[0]), run(model, texts[0]), atol=1e-3)


def test_nothing_is_smoothed_where_nothing_is_gained():
    prepared = prepare(two_products(norm=False, outlier=1.0), int8(), Texts(inputs(), inputs(seed=2)))
    assert prepared.details["smoothing"] == 0


@pytest.mark.parametrize(("reduce_range", "most"), [(False, 127), (True, 63)])
def test_products_are_rounded_as_numpy_would(reduce_range, most):
    model, feeds = two_products(), inputs(1)[0]
    folder = quantized_products(model, reduce_range)
    assert [n.op_type for n in folder.graph.node].count("MatMulIntegerToFloat") == 2, "one rounding for both"
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in folder.graph.initializer}
    assert np.abs(stored["a/int8"].astype(int)).max() == most and "a" not in stored
    centred = feeds["x"] - feeds["x"].mean(axis=1, keepdims=True)
    x = centred / np.sqrt(centred.var(axis=1, keepdims=True) + 1e-5) * stored["gamma"] + stored["beta"]
    low, high = min(0.0, x.min()), max(0.0, x.max())
    step = (high - low) / 255
    rounded = (np.clip(np.rint(x / step) + np.rint(-low / step), 0, 255) - np.rint(-low / step)) * step
    weights = [stored[f"{name}/int8"] * stored[f"{name}/scale"] for name in "ab"]
    expected = rounded @ weights[0] + stored["bias"] + rounded @ weights[1]
    assert np.abs(outputs_of(folder, [feeds]).reshape(5, 40) - expected).max() < 2e-2 * np.abs(expected).max()


def test_products_can_be_left_in_float():
    folder = quantized_products(two_products(), False, in_float=["a"])
    assert [n.op_type for n in folder.graph.node].count("DynamicQuantizeMatMul") == 1, "the other one rounds for itself"
    assert "a" in {tensor.name for tensor in folder.graph.initializer}


@pytest.mark.parametrize(("bits", "width", "worst"), [(8, 96, 0.5 / 127), (4, 96, 0.6 / 7), (4, 384, 0.6 / 7)])
def test_embedding_rows_come_back_within_half_a_step(bits, width, worst):
    table = np.random.default_rng(0).normal(size=(300, width)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["rows"])],
        "g",
        [helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("rows", FLOAT, None)],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    folder = quantized_embeddings(model, bits)
    ids = np.array([0, 7, 299])
    result = run(folder, {"ids": ids})
    inside = np.abs(result - table[ids]) <= worst * np.abs(table[ids]).max() + 1e-6
    assert inside.mean() > (0.99 if bits == 4 else 0.9999), "4 bits clip a few large values where that is the smaller error"
    assert folder.ByteSize() < model.ByteSize() * (0.2 if bits == 4 else 0.32)


def test_the_scan_finds_the_product_that_int8_hurts():
    model = two_products(norm=False)
    drawn = np.random.default_rng(5).normal(size=(40, 40)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(drawn, "calm"))
    model.graph.node.append(helper.make_node("Tanh", ["y"], ["even"]))
    model.graph.node.append(helper.make_node("MatMul", ["even", "calm"], ["z"], name="calm/MatMul"))
    model.graph.output[0].name = "z"
    texts = Texts(inputs(), [])
    step = int8(smoothing=0.0)
    result = scan(model, prepare(model, step, texts), step, texts)
    assert [each.name for each in result] == ["first", "calm"] and result[0].error > result[1].error
    assert set(result[0].weights) == {"a", "b"}
    whole, spared = (outputs_of(int8_model(prepare(model, step, texts), step, left), texts.calibration) for left in ((), result[0].weights))
    expected = outputs_of(model, texts.calibration)
    assert np.abs(spared - expected).max() < np.abs(whole - expected).max()


def test_the_most_sensitive_groups_are_few():
    scanned = [Sensitivity(str(index), (), 1, error) for index, error in enumerate([8.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5])]
    assert [each.name for each in most_sensitive(scanned)] == ["0"]
    assert len(most_sensitive([Sensitivity("", (), 1, 1.0)] * 8)) == 2, "a quarter at most"
    assert len(most_sensitive(scanned, 5)) == 5
    even = [Sensitivity("", (), 1, 1.0)] * 24
    assert [len(each) for each in more_and_more(even)] == [1, 2, 4, 6] and [len(each) for each in more_and_more(even, 5)] == [5]
    assert [len(each) for each in more_and_more(scanned)] == [1]


def test_the_gate_compares_with_the_float_export():
    task, labels = task_named("text-classification"), {"no": 0, "yes": 1}
    rows = [Row("", text=str(index), label="yes") for index in range(4)]
    features = [Features([1], [0], index) for index in range(4)]
    plain = [np.array([0.0, 1.0])] * 4
    judged = judge_attempt(task, [np.array([1.0, 0.0]), *plain[1:]], plain, features, rows, labels)
    assert (judged["score_drop"], judged["flip_share"], judged["texts"]) == (25.0, 0.25, 4)
    assert judged["least_cosine"] == 0.0 and judged["cosine"] == 0.75
    assert judged["cosine_bound"] == pytest.approx(0.75 - 1.645 * 0.5 / 2), "three texts at 1 and one at 0"
    unlabelled = judge_attempt(task, plain, plain, features, [], labels)
    assert unlabelled["score"] is None and unlabelled["score_drop"] is None and unlabelled["cosine"] == 1.0
