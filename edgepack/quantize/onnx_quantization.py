"""ONNX fp32 to int8: activations u8, dynamic or static, weights s8 and symmetric per channel, embeddings by rows in 8 or 4 bits.

The ops are those that onnxruntime would fuse the output of `quantize_dynamic` or `quantize_static` into, written directly: the same
kernels, in a fraction of the time, each product can be left in float, and none can silently stay there.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import onnx

from edgepack.export.onnx_graph import Graph, drop_unread, put_nodes
from edgepack.quantize.blocks import Grid, quantize_blocks
from edgepack.quantize.onnx_ranges import Range

_INT8_PRODUCTS = ("MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")
_FLOAT_PRODUCTS = ("MatMul", "Gemm", "FusedGemm", "FusedMatMul")
_WORTH = 1024  # weights: below it a table or matrix stays in float, where its bytes are nothing
_CONTRIB = "com.microsoft"
_SMALLEST_BLOCK = 16  # of the op that reads rows; its blocks are powers of two
_BLOCKS_OF_4_BITS = (64, 32, 16)  # values of a row that share a scale, the widest that divides the row


def quantized_products(
    model: onnx.ModelProto, reduce_range: bool = False, left: Collection[str] = (), ranges: Mapping[str, Range] | None = None
) -> onnx.ModelProto:
    """A copy with products in int8. reduce_range: weights in 7 bits. left: names of weights whose products stay in float.
    ranges: of the values that products read, where those are static.

    u8 x s8 has fast kernels on x86 and on ARM; s8 x s8 is many times slower on x86.
    """
    made = _copy(model)
    _quantize_products(made, 63 if reduce_range else 127, left, ranges)
    drop_unread(made)
    return made


def quantized_embeddings(model: onnx.ModelProto, bits: int) -> onnx.ModelProto:
    """A copy with the tables that rows are gathered from in `bits`: in 8 each row has a scale, in 4 each block of a row."""
    made = _copy(model)
    _quantize_embeddings(made, bits)
    drop_unread(made)
    return made


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    if _CONTRIB not in {opset.domain for opset in made.opset_import}:
        made.opset_import.append(onnx.helper.make_opsetid(_CONTRIB, 1))
    return made


def _quantize_products(model: onnx.ModelProto, most: int, left: Collection[str], ranges: Mapping[str, Range] | None) -> None:
    """x W + b becomes one op; products that read the same x share its rounding."""
    graph = Graph(model)
    wanted = [node for node in graph.nodes if graph.is_product(node) and node.input[1] not in left and _is_worth(graph, node.input[1])]
    sharing: dict[str, int] = {}
    for node in wanted:
        sharing[node.input[0]] = sharing.get(node.input[0], 0) + 1
    biased = {node.output[0]: found for node in wanted if (found := graph.bias_behind(node))}
    swallowed = {add.output[0] for add, _ in biased.values()}
    nodes: list[onnx.NodeProto] = []
    rounded: set[str] = set()
    products = {node.output[0] for node in wanted}
    for node in graph.nodes:
        if node.output[0] in swallowed:
            continue
        if node.output[0] not in products:
            nodes.append(node)
            continue
        source, weight = node.input[0], node.input[1]
        scale = _quantize_weight(graph, weight, most)
        add, bias = biased.get(node.output[0], (node, ""))
        if sharing[source] == 1 and ranges is None:
            inputs = [source, f"{weight}/int8", scale, "", bias]
            nodes.append(_contrib("DynamicQuantizeMatMul", inputs, add.output[0]))
            continue
        parts = [f"{source}/uint8", f"{source}/scale", f"{source}/zero"]
        if source not in rounded:
            nodes.append(_rounding(graph, source, parts, ranges))
            rounded.add(source)
        inputs = [parts[0], f"{weight}/int8", parts[1], scale, parts[2], "", bias]
        nodes.append(_contrib("MatMulIntegerToFloat", inputs, add.output[0]))
    put_nodes(model, nodes)


def _rounding(graph: Graph, source: str, parts: list[str], ranges: Mapping[str, Range] | None) -> onnx.NodeProto:
    """The node that turns a value into u8. parts: names of the u8 values, their scale and their zero point."""
    if ranges is None:
        return onnx.helper.make_node("DynamicQuantizeLinear", [source], parts, name=parts[0])
    for name, value in zip(parts[1:], ranges[source], strict=True):
        graph.put(name, np.asarray(value))
    return onnx.helper.make_node("QuantizeLinear", [source, *parts[1:]], parts[:1], name=parts[0])


def _quantize_weight(graph: Graph, name: str, most: int) -> str:
    """Stores [channels, outputs] as s8 with one scale an output; returns the scales' name."""
    scale = f"{name}/scale"
    if scale not in graph.initializers:
        matrix = graph.array(name)
        scales = np.maximum(np.abs(matrix).max(axis=0), np.finfo(np.float32).tiny * most) / most
        graph.put(f"{name}/int8", np.clip(np.rint(matrix / scales), -most, most).astype(np.int8))
        graph.put(scale, scales.astype(np.float32))
    return scale


