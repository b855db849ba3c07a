"""A pack is in the precision that its label says: each matrix product is looked at, and float that nobody asked for ends a build."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepack.core.errors import EdgepackError
from edgepack.export.file_names import MODEL_FILE
from edgepack.export.onnx_optimization import optimize_onnx
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.checks import products_in_float
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.steps import Quantize
from edgepack.quantize.matrix_products import count_matrix_products, stored_bytes
from edgepack.quantize.onnx_int8_search import Texts, int8_model, prepare
from edgepack.quantize.schemes import Candidate
from edgepack.report.facts import facts_of
from edgepack.report.judge import judge

INT8 = Candidate("int8", "int8", lambda folder: None, {})


def shared_through_transpose() -> onnx.ModelProto:
    """Two products that read one stored matrix, laid out otherwise before: as layers of ALBERT do."""
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["weight"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["once"], name="layer.0/MatMul"),
        helper.make_node("Tanh", ["once"], ["even"]),
        helper.make_node("MatMul", ["even", "turned"], ["y"], name="layer.1/MatMul"),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 64]) for name in "xy")
    graph = helper.make_graph(nodes, "shared", [x], [y], [numpy_helper.from_array(weight, "weight")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_matrix_that_layers_share_through_a_transpose_is_quantized_once_for_all(tmp_path):
    step = Quantize(precision="int8", reduce_range=False, why="")
    onnx.save(int8_model(prepare(shared_through_transpose(), step, Texts([], [])), step), tmp_path / "int8.onnx")
    optimize_onnx(tmp_path / "int8.onnx", tmp_path)
    assert count_matrix_products(tmp_path / MODEL_FILE) == {"int8": 2, "float": 0}
    assert stored_bytes(tmp_path / MODEL_FILE) == {"int8": 64 * 64}
    assert products_in_float(tmp_path / MODEL_FILE, INT8, FAMILIES["albert"]) == ()


def test_float_that_nobody_asked_for_ends_the_build_by_op_and_layer(tmp_path):
    onnx.save(shared_through_transpose(), tmp_path / MODEL_FILE)
    with pytest.raises(EdgepackError, match=r"2 of 2 matrix products stayed in float.*MatMul in layer\.0/MatMul, with 4,096 weights"):
        products_in_float(tmp_path / MODEL_FILE, INT8, FAMILIES["albert"])
    asked = Candidate("int8", "int8", lambda folder: None, {}, in_float=frozenset({"weight"}))
    assert [each.why for each in products_in_float(tmp_path / MODEL_FILE, asked, FAMILIES["albert"])] == ["kept wider by the recipe"] * 2


def test_the_first_screen_says_how_much_of_a_pack_is_in_its_precision(pack_folder):
    manifest = read_manifest(pack_folder)
    fact, _, *size = facts_of(manifest)
    assert all("was wrong" in each for each in size)  # the graph itself is a good part of so tiny a file
    assert fact.startswith("13 of 14 matrix products are in int8, with ")
    assert fact.endswith("1 stays in float as planned (fewer than 1,024 weights).")
    assert fact in (pack_folder / "report.md").read_text() and fact in (pack_folder / "report.html").read_text()
    far = manifest.model_copy(update={"predictions": manifest.predictions.model_copy(update={"file_mb": 2 * manifest.file_mb})})
    assert "The prediction of the file's size was wrong" in facts_of(far)[-1]


def test_the_test_split_is_scored_as_raw_text_too(pack_folder):
    manifest = read_manifest(pack_folder)
    served, last = manifest.served, manifest.ladder[-1]
    assert served.differing == 0 and served.score == served.token_score == last.score and served.score_drop == last.score_drop
    assert any(
        fact.startswith("On raw texts, as an app gives them, the pack scores the same as in the test of the build: ")
        for fact in facts_of(manifest)
    )


def test_the_budget_is_judged_by_raw_text_where_that_is_answered_otherwise(pack_folder):
    manifest = read_manifest(pack_folder)
    lower = manifest.served.model_copy(update={"differing": 3, "score_drop": 77.0})
    checks = {check.name: check for check in judge(manifest.model_copy(update={"served": lower}), None).checks}
    assert checks["score_drop"].actual == 77.0 and checks["score_drop"].ok is False and "raw texts" in checks["score_drop"].where
    assert any("answers 3 rows differently" in fact for fact in facts_of(manifest.model_copy(update={"served": lower})))
