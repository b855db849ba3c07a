"""A decoder's weights in blocks of 8 or 4 bits (MatMulNBits), its tied head and embeddings the same bytes.

Activations stay in float, or are turned to int8 block by block by the kernel: a prompt cannot come out coarser than single
tokens, as it does with one scale for all of its activations (quantize_dynamic).
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from edgepack.core.progress import bar
from edgepack.export.onnx_decoder import SCORE_FILE, write_shipped
from edgepack.export.onnx_optimization import DATA_FILE
from edgepack.export.onnx_weights import WeightsFile, load_mapped, read_weight, seen_as, weights_file
from edgepack.pack.runnable import CacheLayer
from edgepack.plan.cost_model import BLOCK
from edgepack.plan.steps import Quantize
from edgepack.quantize.blocks import Blocks, Grid, quantize_blocks
from edgepack.quantize.gptq import quantize_by_moments
from edgepack.quantize.onnx_activations import moments_of
from edgepack.tasks.common.task import Features

_ACCURACY_LEVEL = 4  # activations in int8 by block: many times as fast as in float, and what ARM's fast kernels need
_WIDE = Grid(8, BLOCK)
_PRODUCTS = ("MatMul", "FusedMatMul")  # the second is the head, which reads its matrix as the embeddings do


def quantize_decoder(
    source: Path,
    step: Quantize,
    target: Path,
    texts: Sequence[Features],
    cache: Sequence[CacheLayer],
    wide: Collection[str] = (),
) -> None:
    """From the folder of an fp32 export to one with the same files and less in them; weights pass through memory one by one.

    texts: for calibration, where there are any; 4-bit weights are then rounded by GPTQ, else each by itself. wide: names of
    weights that are stored in 8 bits where the others are in 4.
    """
    graph = load_mapped(source / SCORE_FILE)
    weights = {tensor.name: tensor for tensor in graph.graph.initializer}
    head, embedding = _head_and_embedding(graph)
    tied = embedding.input[0] == head.input[1]
    fresh: list[TensorProto] = []
    with weights_file(target / DATA_FILE) as file:
        for node, moments in _in_turn(graph, step, texts, cache):
            matrix = matrix_of(node, read_weight(weights[node.input[1]]))
            grid = _WIDE if node.input[1] in wide else grid_of(step, node is head)
            blocks = _rounded(matrix, grid, moments)
            tensors = _stored(node.input[1], blocks, file)
            if node is head and tied:
                fresh += _replace_embedding(embedding, tensors, blocks.grid)
            _replace_product(node, tensors, blocks.grid, matrix.shape)
            fresh += tensors
        if not tied:
            blocks = quantize_blocks(read_weight(weights[embedding.input[0]]), grid_of(step, True))
            tensors = _stored(embedding.input[0], blocks, file)
            fresh += [*tensors, *_replace_embedding(embedding, tensors, blocks.grid)]
        used = {name for node in graph.graph.node for name in node.input}
        fresh += [file.put(name, read_weight(tensor)) for name, tensor in weights.items() if name in used]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(tensor for tensor in fresh if tensor.name in used)
    onnx.save(graph, target / SCORE_FILE)
    write_shipped(graph, target)


def count_blockwise(model: Path) -> dict[str, int]:
    """Matrix products with a weight: how many run in blocks of 8 and of 4 bits, and how many were left in float."""
    graph = onnx.load(model, load_external_data=False)
    bits = [helper.get_node_attr_value(node, "bits") for node in graph.graph.node if node.op_type == "MatMulNBits"]
    return {"int8": bits.count(8), "int4": bits.count(4), "float": len(products_in(graph))}


def products_in(graph: onnx.ModelProto) -> list[NodeProto]:
    weights = {tensor.name for tensor in graph.graph.initializer}
    return [node for node in graph.graph.node if node.op_type in _PRODUCTS and node.input[1] in weights]


def _head_and_embedding(graph: onnx.ModelProto) -> tuple[NodeProto, NodeProto]:
    head = next(node for node in graph.graph.node if "logits" in node.output)
    ids = {"input_ids"}
    for node in graph.graph.node:  # in the order that they run in; GPT-2 reshapes its ids first
        if node.op_type == "Gather" and node.input[1] in ids:
            return head, node
        if node.op_type in ("Reshape", "Cast", "Identity") and node.input[0] in ids:
            ids.update(node.output)
    raise ValueError("no table is read with the tokens' ids")


def matrix_of(node: NodeProto, weight: np.ndarray) -> np.ndarray:
    """[outputs, inputs]."""
    return weight if node.op_type == "FusedMatMul" else weight.T


def grid_of(step: Quantize, is_table: bool) -> Grid:
    if is_table:
        return Grid(step.embedding_bits, step.block)
    return Grid(8 if step.precision == "int8" else 4, step.block, step.asymmetric)


def _rounded(matrix: np.ndarray, grid: Grid, moments: np.ndarray | None) -> Blocks:
    return quantize_blocks(matrix, grid) if moments is None else quantize_by_moments(matrix, grid, moments)


def _in_turn(
    graph: onnx.ModelProto, step: Quantize, texts: Sequence[Features], cache: Sequence[CacheLayer]
) -> Iterator[tuple[NodeProto, np.ndarray | None]]:
    """All products, those with the moments of their inputs that are rounded by them. The graph may change meanwhile."""
    products, weights = products_in(graph), {tensor.name: tensor for tensor in graph.graph.initializer}
    calibrated = [node for node in products if "logits" not in node.output] if step.precision == "int4" and len(texts) else []
    inputs = {node.input[0]: weights[node.input[1]].dims[0] for node in calibrated}
    whole = onnx.ModelProto()
    whole.CopyFrom(graph)
    by_input = {name: [node for node in calibrated if node.input[0] == name] for name in inputs}
    with bar(f"quantize to {step.precision}", len(products)) as progress:
        for part in moments_of(whole, inputs, texts, cache):
            for name, moments in part.items():
                for node in by_input[name]:
                    yield node, moments
                    progress.advance()
        for node in products:
            if not any(node is other for other in calibrated):
                yield node, None
                progress.advance()


def _stored(name: str, blocks: Blocks, file: WeightsFile) -> list[TensorProto]:
    tensors = [file.put(f"{name}.blocks", blocks.packed_values()), file.put(f"{name}.scales", blocks.scales)]
    if blocks.grid.asymmetric:
        tensors.append(file.put(f"{name}.zeros", blocks.packed_zeros()))
    return tensors


def _replace_product(node: NodeProto, tensors: list[TensorProto], grid: Grid, shape: tuple[int, int]) -> None:
    attributes = {"N": shape[0], "K": shape[1], "bits": grid.bits, "block_size": grid.block, "accuracy_level": _ACCURACY_LEVEL}
    _become(node, "MatMulNBits", [node.input[0], *(tensor.name for tensor in tensors)], attributes)


def _replace_embedding(node: NodeProto, tensors: list[TensorProto], grid: Grid) -> list[TensorProto]:
    """Rows of the table from the blocks that the head multiplies with; returns what the graph needs beside them."""
    values, scales = tensors[:2]
    rows, blocks, width = values.dims
    table = seen_as(values, f"{values.name}.table", (rows, blocks * width))
    attributes = {"bits": grid.bits, "block_size": grid.block, "gather_axis": 0, "quantize_axis": 1}
    _become(node, "GatherBlockQuantized", [table.name, node.input[1], scales.name], attributes)
    return [table]


def _become(node: NodeProto, kind: str, inputs: list[str], attributes: dict[str, Any]) -> None:
    node.op_type, node.domain, node.input[:] = kind, "com.microsoft", inputs
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
