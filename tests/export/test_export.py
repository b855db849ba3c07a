"""An exported file, run by the real runtime in a process of its own, computes what torch computes; int8 stays close."""

import json
import shutil

import numpy as np
import onnx
import pytest
from models_shared import fitted, rows_for
from onnx import numpy_helper
from small import CLASSES, DECODERS, FAMILY_TASKS, INTENTS, make_model

from edgepack.core.errors import EdgepackError
from edgepack.export.file_names import DATA_FILE, MODEL_FILE
from edgepack.export.onnx_decoder import export_decoder, runnable_decoder
from edgepack.export.onnx_export import export_onnx, runnable
from edgepack.export.onnx_optimization import optimize_onnx
from edgepack.measure.answers import answer, difference
from edgepack.model.checkpoint import load_tokenizer
from edgepack.model.evaluation import run_model
from edgepack.model.structure import by_ffn, layers_of
from edgepack.model.surgery import cut_ffn, cut_heads, keep_layers
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.steps import Export, Quantize
from edgepack.quantize.matrix_products import count_matrix_products
from edgepack.quantize.onnx_int8_search import Texts, int8_model, prepare
from edgepack.quantize.schemes.onnx_fp16 import runnable as loaded_as_fp32
from edgepack.quantize.schemes.onnx_fp16 import store_halves
from edgepack.tasks import task_named

EXPORT = Export(opset=20, why="")
ONE_TEXT = Export(opset=20, batch=False, why="")


def int8(**more):
    return Quantize(**({"precision": "int8", "reduce_range": False, "why": ""} | more))


def exported(folder, model, task, step=EXPORT):
    """Writes a folder that a target can run; returns it."""
    folder.mkdir(exist_ok=True)
    if task.name == "text-generation":
        export_decoder(model, EXPORT, folder)
        (folder / "runnable.json").write_text(json.dumps(runnable_decoder(model, task).as_json()))
        return folder
    export_onnx(model, task, step, folder / "graph.onnx")
    optimize_onnx(folder / "graph.onnx", folder)
    (folder / "runnable.json").write_text(json.dumps(runnable(model, task, batch=step.batch).as_json()))
    return folder


def quantized(fp32, folder, step):
    """The same of the export in `fp32`, in int8."""
    folder.mkdir()
    onnx.save(int8_model(prepare(onnx.load(fp32 / "graph.onnx"), step, Texts([], [])), step), folder / "int8.onnx")
    optimize_onnx(folder / "int8.onnx", folder)
    shutil.copyfile(fp32 / "runnable.json", folder / "runnable.json")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_halves_take_half_the_file_and_change_the_fourth_digit(tmp_path, family):
    task = task_named("text-classification")
    model = make_model(tmp_path / "model", family)
    whole = exported(tmp_path / "whole", model, task)
    halved = tmp_path / "halved"
    halved.mkdir()
    store_halves(whole, halved)
    (halved / "runnable.json").write_text(json.dumps(loaded_as_fp32(runnable(model, task)).as_json()))
    assert (halved / DATA_FILE).stat().st_size < 0.6 * (whole / DATA_FILE).stat().st_size
    features = task.encode(load_tokenizer(tmp_path / "model"), rows_for(task), 96)
    expected, result = (answer(folder, "onnxruntime", features, threads=1, exact=False) for folder in (whole, halved))
    assert 0 < max(map(difference, result, expected)) < 5e-3
    assert count_matrix_products(halved / MODEL_FILE)["int8"] == 0


def test_a_session_that_does_not_pack_answers_the_same(teacher, fp32, tmp_path):
    model, task, features = teacher
    folder = shutil.copytree(fp32, tmp_path / "pack")
    packed = answer(folder, "onnxruntime", features, threads=1, exact=False)
    text = runnable(model, task, prepack=False)
    assert text.session.config == {"session.disable_prepacking": "1"}
    (folder / "runnable.json").write_text(json.dumps(text.as_json()))
    assert max(map(difference, answer(folder, "onnxruntime", features, threads=1, exact=False), packed)) < 1e-5