def _quantize_embeddings(model: onnx.ModelProto, bits: int) -> None:
    graph = Graph(model)
    nodes = []
    for node in graph.nodes:
        name = node.input[0] if node.op_type == "Gather" else ""
        if name not in graph.initializers or not _is_embedding(graph, node, bits):
            nodes.append(node)
            continue
        block = _block(graph.initializers[name].dims[1], bits)
        if f"{name}/rounded" not in graph.initializers:
            rounded, scales = _rounded_rows(graph.array(name), bits, block)
            graph.put(f"{name}/rounded", rounded)
            graph.put(f"{name}/scale", scales)
        inputs = [f"{name}/rounded", node.input[1], f"{name}/scale"]
        stated = max(_SMALLEST_BLOCK, 1 << (block - 1).bit_length())  # it may reach past the row's end
        settings = {"gather_axis": 0, "quantize_axis": 1, "block_size": stated, "bits": bits}
        nodes.append(_contrib("GatherBlockQuantized", inputs, node.output[0], **settings))
    put_nodes(model, nodes)


def _block(width: int, bits: int) -> int:
    """Values that share a scale: a whole row where nothing smaller divides it. In 4 bits whole rows left MiniLM 0.33 points lower."""
    return next((block for block in _BLOCKS_OF_4_BITS if bits == 4 and width % block == 0), width)


def _rounded_rows(table: np.ndarray, bits: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """[rows, width] as the runtime packs it, and scales [rows, blocks]. In 8 bits the largest value is a scale good enough."""
    if bits == 4:
        found = quantize_blocks(table, Grid(bits, block))
        return found.packed_values().reshape(len(table), -1), found.scales
    scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), np.finfo(np.float32).tiny * 127) / 127
    return (np.rint(table / scales) + 128).astype(np.uint8), scales.astype(np.float32)


def _is_embedding(graph: Graph, node: onnx.NodeProto, bits: int) -> bool:
    table = graph.initializers[node.input[0]]
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    if table.data_type != onnx.TensorProto.FLOAT or len(table.dims) != 2 or axis != 0:
        return False
    return _is_worth(graph, table.name) and table.dims[1] * bits % 8 == 0


def _is_worth(graph: Graph, name: str) -> bool:
    return bool(np.prod(graph.initializers[name].dims) >= _WORTH)


def _contrib(op: str, inputs: list[str], output: str, **settings: int) -> onnx.NodeProto:
    return onnx.helper.make_node(op, inputs, [output], name=output, domain=_CONTRIB, **settings)


def count_products(model: Path) -> dict[str, int]:
    """Matrix products with a weight: how many run in int8, and how many were left in float."""
    graph = onnx.load(model, load_external_data=False).graph
    weights = {initializer.name for initializer in graph.initializer}
    int8 = sum(node.op_type in _INT8_PRODUCTS for node in graph.node)
    left = sum(node.op_type in _FLOAT_PRODUCTS and bool(weights & set(node.input[1:2])) for node in graph.node)
    return {"int8": int8, "float": left}
