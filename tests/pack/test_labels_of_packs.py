"""Labels that strangers' files number: a pack's from 0 on, a config's no more than a model can have, a row's by digits alone."""

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.pack.runnable import Runnable
from edgepack.tasks.common.columns import as_number
from edgepack.tasks.common.labels import label_names
from edgepack.tasks.common.several_labels import labels_from

STATED = {"task": "text-classification", "model": "model.onnx", "inputs": ["input_ids"], "outputs": ["logits"], "per_token": False,
          "pad_id": 0, "vocab": 100}  # fmt: skip


@pytest.mark.parametrize("number", ["2", "-1", "00", "x", "", "٣", "9" * 5000, '"; evil("'])
def test_a_packs_labels_are_numbered_from_0(number):
    assert Runnable.read(STATED | {"labels": {"0": "no", "1": "yes"}}, "here").labels["1"] == "yes"
    with pytest.raises(EdgepackError, match="labels have the number"):
        Runnable.read(STATED | {"labels": {"0": "no", number: "yes"}}, "here")


@pytest.mark.parametrize("count", [10**9, 10**30, True, 0, -1, 2.0, "3"])
def test_a_number_of_labels_that_no_model_has_is_refused(count):
    with pytest.raises(EdgepackError, match="num_labels is"):
        label_names({"num_labels": count}, "config.json")


@pytest.mark.parametrize("name", ["9" * 5000, "٣", "²", "7"])
def test_a_row_names_a_label_by_its_digits(name):
    assert labels_from("1", ("no", "yes", "maybe"), "row 1") == ("yes",)
    with pytest.raises(EdgepackError, match="is not one of the model's") as error:
        labels_from(name, ("no", "yes", "maybe", "other"), "row 1")
    assert len(str(error.value)) < 400


def test_an_integer_beyond_every_float_is_no_number():
    assert as_number(10**400) is None and as_number("1.5") == 1.5
