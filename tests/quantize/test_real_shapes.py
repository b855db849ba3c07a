"""Families at their published shapes: what a miniature cannot show. `benchmarks/real_shapes.py` builds them whole."""

import importlib.util
from pathlib import Path

import pytest
import torch

from edgepack.plan.architectures import FAMILIES
from edgepack.plan.shape import read_shape

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "real_shapes.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("real_shapes", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plan_counts_the_weights_of_a_published_shape(family, script):
    with torch.device("meta"):  # no weight is drawn
        model = script.model_of(family, **script.cut_of(family, None))
    shape = read_shape(model.config.to_dict(), script.task_of(family), None, family)
    assert shape.params == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(("family", "products"), [("albert", 15), ("distilbert", 14), ("llama", 11), ("gpt2", 9), ("mobilebert", 33)])
def test_every_product_of_a_real_width_runs_in_int8(family, products, script):
    (row,) = script.rows(family, ["onnx"], ["int8"], layers=2)
    assert f"| {products} int8 |" in row and "float" not in row.split("|")[4]
