"""Smoothing: moves large activation channels into the weights that read them, so that one int8 scale serves all (Xiao 2023).

x W = (x / s) (s W): the function stays, the rounding of x gets finer. Where a norm, the values of attention or the ungated half
of an FFN make x and nothing else reads it, 1 / s goes into their weights and costs nothing; elsewhere it is one Mul.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from edgepack.export.onnx_graph import Graph, product_sources
from edgepack.export.onnx_weights import open_mapped
from edgepack.quantize.smoothing import channel_scales

Feeds = Mapping[str, np.ndarray]  # inputs of one run by name
_NORMS = ("LayerNormalization", "SimplifiedLayerNormalization")


@dataclass(frozen=True)
class Group:
    """Products that are scaled alike: they read one value, or share a weight (`sources`: the values they read)."""

    sources: tuple[str, ...]
    weights: tuple[str, ...]  # initializers [channels, outputs]


def groups_of(graph: Graph) -> list[Group]:
    """In the order of the graph; products that read one value, joined where they share weights (layers of ALBERT)."""
    groups: list[Group] = []
    for node in graph.nodes:
        if not graph.is_product(node):
            continue
        source, weight = node.input[0], node.input[1]
        same = [group for group in groups if source in group.sources or weight in group.weights]
        sources = [name for group in same for name in group.sources] + [source]
        weights = [name for group in same for name in group.weights] + [weight]
        joined = Group(tuple(dict.fromkeys(sources)), tuple(dict.fromkeys(weights)))
        at = groups.index(same[0]) if same else len(groups)
        groups = [group for group in groups if group not in same]
        groups.insert(at, joined)
    return groups


def largest_activations(model: onnx.ModelProto, texts: Iterable[Feeds]) -> dict[str, np.ndarray]:
    """The largest |x| of each channel of every value that a product reads, over all tokens of the texts: {value: [channels]}."""
    names = product_sources(Graph(model))
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    for name in names:
        flat, absolute, largest = f"{name}/flat", f"{name}/abs", f"{name}/largest"
        watched.graph.node.append(onnx.helper.make_node("Flatten", [name], [flat], axis=-1))
        watched.graph.node.append(onnx.helper.make_node("Abs", [flat], [absolute]))
        watched.graph.node.append(onnx.helper.make_node("ReduceMax", [absolute, "edgepack/rows"], [largest], keepdims=0))
        watched.graph.output.append(onnx.helper.make_tensor_value_info(largest, onnx.TensorProto.FLOAT, None))
    watched.graph.initializer.append(numpy_helper.from_array(np.array([0], dtype=np.int64), "edgepack/rows"))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = open_mapped(watched, options)
    largest_values = [np.zeros(1, dtype=np.float32)] * len(names)
    for feeds in texts:
        largest_values = [np.maximum(*pair) for pair in zip(largest_values, session.run(None, dict(feeds)), strict=True)]
    return dict(zip(names, largest_values, strict=True))


def smoothed(
    model: onnx.ModelProto, largest: Mapping[str, np.ndarray], strength: float, groups: Sequence[Group] | None = None
) -> onnx.ModelProto:
    """A copy of the model with its activations smoothed; strength 0 leaves the weights' rows even, 1 the activations."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = Graph(changed)
    for group in groups_of(graph) if groups is None else groups:
        of_activations = np.max([largest[source] for source in group.sources], axis=0)
        of_weights = np.max([np.abs(graph.array(name)).max(axis=1) for name in group.weights], axis=0)
        scale = channel_scales(of_activations, of_weights, strength)
        for name in group.weights:
            graph.put(name, graph.array(name) * scale[:, None])
        for source in group.sources:
            if not _folded(graph, source, group, scale):
                _multiply(graph, source, group, scale)
    return changed


def _folded(graph: Graph, source: str, group: Group, scale: np.ndarray) -> bool:
    """Divides what makes `source` by the scale, where only the group reads it."""
    if any(reader.op_type != "MatMul" or reader.input[1] not in group.weights for reader in graph.readers[source]):
        return False
    maker = graph.maker.get(source)
    if maker is None:
        return False
    if maker.op_type in _NORMS:
        return _divide_norm(graph, maker, scale)
    if maker.op_type == "MultiHeadAttention":
        return _divide_product(graph, maker.input[2], scale)
    if maker.op_type == "Mul":
        return any(_divide_product(graph, name, scale) for name in maker.input)
    return False


def _divide_norm(graph: Graph, norm: onnx.NodeProto, scale: np.ndarray) -> bool:
    """Divides a norm's scale and bias, which may be left out. They become its own: norms share tensors of zeros or ones."""
    stored = [at for at, name in enumerate(norm.input) if at and name]
    if any(norm.input[at] not in graph.initializers for at in stored):
        return False
    for at in stored:
        divided = f"{norm.input[at]}/{norm.output[0]}"
        graph.put(divided, graph.array(norm.input[at]) / scale)
        norm.input[at] = divided
    return True


def _divide_product(graph: Graph, value: str, scale: np.ndarray) -> bool:
    """Divides the outputs of a product, with or without a bias, that nothing else reads."""
    parts = []
    node = graph.maker.get(value)
    if node is not None and node.op_type == "Add" and len(graph.readers[value]) == 1:
        bias = [name for name in node.input if name in graph.initializers]
        rest = [name for name in node.input if name not in graph.initializers]
        if len(bias) != 1:
            return False
        parts, value = bias, rest[0]
        node = graph.maker.get(value)
    if node is None or not graph.is_product(node) or len(graph.readers[value]) != 1:
        return False
    return _divide(graph, [*parts, node.input[1]], scale)


def _divide(graph: Graph, names: list[str], scale: np.ndarray) -> bool:
    """Divides the last axis of stored tensors that are read once."""
    if any(name not in graph.initializers or len(graph.readers[name]) != 1 for name in names):
        return False
    if any(graph.initializers[name].dims[-1] != len(scale) for name in names):
        return False
    for name in names:
        graph.put(name, graph.array(name) / scale)
    return True


def _multiply(graph: Graph, source: str, group: Group, scale: np.ndarray) -> None:
    """One Mul between `source` and the products that read it."""
    smooth, factor = f"{source}/evened", f"{source}/scale"
    graph.model.graph.initializer.append(numpy_helper.from_array((1 / scale).astype(np.float32), factor))
    readers = [node for node in graph.readers[source] if graph.is_product(node) and node.input[1] in group.weights]
    at = min(index for index, node in enumerate(graph.nodes) if any(node is reader for reader in readers))
    graph.nodes.insert(at, onnx.helper.make_node("Mul", [source, factor], [smooth], name=smooth))
    for reader in readers:
        reader.input[0] = smooth
