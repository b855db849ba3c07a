"""What flows through an exported decoder on calibration texts: the second moments of values inside its graph."""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from edgepack.core.progress import bar
from edgepack.export.onnx_weights import open_mapped
from edgepack.pack.runnable import CacheLayer
from edgepack.quantize.gptq import fitting_parts
from edgepack.tasks.common.task import Features


def moments_of(
    graph: onnx.ModelProto, widths: dict[str, int], texts: Sequence[Features], cache: Sequence[CacheLayer]
) -> Iterator[dict[str, np.ndarray]]:
    """For each of the values named in `widths`, the sum of x x^T [width, width] over all tokens of the texts, a part of them at a time.

    `graph` is not changed.
    """
    for names in fitting_parts(widths):
        session = _session(graph, names)
        moments = {name: np.zeros((widths[name], widths[name]), np.float32) for name in names}
        past = {
            f"past_key_values.{one.layer}.{part}": np.zeros((1, one.heads, 0, one.head_size), np.float32)
            for one in cache
            for part in ("key", "value")
        }
        with bar("calibrate", len(texts)) as progress:
            for item in texts:
                ids = np.array([item.ids], np.int64)
                known = {"input_ids": ids, "attention_mask": np.ones_like(ids)} | past
                feeds = {value.name: known[value.name] for value in session.get_inputs()}
                for name, found in zip(names, session.run(names, feeds), strict=True):
                    tokens = found.reshape(-1, widths[name])
                    moments[name] += tokens.T @ tokens
                progress.advance()
        yield moments


def _session(graph: onnx.ModelProto, names: list[str]) -> onnxruntime.InferenceSession:
    """The graph with these values as its outputs."""
    opened = onnx.ModelProto()
    opened.CopyFrom(graph)
    del opened.graph.output[:]
    opened.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    return open_mapped(opened, options)
