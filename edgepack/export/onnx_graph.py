"""Looks up an ONNX graph's values by name: which node makes or reads each, and which products have a stored weight.

Own code on plain protobufs, not onnx_ir: the index below takes 0.3 ms for MiniLM, and a graph that went through onnx_ir has other bytes
(32,752 where it had 32,966), while a model is to give the same bytes on every build. onnx_export.py uses onnx_ir on what torch hands over.
"""

import numpy as np
import onnx
from onnx import numpy_helper

from edgepack.export.onnx_weights import read_weight


class Graph:
    """Looks a model up; after `model` was changed, make a new one."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.nodes = model, model.graph.node
        self.initializers = {initializer.name: initializer for initializer in model.graph.initializer}
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def array(self, name: str) -> np.ndarray:
        return read_weight(self.initializers[name])

    def put(self, name: str, array: np.ndarray) -> None:
        """In place of the tensor of that name, or beside the others."""
        if name not in self.initializers:
            self.initializers[name] = self.model.graph.initializer.add()
        self.initializers[name].CopyFrom(numpy_helper.from_array(np.asarray(array, order="C"), name))

    def is_product(self, node: onnx.NodeProto) -> bool:
        """Whether a node multiplies by a matrix that is stored."""
        return node.op_type == "MatMul" and node.input[1] in self.initializers and len(self.initializers[node.input[1]].dims) == 2

    def bias_behind(self, node: onnx.NodeProto) -> tuple[onnx.NodeProto, str] | None:
        """The Add of a stored vector that alone reads a product, and the vector's name."""
        readers = self.readers.get(node.output[0], [])
        if len(readers) != 1 or readers[0].op_type != "Add":
            return None
        stored = [name for name in readers[0].input if name in self.initializers]
        if len(stored) != 1 or len(self.initializers[stored[0]].dims) != 1:
            return None
        return readers[0], stored[0]


def product_sources(graph: Graph) -> list[str]:
    """The values that products with a stored matrix read, each once."""
    return list(dict.fromkeys(node.input[0] for node in graph.nodes if graph.is_product(node)))


def drop_unread(model: onnx.ModelProto) -> None:
    """Removes stored tensors that no node reads any more."""
    read = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    remaining = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(remaining)


def gemms_as_products(model: onnx.ModelProto) -> None:
    """Gemm of a stored matrix becomes MatMul and Add, which int8 has kernels for."""
    graph = Graph(model)
    nodes = []
    for node in graph.nodes:
        settings = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        plain = settings.get("alpha", 1.0) == settings.get("beta", 1.0) == 1.0 and not settings.get("transA", 0)
        if node.op_type != "Gemm" or node.input[1] not in graph.initializers or not plain:
            nodes.append(node)
            continue
        weight = f"{node.output[0]}/weight"
        matrix = graph.array(node.input[1])
        graph.put(weight, matrix.T if settings.get("transB", 0) else matrix)
        bias = list(node.input[2:3])
        product = f"{node.output[0]}/product" if bias else node.output[0]
        nodes.append(onnx.helper.make_node("MatMul", [node.input[0], weight], [product], name=product))
        if bias:
            nodes.append(onnx.helper.make_node("Add", [product, *bias], [node.output[0]], name=node.output[0]))
    put_nodes(model, nodes)
    drop_unread(model)


def fold_stored(model: onnx.ModelProto) -> None:
    """A stored tensor that is only laid out otherwise (transposed, renamed, reshaped) before it is read becomes one in that layout,
    once for all of its readers: a matrix that layers share reaches its products through a Transpose, and would look like no weight."""
    graph = Graph(model)
    nodes = []
    for node in graph.nodes:
        if node.op_type not in _LAYOUT_OPS or not all(name in graph.initializers for name in node.input if name):
            nodes.append(node)
            continue
        arrays = [graph.array(name) if name else None for name in node.input]
        graph.put(node.output[0], _LAYOUT_OPS[node.op_type](node, *arrays))
    put_nodes(model, nodes)
    drop_unread(model)


def _transposed(node: onnx.NodeProto, array: np.ndarray) -> np.ndarray:
    return array.transpose(next((attribute.ints for attribute in node.attribute if attribute.name == "perm"), None))


def _reshaped(node: onnx.NodeProto, array: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """A 0 takes over the axis at its place."""
    return array.reshape([array.shape[at] if size == 0 else int(size) for at, size in enumerate(shape)])


_LAYOUT_OPS = {"Transpose": _transposed, "Reshape": _reshaped, "Identity": lambda _, array: array}


def put_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """`nodes` in place of all the model's."""
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
