"""ONNX fp32 to int8: activations u8, dynamic or static, weights s8 and symmetric per channel, embeddings by rows in 8 or 4 bits.

The ops are those that onnxruntime would fuse the output of `quantize_dynamic` or `quantize_static` into, written directly: the same
kernels, in a fraction of the time, each product can be left in float, and none can stay there without being asked for.
"""

from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np
import onnx

from edgepack.export.onnx_graph import Graph, drop_unread, put_nodes
from edgepack.plan.precision import FEWEST_WEIGHTS
from edgepack.quantize.blocks import Grid, quantize_blocks
from edgepack.quantize.onnx_ranges import Range

_CONTRIB = "com.microsoft"
_SMALLEST_BLOCK = 16  # of the op that reads rows; its blocks are powers of two
_BLOCKS_OF_4_BITS = (64, 32, 16)  # values of a row that share a scale, the widest that divides the row


def quantized_products(
    model: onnx.ModelProto, reduce_range: bool, in_float: Collection[str] = (), ranges: Mapping[str, Range] | None = None
) -> onnx.ModelProto:
    """A copy with matrix products in int8: x W + b becomes one op, and products that read the same x share its rounding.

    reduce_range: weights in 7 bits. in_float: names of weights whose products stay in float. ranges: of the values that products
    read, where those are static. u8 x s8 has fast kernels on x86 and on ARM; s8 x s8 is many times slower on x86.
    """
    copy = _copy(model)
    graph = Graph(copy)
    products = {node.output[0]: node for node in graph.nodes if graph.is_product(node) and _is_wanted(graph, node.input[1], in_float)}
    readers = Counter(node.input[0] for node in products.values())
    biases = {output: bias for output, node in products.items() if (bias := graph.bias_behind(node))}
    fused_adds = {add.output[0] for add, _ in biases.values()}
    nodes: list[onnx.NodeProto] = []
    rounded: set[str] = set()
    for node in graph.nodes:
        if node.output[0] in fused_adds:
            continue
        if node.output[0] not in products:
            nodes.append(node)
            continue
        source, weight = node.input[0], node.input[1]
        scale = _round_weight(graph, weight, 63 if reduce_range else 127)
        last, bias = biases.get(node.output[0], (node, ""))
        if readers[source] == 1 and ranges is None:
            nodes.append(_contrib("DynamicQuantizeMatMul", [source, f"{weight}/int8", scale, "", bias], last.output[0]))
            continue
        parts = [f"{source}/uint8", f"{source}/scale", f"{source}/zero"]
        if source not in rounded:
            nodes.append(_rounding(graph, source, parts, ranges))
            rounded.add(source)
        inputs = [parts[0], f"{weight}/int8", parts[1], scale, parts[2], "", bias]
        nodes.append(_contrib("MatMulIntegerToFloat", inputs, last.output[0]))
    put_nodes(copy, nodes)
    drop_unread(copy)
    return copy


def quantized_embeddings(model: onnx.ModelProto, bits: int) -> onnx.ModelProto:
    """A copy with the tables that rows are gathered from in `bits`: in 8 each row has a scale, in 4 each block of a row."""
    copy = _copy(model)
    graph = Graph(copy)
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
        block_size = max(_SMALLEST_BLOCK, 1 << (block - 1).bit_length())  # it may reach past the row's end
        settings = {"gather_axis": 0, "quantize_axis": 1, "block_size": block_size, "bits": bits}
        nodes.append(_contrib("GatherBlockQuantized", inputs, node.output[0], **settings))
    put_nodes(copy, nodes)
    drop_unread(copy)
    return copy


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if _CONTRIB not in {opset.domain for opset in copy.opset_import}:
        copy.opset_import.append(onnx.helper.make_opsetid(_CONTRIB, 1))
    return copy


def _round_weight(graph: Graph, name: str, largest: int) -> str:
    """Stores [channels, outputs] as s8 with one scale an output; returns the scales' name."""
    scale = f"{name}/scale"
    if scale not in graph.initializers:
        matrix = graph.array(name)
        scales = np.maximum(np.abs(matrix).max(axis=0), np.finfo(np.float32).tiny * largest) / largest
        graph.put(f"{name}/int8", np.clip(np.rint(matrix / scales), -largest, largest).astype(np.int8))
        graph.put(scale, scales.astype(np.float32))
    return scale


def _rounding(graph: Graph, source: str, parts: list[str], ranges: Mapping[str, Range] | None) -> onnx.NodeProto:
    """The node that turns a value into u8. parts: names of the u8 values, their scale and their zero point."""
    if ranges is None:
        return onnx.helper.make_node("DynamicQuantizeLinear", [source], parts, name=parts[0])
    for name, value in zip(parts[1:], ranges[source], strict=True):
        graph.put(name, np.asarray(value))
    return onnx.helper.make_node("QuantizeLinear", [source, *parts[1:]], parts[:1], name=parts[0])


def _block(width: int, bits: int) -> int:
    """Values that share a scale: a whole row where nothing smaller divides it. In 4 bits whole rows left MiniLM 0.33 points lower."""
    return next((block for block in _BLOCKS_OF_4_BITS if bits == 4 and width % block == 0), width)


def _rounded_rows(table: np.ndarray, bits: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """[rows, width] as the runtime packs it, and scales [rows, blocks]. In 8 bits the largest value is a scale good enough."""
    if bits == 4:
        blocks = quantize_blocks(table, Grid(bits, block))
        return blocks.packed_values().reshape(len(table), -1), blocks.scales
    scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), np.finfo(np.float32).tiny * 127) / 127
    return (np.rint(table / scales) + 128).astype(np.uint8), scales.astype(np.float32)


def _is_embedding(graph: Graph, node: onnx.NodeProto, bits: int) -> bool:
    table = graph.initializers[node.input[0]]
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    if table.data_type != onnx.TensorProto.FLOAT or len(table.dims) != 2 or axis != 0:
        return False
    return _is_wanted(graph, table.name) and table.dims[1] * bits % 8 == 0


def _is_wanted(graph: Graph, weight: str, in_float: Collection[str] = ()) -> bool:
    return weight not in in_float and bool(np.prod(graph.initializers[weight].dims) >= FEWEST_WEIGHTS)


def _contrib(op: str, inputs: list[str], output: str, **settings: int) -> onnx.NodeProto:
    return onnx.helper.make_node(op, inputs, [output], name=output, domain=_CONTRIB, **settings)
