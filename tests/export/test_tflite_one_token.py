"""A classifier's TFLite file computes its last layer for the first token alone; where others are read, for all of them."""

import pytest
from models_shared import rows_for
from small import make_model
from test_tflite import exported, installed  # noqa: F401  a fixture

from edgepack.measure.answers import answer, difference
from edgepack.model.checkpoint import load_tokenizer
from edgepack.model.evaluation import run_model
from edgepack.tasks import task_named

LENGTH, LAYERS = 32, 4


@pytest.mark.parametrize(("name", "for_one_token"), [("text-classification", 1), ("token-classification", 0)])
def test_the_last_layer_is_computed_for_the_first_token_where_that_alone_is_read(tmp_path, name, for_one_token):
    task, model = task_named(name), make_model(tmp_path / "model", "bert", name)
    features = task.encode(load_tokenizer(tmp_path / "model"), rows_for(name), LENGTH)
    folder = exported(tmp_path / "out", model, task, (LENGTH,))
    pairs = zip(answer(folder, "litert", features, threads=1, exact=True), run_model(model, task, features, ""), strict=True)
    assert max(difference(*pair) for pair in pairs) < 1e-4
    rows = rows_of(folder / "model.tflite", "GELU")
    assert rows == [LENGTH] * (LAYERS - for_one_token) + [1] * for_one_token


def rows_of(file, op):
    """Of each of the file's ops by that name, the length of what it makes."""
    from edgepack.export.tflite_graph import _name, _operators, _read

    model = _read(file)
    graph = model.Subgraphs(0)
    made = [graph.Tensors(each.Outputs(0)).ShapeAsNumpy() for each in _operators(graph) if _name(model, each) == op]
    return [int(shape[-2]) for shape in made]
