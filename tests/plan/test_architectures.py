"""Every family can do what the others can, and a new one takes one file."""

import json
import re
import sys

import onnx
import pytest
import torch
from command_line import edgepack_warm
from small import make_model

from edgepack.core.errors import EdgepackError
from edgepack.export.onnx_export import export_onnx, runnable
from edgepack.export.onnx_optimization import optimize_onnx
from edgepack.measure.answers import answer, difference
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.structure import count_params
from edgepack.model.tiny_model import tiny_model
from edgepack.pipeline.architecture_checks import EXPORTS, Subject
from edgepack.pipeline.check_architecture import check_architecture
from edgepack.pipeline.checks import products_in_float
from edgepack.plan import architectures
from edgepack.plan.architectures import FAMILIES, add_family, family_of
from edgepack.plan.file_size import predict_file_mb
from edgepack.plan.shape import read_shape
from edgepack.plan.steps import Export, Quantize
from edgepack.quantize.matrix_products import count_matrix_products
from edgepack.quantize.onnx_int8_search import Texts, int8_model, prepare
from edgepack.quantize.schemes import Candidate
from edgepack.tasks import task_named
from edgepack.tasks.common.task import Features

ERNIE = """from dataclasses import replace

from edgepack.plan.architectures.bert import FAMILY as BERT

FAMILY = replace(BERT, model_type="ernie", only={"use_task_id": False})
"""


def failures(result):
    return [f"{check.ability}: {check.detail}" for check in result.checks if check.ok is False]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_cut_reloaded_and_narrowed(family):
    result = check_architecture(family, with_files=False)
    assert failures(result) == [] and result.ok and len(result.checks) == 7


@pytest.mark.slow
def test_both_files_of_an_encoder_in_onnx_are_checked(tmp_path):
    assert EXPORTS["ONNX"](Subject(FAMILIES["bert"], tmp_path)) == "the outputs are torch's"
    masked = ["attention_mask" in json.loads(path.read_text())["inputs"] for path in tmp_path.glob("*/runnable.json")]
    assert sorted(masked) == [False, True]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_exported_and_answers_as_torch_does(family):
    result = check_architecture(family)
    assert failures(result) == [] and result.checks[-2].ok


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "in_int8", "in_float"), [("camembert", 13, 0), ("mpnet", 13, 0), ("deberta-v2", 13, 4), ("albert", 14, 0)]
)
def test_the_products_of_an_encoder_run_in_int8_and_its_file_is_as_large_as_predicted(tmp_path, family, in_int8, in_float):
    """DeBERTa's scores by distance stay in float: two products a layer with a table that was computed ahead. The head with two labels
    has too few weights. ALBERT's layers read their shared matrices through Transpose nodes."""
    model = tiny_model(
        FAMILIES[family], "text-classification", vocab_size=8000, hidden_size=256, num_hidden_layers=2, intermediate_size=1024
    )
    graph, step = tmp_path / "graph.onnx", Quantize(precision="int8", reduce_range=False, why="")
    export_onnx(model, task_named("text-classification"), Export(opset=20, why=""), graph)
    onnx.save(int8_model(prepare(onnx.load(graph), step, Texts([], [])), step), tmp_path / "int8.onnx")
    optimize_onnx(tmp_path / "int8.onnx", tmp_path)
    candidate = Candidate("int8", "int8", lambda folder: None, {})
    left = products_in_float(tmp_path / "model.onnx", candidate, FAMILIES[family])
    assert count_matrix_products(tmp_path / "model.onnx") == {"int8": in_int8, "float": 1 + in_float} and len(left) == 1 + in_float
    assert [each.layer for each in left if "fewer than" in each.why] == ["logits"]
    file_mb = sum(path.stat().st_size for path in tmp_path.glob("model.onnx*")) / 1e6
    shape = read_shape(model.config.to_dict(), "text-classification", None, "config.json")
    assert file_mb == pytest.approx(predict_file_mb(shape, "int8"), rel=0.04)


@pytest.mark.slow
@pytest.mark.parametrize("whole_texts", [False, True])
def test_gemma_3_makes_vectors_from_whole_texts_too(tmp_path, whole_texts):
    """EmbeddingGemma sees each text as a whole, through windows in every second layer; the texts are longer than a window."""
    task = task_named("feature-extraction")
    model = tiny_model(FAMILIES["gemma3_text"], task.name, vocab_size=400, use_bidirectional_attention=whole_texts)
    shape = read_shape(model.config.to_dict(), task.name, None, "config.json")
    assert shape.params == count_params(model)
    export_onnx(model, task, Export(opset=20, why=""), tmp_path / "graph.onnx")
    optimize_onnx(tmp_path / "graph.onnx", tmp_path)
    (tmp_path / "runnable.json").write_text(json.dumps(runnable(model, task).as_json()))
    features = [Features([5 + 7 * at % 390 for at in range(length)], [0] * length, length) for length in (3, 12, 40)]
    expected = run_model(model, task, features, "")
    for batch in (1, 3):
        result = answer(tmp_path, "onnxruntime", features, threads=1, exact=True, batch=batch)
        assert max(difference(actual, truth) for actual, truth in zip(result, expected, strict=True)) < 1e-4