COMBINATIONS = [
    *FAMILY_TASKS,
    *(("bert", task) for task in CLASSES if task not in ("text-classification", "text-generation")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name"), COMBINATIONS, ids=["-".join(pair) for pair in COMBINATIONS])
def test_every_family_and_task_exports_exactly(tmp_path, family, name):
    """Uneven heads and FFN too, a layer without any head, singly and padded to the longest; decoders by few tokens at a time."""
    task = task_named(name)
    model = make_model(tmp_path / "model", family, name)
    keep_layers(model, [0, 3])
    cut_heads(model, fitted(model, [[0, 1, 3], []]))
    cut_ffn(model, [range(width) for width in by_ffn(model, [99, 50][: len(layers_of(model))])])
    features = task.encode(load_tokenizer(tmp_path / "model"), rows_for(name), 96)
    expected = run_model(model, task, features, "")
    folder = exported(tmp_path / "out", model, task)
    ways = [(folder, 1, None), (folder, len(features), None), *([(folder, 1, 1), (folder, 1, 3)] if task.decodes else [])]
    if not task.decodes:
        ways.append((exported(tmp_path / "one text", model, task, ONE_TEXT), 1, None))
    for folder, batch, at_once in ways:
        result = answer(folder, "onnxruntime", features, threads=1, exact=True, batch=batch, at_once=at_once)
        assert max(difference(actual, truth) for actual, truth in zip(result, expected, strict=True)) < 1e-4


HEADS_OF_DECODERS = [
    *((family, "text-classification") for family in DECODERS if not FAMILIES[family].config_attention_cap),
    *(("llama", task) for task in ("feature-extraction", "question-answering", "token-classification")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name"), HEADS_OF_DECODERS, ids=["-".join(pair) for pair in HEADS_OF_DECODERS])
def test_a_decoder_with_the_head_of_another_task_exports_exactly(tmp_path, family, name):
    """As the reference of architectures has it; a classifier's config names the id of its padding."""
    task = task_named(name)
    model = make_model(tmp_path / "model", family, name)
    model.config.pad_token_id = 0
    features = task.encode(load_tokenizer(tmp_path / "model"), rows_for(name), 96)
    expected, folder = run_model(model, task, features, ""), exported(tmp_path / "out", model, task)
    for batch in (1, len(features)):
        result = answer(folder, "onnxruntime", features, threads=1, exact=True, batch=batch)
        assert max(difference(actual, truth) for actual, truth in zip(result, expected, strict=True)) < 1e-4


@pytest.fixture(scope="module")
def teacher(teacher_folder):
    from edgepack.model.checkpoint import load_checkpoint

    task = task_named("text-classification")
    return load_checkpoint(teacher_folder), task, task.encode(load_tokenizer(teacher_folder), rows_for(task.name), 96)


@pytest.fixture(scope="module")
def fp32(teacher, tmp_path_factory):
    model, task, _ = teacher
    return exported(tmp_path_factory.mktemp("fp32") / "out", model, task)


@pytest.fixture(scope="module")
def int8_folder(fp32, tmp_path_factory):
    return quantized(fp32, tmp_path_factory.mktemp("int8") / "out", int8())


def test_int8_is_a_quarter_of_the_size_and_decides_alike(teacher, int8_folder, fp32):
    model, task, features = teacher
    sizes = [sum((folder / name).stat().st_size for name in (MODEL_FILE, DATA_FILE)) for folder in (int8_folder, fp32)]
    assert sizes[0] < 0.45 * sizes[1]  # a tiny model is graph for a good part
    result = answer(int8_folder, "onnxruntime", features, threads=1, exact=True)
    expected = run_model(model, task, features, "")
    assert [o.argmax() for o in result] == [o.argmax() for o in expected]
    assert max(difference(actual, truth) for actual, truth in zip(result, expected, strict=True)) < 0.5


def test_every_product_with_a_weight_runs_int8_model(int8_folder):
    layers, products_a_layer, pooler, classifier = 4, 6, 1, 1
    result = count_matrix_products(int8_folder / MODEL_FILE)
    assert result == {"int8": layers * products_a_layer + pooler, "float": classifier}, "so small a matrix gains nothing"


def test_weights_are_signed_symmetric_and_per_channel(int8_folder):
    graph = onnx.load(int8_folder / MODEL_FILE).graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    checked = 0
    for node in graph.node:
        if node.op_type == "DynamicQuantizeMatMul":
            matrix, scale = (weights[name] for name in node.input[1:3])
            assert matrix.dtype == np.int8 and not node.input[3], "no zero point"
            assert scale.shape == (matrix.shape[1],)
            checked += 1
    assert checked


def test_reduced_range_keeps_weights_in_seven_bits(teacher, fp32, tmp_path):
    _, _, features = teacher
    folder = quantized(fp32, tmp_path / "out", int8(reduce_range=True))
    graph = onnx.load(folder / MODEL_FILE).graph
    matrices = [numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2]
    assert matrices and all(np.abs(matrix.astype(int)).max() <= 64 for matrix in matrices)
    fast, exact = (answer(folder, "onnxruntime", features, threads=1, exact=flag) for flag in (False, True))
    assert max(difference(actual, other) for actual, other in zip(fast, exact, strict=True)) < 1e-3


def test_weights_lie_beside_the_graph_and_nothing_tells_of_this_machine(int8_folder):
    graph = (int8_folder / MODEL_FILE).read_bytes()
    assert (int8_folder / DATA_FILE).stat().st_size > len(graph)
    for trace in (b"/edgepack", b"site-packages", b"modeling_", str(int8_folder).encode()):
        assert trace not in graph


def test_an_unfinished_export_holds_no_large_weight_either(teacher, fp32):
    """A protobuf ends at 2 GB: models beyond it only work where no step puts weights into one."""
    model, task, _ = teacher
    graph = onnx.load(fp32 / "graph.onnx", load_external_data=False).graph
    assert [weight.name for weight in graph.initializer if len(weight.raw_data) > 4096] == []
    assert (fp32 / "graph.onnx.data").stat().st_size > (fp32 / "graph.onnx").stat().st_size
    assert [value.name for value in graph.input] == list(runnable(model, task).inputs)


@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes(teacher, int8_folder, tmp_path):
    model, task, _ = teacher
    again = quantized(exported(tmp_path / "fp32", model, task), tmp_path / "out", int8())
    for name in (MODEL_FILE, DATA_FILE):
        assert (again / name).read_bytes() == (int8_folder / name).read_bytes()


def test_a_mask_that_cannot_be_exported_is_refused():
    import torch
    from transformers.masking_utils import packed_sequence_mask_function

    from edgepack.export.onnx_attention import _mask

    with pytest.raises(EdgepackError, match="cannot be exported"):
        _mask(4, 4, packed_sequence_mask_function(torch.zeros(1, 4)))


def test_a_wrong_output_is_measured_as_wrong():
    assert difference(np.array([1.0, np.nan]), np.array([1.0, 1.0])) == np.inf
    assert difference(np.array([1.0, 2.5]), np.array([1.0, 2.0])) == 0.25
    assert len(INTENTS) == 4
