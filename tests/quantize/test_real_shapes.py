"""Families at their published widths: what a miniature cannot show. `benchmarks/real_shapes.py` builds them whole, with all layers."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "real_shapes.py"


@pytest.mark.slow
@pytest.mark.parametrize(("family", "products"), [("albert", 15), ("distilbert", 14)])
def test_every_product_of_a_real_width_runs_in_int8(family, products):
    spec = importlib.util.spec_from_file_location("real_shapes", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    (row,) = script.rows(family, ["onnx"], ["int8"], layers=2)
    assert f"| {products} int8 |" in row and "float" not in row.split("|")[4]
