"""An export that decomposes in place gives the graph that torch makes by tracing the model again, in one trace."""

import contextlib
from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from torch.onnx._internal.exporter import _fx_passes

from edgepack.export import onnx_decoder, onnx_export
from edgepack.model.tiny_model import tiny_model
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.steps import Export
from edgepack.tasks import task_named

STEP = Export(opset=20, why="")
ONE_TRACE = ("roberta", "modernbert", "gemma3_text")
TWO_TRACES = ("mpnet",)  # an in-place sum, and shapes that are computed


def exported(folder, family):
    folder.mkdir()
    if family == "gemma3_text":
        onnx_decoder.export_decoder(tiny_model(FAMILIES[family], "text-generation"), STEP, folder)
        return onnx.load(folder / "score.onnx")
    onnx_export.export_onnx(tiny_model(FAMILIES[family], task := "text-classification"), task_named(task), STEP, folder / "graph.onnx")
    return onnx.load(folder / "graph.onnx")


def content(model):
    """Ops by count, and weights whatever their names."""
    weights = [numpy_helper.to_array(tensor).astype(np.float64) for tensor in model.graph.initializer if len(tensor.dims) > 1]
    return Counter(node.op_type for node in model.graph.node), Counter(weight.tobytes() for weight in weights)


@pytest.mark.slow
@pytest.mark.parametrize("family", [*ONE_TRACE, *TWO_TRACES])
def test_a_graph_is_the_one_of_a_second_trace(tmp_path, monkeypatch, family):
    traced = []
    again = _fx_passes.decompose_with_registry
    monkeypatch.setattr(_fx_passes, "decompose_with_registry", lambda *given: traced.append(family) or again(*given))
    ops, weights = content(exported(tmp_path / "in-place", family))
    assert traced == ([family] if family in TWO_TRACES else []), "whether torch traced again"
    monkeypatch.setattr(onnx_export, "decomposed_in_place", contextlib.nullcontext)
    whole, same_weights = content(exported(tmp_path / "again", family))
    assert traced[-1:] == [family] and weights == same_weights
    assert ops == whole or (family == "modernbert" and ops + Counter(Concat=1) == whole), "ModernBERT's shapes need one op less"
