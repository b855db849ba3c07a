"""Computes what is read of a single token for that token alone: a classifier behind the first token needs no last layer of the others.

A model that takes one token out of [batch, tokens, hidden] makes it by ops that work token by token, back to the last attention, where
the token's query meets the keys and values of all. The token is taken out there instead; the result is the same.
"""

from collections.abc import Mapping

import numpy as np
import onnx

from edgepack.export.onnx_graph import Graph, drop_unread, put_nodes

Shapes = Mapping[str, tuple[int | str, ...]]

# Ops that make each token's outputs from its inputs alone, and which of their inputs have an axis of tokens.
_BY_TOKEN = {
    "Add": (0, 1),
    "Cast": (0,),
    "Div": (0, 1),
    "Gelu": (0,),
    "LayerNormalization": (0,),
    "MatMul": (0,),
    "Mul": (0, 1),
    "MultiHeadAttention": (0,),
    "Relu": (0,),
    "Sigmoid": (0,),
    "SimplifiedLayerNormalization": (0,),
    "Split": (0,),
    "Sub": (0, 1),
    "Tanh": (0,),
}
_TOKENS, _HIDDEN = 1, 2  # axes
_BIAS = 5  # of MultiHeadAttention's inputs, [batch or 1, heads or 1, queries, keys]


def shapes_of(model: onnx.ModelProto) -> Shapes:
    """What the exporter knows of values' shapes, by name; axes of any size by their name."""
    values = (*model.graph.input, *model.graph.value_info)
    return {value.name: tuple(axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim) for value in values}


def compute_for_one_token(model: onnx.ModelProto, shapes: Shapes) -> None:
    """Changes the model where a single token's hidden state is read; leaves it as it is where others are read too."""
    graph = Graph(model)
    for value in list(graph.readers):
        takers = [node for node in graph.readers[value] if _takes_one_token(graph, node) and node.input[0] == value]
        places = {int(graph.array(node.input[1])) for node in takers}
        if len(places) != 1 or len(takers) != len(graph.readers[value]):
            continue
        reduced = _reduced(graph, value, shapes)
        if reduced:
            _take_earlier(model, graph, takers, reduced, places.pop())
            return


def _takes_one_token(graph: Graph, node: onnx.NodeProto) -> bool:
    """hidden[:, place]."""
    if node.op_type != "Gather" or _axis(node, 0) != _TOKENS or node.input[1] not in graph.initializers:
        return False
    return not graph.initializers[node.input[1]].dims


def _reduced(graph: Graph, value: str, shapes: Shapes) -> dict[str, onnx.NodeProto]:
    """The nodes that are computed for one token, by what they make: those behind `value` that nothing else reads in full."""
    outputs = {output.name for output in graph.model.graph.output}
    reduced: dict[str, onnx.NodeProto] = {}
    wanted = {value}
    for node in reversed(graph.nodes):
        results = [name for name in node.output if name]
        if not wanted & set(results) or outputs & set(results) or not _works_by_token(graph, node, shapes):
            continue
        if any(not _reads_one_token(reader, name, reduced) for name in results if name != value for reader in graph.readers.get(name, ())):
            continue
        reduced |= dict.fromkeys(results, node)
        wanted |= {node.input[at] for at in _token_inputs(graph, node)}
    return reduced


def _reads_one_token(reader: onnx.NodeProto, name: str, reduced: Mapping[str, onnx.NodeProto]) -> bool:
    places = [at for at, read in enumerate(reader.input) if read == name]
    return reader.output[0] in reduced and set(places) <= set(_BY_TOKEN[reader.op_type])


def _works_by_token(graph: Graph, node: onnx.NodeProto, shapes: Shapes) -> bool:
    if node.op_type not in _BY_TOKEN:
        return False
    inputs = [shapes.get(node.input[at], ()) for at in _token_inputs(graph, node)]
    if not inputs or any(len(shape) != _HIDDEN + 1 or shape[_TOKENS] != inputs[0][_TOKENS] for shape in inputs):
        return False
    stored = [graph.initializers[name].dims for name in node.input if name in graph.initializers]
    match node.op_type:
        case "MatMul":  # large weights are inputs of the graph until it is saved
            return node.input[1] not in graph.maker and len(shapes.get(node.input[1], ()) or graph.initializers[node.input[1]].dims) == 2
        case "LayerNormalization" | "SimplifiedLayerNormalization" | "Split":
            return _axis(node, 0 if node.op_type == "Split" else -1) in (-1, _HIDDEN)
        case "MultiHeadAttention":
            bias = shapes.get(node.input[_BIAS], ()) if len(node.input) > _BIAS and node.input[_BIAS] else None
            return not _setting(node, "unidirectional", 0) and (bias is None or (len(bias) == 4 and bias[2] == inputs[0][_TOKENS]))
        case _:
            return all(len(dims) <= 1 or set(dims[:-1]) == {1} for dims in stored)


def _token_inputs(graph: Graph, node: onnx.NodeProto) -> list[int]:
    return [at for at in _BY_TOKEN[node.op_type] if at < len(node.input) and node.input[at] not in graph.initializers]


def _take_earlier(
    model: onnx.ModelProto, graph: Graph, takers: list[onnx.NodeProto], reduced: Mapping[str, onnx.NodeProto], place: int
) -> None:
    """The reduced nodes read one token of what is computed for all; who took it from the last of them takes the only one there is."""
    graph.put("one_token/place", np.array([place]))
    graph.put("one_token/first", np.array(0))
    gathered: set[str] = set()
    nodes = []
    for node in graph.nodes:
        if node.output[0] in reduced:
            for at in _token_inputs(graph, node):
                if node.input[at] not in reduced:
                    node.input[at] = _first_token(nodes, gathered, node.input[at], _TOKENS)
            if node.op_type == "MultiHeadAttention" and len(node.input) > _BIAS and node.input[_BIAS]:
                node.input[_BIAS] = _first_token(nodes, gathered, node.input[_BIAS], 2)
        elif any(node is taker for taker in takers):
            node.input[1] = "one_token/first"
        nodes.append(node)
    put_nodes(model, nodes)
    drop_unread(model)


def _first_token(nodes: list[onnx.NodeProto], gathered: set[str], value: str, axis: int) -> str:
    name = f"{value}/one_token"
    if name not in gathered:
        gathered.add(name)
        nodes.append(onnx.helper.make_node("Gather", [value, "one_token/place"], [name], axis=axis, name=name))
    return name


def _axis(node: onnx.NodeProto, default: int) -> int:
    return _setting(node, "axis", default)


def _setting(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)
