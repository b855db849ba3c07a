"""Second moments of values inside an exported decoder over calibration texts. GPTQ needs them."""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from edgepack.core.progress import bar
from edgepack.export.onnx_weights import open_mapped
from edgepack.pack.runnable import CacheLayer
from edgepack.quantize.gptq import fitting_parts
from edgepack.quantize.onnx_decoder_graph import feeds_for
from edgepack.tasks.common.task import Features


def moments_of(
    graph: onnx.ModelProto, widths: dict[str, int], texts: Sequence[Features], cache: Sequence[CacheLayer]
) -> Iterator[dict[str, np.ndarray]]:
    """For each value named in `widths`, the sum of x x^T [width, width] over all tokens of the texts; as many values at a time
    as fit into memory. `graph` is not changed.
    """
    for names in fitting_parts(widths):
        session = _session_with_outputs(graph, names)
        moments = {name: np.zeros((widths[name], widths[name]), np.float32) for name in names}
        with bar("calibrate", len(texts)) as progress:
            for text in texts:
                for name, values in zip(names, session.run(names, feeds_for(session, text, cache)), strict=True):
                    by_token = values.reshape(-1, widths[name])
                    moments[name] += by_token.T @ by_token
                progress.advance()
        yield moments


def _session_with_outputs(graph: onnx.ModelProto, names: list[str]) -> onnxruntime.InferenceSession:
    opened = onnx.ModelProto()
    opened.CopyFrom(graph)
    del opened.graph.output[:]
    opened.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    return open_mapped(opened, options)
