"""A shape read from a config counts the parameters that the real model has."""

import json

import pytest
from small import CLASSES, CONFIGS, DECODERS, ENCODERS, make_model

from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.source import find_model
from edgepack.model.structure import count_params, layer_shapes
from edgepack.plan.shape import read_shape, task_of

COMBINATIONS = [(family, task) for family in ENCODERS for task in CLASSES if task != "text-generation"] + [
    (family, "text-generation") for family in DECODERS
]


@pytest.mark.parametrize(("family", "task"), COMBINATIONS)
def test_computed_parameters_are_those_counted(tmp_path, family, task):
    make_model(tmp_path, family, task)
    source = find_model(str(tmp_path))
    assert source.task() == task
    model = load_checkpoint(source)
    assert source.shape(task).params == count_params(model)
    assert list(source.shape(task).stored_layers) == layer_shapes(model)


def test_every_family_has_a_tiny_config():
    from edgepack.plan.architectures import FAMILIES

    assert set(CONFIGS) == set(FAMILIES)


def test_an_unknown_family_says_what_a_row_needs():
    config = {"model_type": "bart", "architectures": ["BartModel"]}
    with pytest.raises(EdgepackError, match="unknown model family") as error:
        read_shape(config, "feature-extraction", None, "config.json")
    assert "plan/architectures" in error.value.fix


@pytest.mark.parametrize("architectures", [[], ["BertForPreTraining"], ["BertForMaskedLM"]])
def test_a_model_without_a_task_head_asks_for_one(architectures):
    with pytest.raises(EdgepackError, match="no task can be read"):
        task_of({"architectures": architectures}, "config.json")


def test_a_config_without_a_width_names_the_key(tmp_path):
    make_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["hidden_size"]
    with pytest.raises(EdgepackError, match="missing key in config.json: 'hidden_size'"):
        read_shape(config, "text-classification", None, "config.json")


def test_another_build_of_a_family_is_refused(tmp_path):
    make_model(tmp_path, "albert")
    config = json.loads((tmp_path / "config.json").read_text()) | {"num_hidden_groups": 2}
    with pytest.raises(EdgepackError, match="num_hidden_groups is 2"):
        read_shape(config, "text-classification", None, "config.json")