@pytest.fixture
def forgotten():
    """What a test adds to the families is gone after it."""
    before = dict(FAMILIES._loaded)
    yield
    FAMILIES._loaded.clear()
    FAMILIES._loaded.update(before)
    sys.modules.pop("edgepack.plan.architectures.ernie", None)


def test_a_new_family_is_a_new_file_in_the_folder(tmp_path, monkeypatch, forgotten):
    (tmp_path / "ernie.py").write_text(ERNIE)
    assert "ernie" not in FAMILIES
    monkeypatch.setattr(architectures, "__path__", [*architectures.__path__, str(tmp_path)])
    assert "ernie" in list(FAMILIES) and len(FAMILIES) == len(list(FAMILIES))
    assert failures(check_architecture("ernie", with_files=False)) == []


def checked(*arguments):
    return edgepack_warm("check-architecture", *arguments)


@pytest.mark.slow
def test_a_stranger_tries_a_file_and_is_told_what_is_missing(tmp_path):
    file = tmp_path / "ernie.py"
    file.write_text(ERNIE.replace("only=", "query='attention.self.queries', only="))
    done = checked(file, "--json")
    wrong = json.loads(done.stdout)
    assert done.returncode == 1 and not wrong["ok"]
    assert [check["ability"] for check in wrong["checks"] if check["ok"] is False] == ["paths of modules"]
    assert "query = 'attention.self.queries'" in wrong["checks"][1]["detail"]
    file.write_text(ERNIE)
    done = checked(file)
    assert done.returncode == 0 and "ernie: edgepack can work on it" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [("FAMILY = 1", "sets no FAMILY"), ("import nowhere_at_all", "cannot be run"), ("def (", "cannot be run"), (None, "no Python file")],
)
def test_a_file_that_holds_no_family_is_named(tmp_path, text, says):
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    with pytest.raises(EdgepackError, match=says):
        add_family(tmp_path / "mine.py")


def test_a_family_that_nobody_knows_is_named():
    with pytest.raises(EdgepackError, match="unknown model family: 'bart'"):
        check_architecture("bart")


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("mpnet", "relative_attention_num_buckets", 64),
        ("mpnet", "pad_token_id", 0),
        ("mistral", "layer_types", ["sliding_attention"]),
        ("smollm3", "use_sliding_window", True),
        ("smollm3", "mlp_bias", True),
        ("gemma2", "attention_bias", True),
        ("deberta-v2", "relative_attention", False),
        ("qwen3", "use_sliding_window", True),
    ],
)
def test_a_setting_that_is_not_reproduced_is_refused_by_key_and_value(family, key, value):
    stated = FAMILIES[family].tiny_settings() | {"model_type": family, "pad_token_id": 1}
    with pytest.raises(EdgepackError, match=f"{key} is ") as error:
        family_of(stated | {key: value}, "config.json")
    assert repr(value) in error.value.problem


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"relative_attention": None}, "relative_attention is not stated"),
        ({"pos_att_type": "c2p"}, "pos_att_type is 'c2p'"),
        ({"conv_kernel_size": 3}, "conv_kernel_size is 3"),
    ],
)
def test_a_deberta_of_another_build_is_refused(changed, says):
    stated = FAMILIES["deberta-v2"].tiny_settings() | {"model_type": "deberta-v2"}
    assert family_of(stated | {"pos_att_type": "p2c|c2p"}, "config.json").model_type == "deberta-v2"
    config = {key: value for key, value in (stated | changed).items() if value is not None}
    with pytest.raises(EdgepackError, match=re.escape(says)):
        family_of(config, "config.json")


def test_a_model_that_sees_whole_texts_cannot_write(tmp_path):
    make_model(tmp_path, "gemma3_text", "text-generation")
    config = json.loads((tmp_path / "config.json").read_text()) | {"use_bidirectional_attention": True}
    assert read_shape(config, "feature-extraction", None, "config.json").labels == 0
    with pytest.raises(EdgepackError, match="use_bidirectional_attention = true"):
        read_shape(config, "text-generation", None, "config.json")


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "camembert", "mpnet"])
def test_positions_behind_the_padding_id_are_as_many_as_the_model_takes(tmp_path, family):
    pad_id = 1 if family == "mpnet" else 5
    make_model(tmp_path, family)
    config = json.loads((tmp_path / "config.json").read_text()) | {"pad_token_id": pad_id}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = load_checkpoint(tmp_path)
    most = config["max_position_embeddings"] - FAMILIES[family].reserved_positions(config)
    with torch.no_grad():
        assert model(input_ids=torch.full((1, most), 7)).logits.isfinite().all()
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, most + 1), 7))
