"""Static scales of activations: one u8 range for each value that a product reads, found on calibration texts.

The range is the one whose rounding and clipping make the least squared error together, as a histogram tells it: the widest
values of a transformer are rare, and a range that holds them all is too coarse for the rest.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime

from edgepack.export.onnx_graph import Graph, product_sources
from edgepack.export.onnx_weights import open_mapped

_BINS = 2048
_SHARES = np.linspace(1.0, 0.2, 33)  # of the whole span, tried as the range


class Range(NamedTuple):
    """x is stored as round(x / scale) + zero, in u8."""

    scale: np.float32
    zero: np.uint8


def activation_ranges(model: onnx.ModelProto, texts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Range]:
    """A range for each value that a product with a stored matrix reads; texts: a run's inputs each. Two passes over the texts."""
    names = product_sources(Graph(model))
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = open_mapped(watched, options)
    low, high = np.zeros(len(names)), np.zeros(len(names))  # 0 is always inside: it must stay exactly 0
    for feeds in texts:
        outputs = session.run(None, dict(feeds))
        low = np.minimum(low, [values.min() for values in outputs])
        high = np.maximum(high, [values.max() for values in outputs])
    counts = np.zeros((len(names), _BINS))
    for feeds in texts:
        for index, values in enumerate(session.run(None, dict(feeds))):
            counts[index] += np.histogram(values, _BINS, (low[index], max(high[index], low[index] + 1e-6)))[0]
    return {name: best_range(*histogram) for name, *histogram in zip(names, low, high, counts, strict=True)}


def best_range(low: float, high: float, counts: np.ndarray) -> Range:
    """counts: of values, in equal bins from `low` (at most 0) to `high` (at least 0)."""
    edges = np.linspace(low, max(high, low + 1e-6), len(counts) + 1)
    centres = (edges[1:] + edges[:-1]) / 2

    def error(share: float) -> float:
        step = max(share * (edges[-1] - edges[0]) / 255, 1e-12)
        beyond = np.maximum(0, centres - share * edges[-1]) + np.maximum(0, share * edges[0] - centres)
        return float((counts * (beyond**2 + step**2 / 12)).sum())

    share = min(_SHARES, key=error)
    scale = np.float32(max(share * (edges[-1] - edges[0]) / 255, np.finfo(np.float32).tiny))
    return Range(scale, np.uint8(np.clip(np.rint(-share * edges[0] / scale), 0, 255)))
