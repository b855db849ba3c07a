"""Errors name the true cause: the family before the task, the exporter's own last error, a weight that holds no numbers, swapped labels."""

import json
import shlex
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small import make_data, make_model

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import message
from edgepack.export.failures import last_reason
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.label_names import label_map_flag, label_mapping
from edgepack.model.material import gather
from edgepack.model.source import find_model
from edgepack.pipeline.build import plan_build
from edgepack.pipeline.chance import check_names_of_labels
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Columns, Recipe
from edgepack.tasks.common.rows import Row


def test_a_t5_is_told_that_its_family_is_not_there(tmp_path):
    make_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}))
    with pytest.raises(EdgepackError, match="unknown model family in .*model_type 't5'"):
        find_model(str(tmp_path)).task()
    with pytest.raises(EdgepackError, match="unknown model family"):
        plan_build(Recipe(model=str(tmp_path)), load_profile("raspberry-pi"))


def test_an_encoder_with_a_decoder_is_called_what_it_is(tmp_path):
    make_model(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "bart", "is_encoder_decoder": True}))
    with pytest.raises(EdgepackError, match="model_type 'bart' is an encoder with a decoder"):
        find_model(str(tmp_path)).task()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("layer_norm_eps", np.nan, "NaN is not a number, the value of 'layer_norm_eps'"),
        ("hidden_size", np.inf, "Infinity is not a number, the value of 'hidden_size'"),
        ("num_attention_heads", 0, "num_attention_heads: 0"),
        ("num_hidden_layers", -1, "num_hidden_layers: -1"),
        ("num_hidden_layers", "2", "num_hidden_layers: '2'"),
        ("vocab_size", 0, "vocab_size: 0"),
        ("layer_norm_eps", -1.0, "layer_norm_eps: -1.0"),
        ("hidden_act", "nonsense", "hidden_act: 'nonsense'"),
        ("attention_probs_dropout_prob", "x", "attention_probs_dropout_prob"),
        ("is_decoder", True, "is_decoder = True"),
        ("add_cross_attention", True, "add_cross_attention = True"),
        ("quantization_config", {"quant_method": "gptq"}, "are quantized already .*quantization_config"),
        ("position_embedding_type", "relative_key", "position_embedding_type = 'relative_key'"),
        ("pruned_heads", {"0": [1]}, "pruned_heads = "),
    ],
)
def test_a_value_that_no_model_can_have_is_refused_by_its_key_before_any_work(tmp_path, key, value, message):
    make_model(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(EdgepackError, match=message):
        gather(Recipe(model=str(tmp_path)))


def test_weights_of_another_shape_than_the_config_describes_are_named(tmp_path):
    make_model(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}))
    with pytest.raises(EdgepackError, match=r"the weight classifier.bias is of the shape \[4\], and config.json describes one of \[2\]"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_holds_no_numbers_is_the_models_fault_and_named(tmp_path, value):
    make_model(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = "bert.encoder.layer.1.output.dense.weight"
    weights[name][3, 5] = value
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EdgepackError, match=rf"is damaged: 1 of [\d,]+ values of its weight {name} are NaN or infinite"):
        load_checkpoint(tmp_path)


def test_the_innermost_error_of_an_exporter_is_shown_without_colours():
    try:
        try:
            raise ValueError("\x1b[31mno kernel for aten::strange\x1b[0m\nsecond line")
        except ValueError as inner:
            raise RuntimeError("Failed to export the model. This is step 1/3") from inner
    except RuntimeError as error:
        assert last_reason(error) == "ValueError: no kernel for aten::strange"


def advised(error):
    """What --label-map gets where somebody pastes the advice."""
    words = shlex.split(error.fix)
    return words[words.index("--label-map") + 1]


@pytest.mark.parametrize("names", [("bad", "good"), ("it's bad, {really}", 'a "good", one'), (" bad", "go\nod="), ("{", "o\u202ek")])
@pytest.mark.parametrize("is_mapped", [False, True])
def test_the_advice_about_swapped_labels_is_taken_as_it_is_printed_whatever_the_labels_are(names, is_mapped):
    labels = ("x,y", "z") if is_mapped else names
    columns = Columns(label_map=json.dumps(dict(zip(labels, names, strict=True))) if is_mapped else None)
    rows = [Row("", text="a", label=names[at % 2]) for at in range(20)]
    task = SimpleNamespace(per_token=False, decide=lambda *_: [1 - at % 2 for at in range(20)])
    known = {name: at for at, name in enumerate(names)}
    material = SimpleNamespace(
        rows=lambda _: rows, task=task, test=[], labels=known, id2label=dict(enumerate(names)), recipe=SimpleNamespace(columns=columns)
    )
    with pytest.raises(EdgepackError) as raised:
        check_names_of_labels(material, [np.zeros(2)])
    in_data = [Row("", text="a", label=label) for label in labels]
    assert label_mapping(advised(raised.value), {"test": in_data}) == dict(zip(labels, reversed(names), strict=True))


def test_advice_with_more_labels_than_a_message_holds_is_not_cut_in_the_middle():
    flag = label_map_flag({f"intent number {at}": f"INTENT_{at}" for at in range(77)})
    assert flag == "--label-map 'intent number 0=INTENT_0',... with all 77 pairs, or a column of the model's names"
    assert message(flag) == flag


def test_a_teacher_under_chance_with_swapped_labels_is_stopped_with_the_confusion(tmp_path):
    make_model(tmp_path / "model")
    material = gather(Recipe(model=str(tmp_path / "model"), data=str(make_data(tmp_path / "data"))))
    expected = [material.labels[row.label] for row in material.rows("test")]
    swapped = [np.eye(4, dtype=np.float32)[(label + 1) % 4] for label in expected]
    with pytest.raises(EdgepackError, match="less than chance. With other names for the labels it is right in 100%: it answers ") as raised:
        check_names_of_labels(material, swapped)
    mapped = gather(material.recipe.model_copy(update={"columns": Columns(label_map=advised(raised.value))}))
    assert [mapped.labels[row.label] for row in mapped.rows("test")] == [(label + 1) % 4 for label in expected]
    check_names_of_labels(material, [np.eye(4, dtype=np.float32)[label] for label in expected])
    drawn = torch.randn(len(expected), 4, generator=torch.Generator().manual_seed(0)).numpy()
    check_names_of_labels(material, list(drawn))


ONLY_READ_IN_WRITING = [("eos_token_id", 4_000_000), ("prefix", "classify: ")]


@pytest.mark.parametrize(("key", "value"), ONLY_READ_IN_WRITING)
def test_a_key_that_only_writing_reads_is_refused_there_alone(tmp_path, key, value):
    for folder, family, task in (("bert", "bert", "text-classification"), ("llama", "llama", "text-generation")):
        make_model(tmp_path / folder, family, task)
        path = tmp_path / folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert gather(Recipe(model=str(tmp_path / "bert"))).task.name == "text-classification"
    with pytest.raises(EdgepackError, match=f"{key} = "):
        gather(Recipe(model=str(tmp_path / "llama")))
