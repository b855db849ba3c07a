"""A file that reads one text at a time computes nothing that one text does not need, and still answers as torch does."""

import json
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from models_shared import rows_for
from shapes import MINILM
from small import make_model
from test_export import EXPORT, ONE_TEXT, exported

from edgepack.core.errors import EdgepackError
from edgepack.export.file_names import MODEL_FILE
from edgepack.measure.answers import answer, difference
from edgepack.model.checkpoint import load_tokenizer
from edgepack.model.evaluation import run_model
from edgepack.model.sentence_head import SentenceHead
from edgepack.model.statements.sentence_record import Pooling, SentenceStatement
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.tasks import task_named

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def made(tmp_path, name, step):
    """The folder of an export, its graph, and torch's outputs beside the file's for a few texts."""
    task, model = task_named(name), make_model(tmp_path / "model", "bert", name)
    features = task.encode(load_tokenizer(tmp_path / "model"), rows_for(name), 96)
    folder = exported(tmp_path / "out", model, task, step)
    pairs = zip(answer(folder, "onnxruntime", features, threads=1, exact=True), run_model(model, task, features, ""), strict=True)
    assert max(difference(*pair) for pair in pairs) < 1e-4
    return folder, onnx.load(folder / MODEL_FILE, load_external_data=False).graph, features


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return made(tmp_path_factory.mktemp("classifier"), "text-classification", ONE_TEXT)


def test_attention_of_one_text_has_no_mask(classifier):
    folder, graph, _ = classifier
    assert [value.name for value in graph.input] == json.loads((folder / "runnable.json").read_text())["inputs"]
    assert "attention_mask" not in [value.name for value in graph.input]
    assert {len(node.input) for node in graph.node if node.op_type == "MultiHeadAttention"} == {3}


@pytest.mark.parametrize("step", [ONE_TEXT, EXPORT], ids=["one text", "batch"])
def test_the_last_layer_of_a_classifier_is_computed_for_the_first_token_alone(tmp_path, step):
    _, graph, features = made(tmp_path, "text-classification", step)
    taken = [node for node in graph.node if node.op_type == "Gather" and "one_token/place" in node.input]
    attention = [node for node in graph.node if node.op_type == "MultiHeadAttention"]
    makers = {name: node for node in graph.node for name in node.output}
    assert len(taken) == 1, "the last layer's input, for its query and for what is added behind attention"
    assert tokens_of(tmp_path / "out", attention[-1].output[0], features) == 1
    assert tokens_of(tmp_path / "out", attention[-2].output[0], features) == len(features[0].ids)
    assert makers[attention[-1].input[1]].input[0] != makers[attention[-1].input[0]].input[0], "keys are of all tokens"


def tokens_of(folder, value, features):
    model = onnx.load(folder / MODEL_FILE)
    model.graph.output.append(onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ids = np.array([features[0].ids])
    known = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return session.run([value], {each.name: known[each.name] for each in session.get_inputs()})[0].shape[1]


def test_where_every_token_is_read_every_token_is_computed(tmp_path):
    _, graph, _ = made(tmp_path, "token-classification", ONE_TEXT)
    assert Counter("one_token/place" in node.input for node in graph.node)[True] == 0


def test_several_texts_at_once_are_refused_by_name(classifier):
    folder, _, features = classifier
    with pytest.raises(EdgepackError, match="one text at a time, not 2"):
        answer(folder, "onnxruntime", features, threads=1, exact=True, batch=2)


@pytest.mark.parametrize("mode", MODES)
def test_pooling_without_a_mask_is_pooling_with_one_that_hides_nothing(mode):
    head = SentenceHead(SentenceStatement(parts=(Pooling(modes=(mode,)),)), 8)
    hidden = torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(head(hidden, None), head(hidden, torch.ones(1, 5)), atol=1e-6)


def test_a_plan_reads_one_text_at_a_time_unless_several_are_asked_for():
    profile = load_profile("raspberry-pi")
    for batch in (False, True):
        step = next(step for step in make_plan(profile, Recipe(student="same", batch=batch), MINILM).steps if step.verb == "export")
        assert step.batch is batch and ("one text at a time" in step.why) is not batch
    with pytest.raises(EdgepackError, match="--batch is for ONNX files"):
        make_plan(load_profile("phone"), Recipe(student="same", batch=True, format="tflite"), MINILM)
