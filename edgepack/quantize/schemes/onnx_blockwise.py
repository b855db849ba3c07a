"""Decoders in ONNX: weights in blocks of 8 or 4 bits (MatMulNBits), the tied head and the embeddings as the same bytes.

Activations stay in float, or the kernel turns them to int8 block by block. So a prompt comes out as fine as single tokens do; with
one scale for all of a prompt's activations (quantize_dynamic) it would not.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from edgepack.core.progress import bar
from edgepack.export.file_names import DATA_FILE, SCORE_FILE
from edgepack.export.onnx_decoder import write_shipped
from edgepack.export.onnx_weights import WeightsFile, load_mapped, read_weight, seen_as, weights_file
from edgepack.pack.runnable import CacheLayer, Runnable, read_runnable
from edgepack.plan.precision import precision_facts
from edgepack.plan.steps import Quantize
from edgepack.quantize.blocks import Blocks, Grid, quantize_blocks
from edgepack.quantize.calibration import CalibrationTexts, running_texts
from edgepack.quantize.coarse import Coarse
from edgepack.quantize.coarse_curve import candidates_of
from edgepack.quantize.gptq import quantize_by_moments
from edgepack.quantize.onnx_coarse_blocks import as_blocks, curve_of_blocks
from edgepack.quantize.onnx_decoder_graph import grid_of, matrix_of, products_in
from edgepack.quantize.onnx_layer_scan import scan_layers
from edgepack.quantize.onnx_moments import moments_of
from edgepack.quantize.schemes import Candidate
from edgepack.quantize.sensitivity import most_sensitive, sensitivity_records
from edgepack.tasks.common.task import Features

_ACCURACY_LEVEL = 4  # activations in int8 by block: many times as fast as in float, and what ARM's fast kernels need


def candidates(step: Quantize, exported: Path, texts: CalibrationTexts) -> Iterator[Candidate]:
    """The step's own bits; of 4 bits then with the most sensitive layers in 8; then all in 8, where the user left it open."""
    cache = read_runnable(exported).cache
    calibration, texts_used = running_texts(texts)
    details: dict[str, float | int | str] = {"calibration_texts": texts_used}
    recipe = f"{step.precision} in blocks of {step.block}"
    write = partial(quantize_decoder, exported, texts=calibration, cache=cache)
    if step.mean_bits is not None:
        head, embedding = _head_and_embedding(load_mapped(exported / SCORE_FILE))
        rows = texts.row_weights(calibration) if texts.row_weights and calibration else None
        curve = curve_of_blocks(exported, step, calibration, cache, rows, (embedding.input[0], head.input[1]))
        yield from candidates_of(curve, recipe, step.precision, partial(_write_on_grid, write, step), details)
        return
    if not step.sensitive or not calibration:
        yield Candidate(recipe, step.precision, partial(write, step), details)
    if step.bits == 8:
        return
    if calibration and step.sensitive != 0:
        scanned = scan_layers(exported, step, calibration, cache)
        sensitive = most_sensitive(scanned, step.sensitive)
        wide = {weight for layer in sensitive for weight in layer.weights}
        name = f"{recipe}, the {len(sensitive)} most sensitive of {len(scanned)} layers in 8 bits"
        yield Candidate(name, step.precision, partial(write, step, wide=wide), details, sensitivity_records(scanned, sensitive))
    if not texts.is_precision_fixed:
        wider = step.model_copy(update={"precision": precision_facts(step.precision).wider, "asymmetric": False})
        yield Candidate(f"{wider.precision} in blocks of {step.block}", wider.precision, partial(write, wider), details)


def _write_on_grid(write: Callable[..., None], step: Quantize, grid: Mapping[str, Coarse] | None, folder: Path) -> None:
    write(step, folder, coarse=grid)


def runnable(before: Runnable) -> Runnable:
    """The same as before: the session needs no other settings."""
    return before


def quantize_decoder(
    source: Path,
    step: Quantize,
    target: Path,
    texts: Sequence[Features],
    cache: Sequence[CacheLayer],
    wide: Collection[str] = (),
    coarse: Mapping[str, Coarse] | None = None,
) -> None:
    """From the folder of an fp32 export to one with the same files and less in them; weights pass through memory one by one.

    texts: for calibration, where there are any; 4-bit weights are then rounded by GPTQ, else each by itself. wide: names of
    weights that are stored in 8 bits where the others are in 4. coarse: integers and steps that were found already.
    """
    graph = load_mapped(source / SCORE_FILE)
    weights = {tensor.name: tensor for tensor in graph.graph.initializer}
    head, embedding = _head_and_embedding(graph)
    tied = embedding.input[0] == head.input[1]
    fresh: list[TensorProto] = []
    with weights_file(target / DATA_FILE) as file:
        for node, moments in _in_turn(graph, step, texts, cache):
            matrix = matrix_of(node, read_weight(weights[node.input[1]]))
            grid = Grid(8, step.block) if node.input[1] in wide else grid_of(step, node is head)
            if coarse is not None:
                blocks = as_blocks(coarse[node.input[1]], grid)
            else:
                blocks = quantize_blocks(matrix, grid) if moments is None else quantize_by_moments(matrix, grid, moments)
            tensors = _stored(node.input[1], blocks, file)
            if node is head and tied:
                fresh += _replace_embedding(embedding, tensors, blocks.grid)
            fresh += [*tensors, *_scaled(graph, node, file)]
            _replace_product(node, tensors, blocks.grid, matrix.shape)
        if not tied:
            grid, name = grid_of(step, True), embedding.input[0]
            blocks = as_blocks(coarse[name], grid) if coarse is not None else quantize_blocks(read_weight(weights[name]), grid)
            tensors = _stored(embedding.input[0], blocks, file)
            fresh += [*tensors, *_replace_embedding(embedding, tensors, blocks.grid)]
        used = {name for node in graph.graph.node for name in node.input}
        fresh += [file.put(name, read_weight(tensor)) for name, tensor in weights.items() if name in used]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(tensor for tensor in fresh if tensor.name in used)
    onnx.save(graph, target / SCORE_FILE)
    write_shipped(graph, target)


def _head_and_embedding(graph: onnx.ModelProto) -> tuple[NodeProto, NodeProto]:
    head = _head(graph)
    ids = {"input_ids"}
    for node in graph.graph.node:  # in the order that they run in; GPT-2 reshapes its ids first
        if node.op_type == "Gather" and node.input[1] in ids:
            return head, node
        if node.op_type in ("Reshape", "Cast", "Identity") and node.input[0] in ids:
            ids.update(node.output)
    raise ValueError("no table is read with the tokens' ids")


def _head(graph: onnx.ModelProto) -> NodeProto:
    """The product that logits come from; a cap of logits (Gemma 2) stands behind it."""
    makers = {name: node for node in graph.graph.node for name in node.output}
    node, products = makers["logits"], products_in(graph)
    while not any(node is product for product in products):
        node = next(makers[name] for name in node.input if name in makers)
    return node


def _in_turn(
    graph: onnx.ModelProto, step: Quantize, texts: Sequence[Features], cache: Sequence[CacheLayer]
) -> Iterator[tuple[NodeProto, np.ndarray | None]]:
    """All products; those that GPTQ rounds, with the moments of their inputs. The graph may change meanwhile."""
    products, weights = products_in(graph), {tensor.name: tensor for tensor in graph.graph.initializer}
    calibrated = [node for node in products if "logits" not in node.output] if step.bits == 4 and len(texts) else []
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


def _scaled(graph: onnx.ModelProto, node: NodeProto, file: WeightsFile) -> list[TensorProto]:
    """FusedMatMul may multiply its result by `alpha` (Gemma 2's cap); blocks cannot, so a Mul behind them does."""
    alpha = next((attribute.f for attribute in node.attribute if attribute.name == "alpha"), 1.0)
    if alpha == 1.0:
        return []
    factor = file.put(f"{node.input[1]}.alpha", np.array(alpha, np.float32))
    output = node.output[0]
    node.output[0] = f"{output}.before_alpha"
    place = next(index for index, other in enumerate(graph.graph.node) if other is node or other == node)
    graph.graph.node.insert(place + 1, helper.make_node("Mul", [node.output[0], factor.name], [output], f"{output}.alpha"))
    return [factor]


def _replace_product(node: NodeProto, tensors: list[TensorProto], grid: Grid, shape: tuple[int, int]) -> None:
    attributes = {"N": shape[0], "K": shape[1], "bits": grid.bits, "block_size": grid.block, "accuracy_level": _ACCURACY_LEVEL}
    _replace_op(node, "MatMulNBits", [node.input[0], *(tensor.name for tensor in tensors)], attributes)


def _replace_embedding(node: NodeProto, tensors: list[TensorProto], grid: Grid) -> list[TensorProto]:
    """The node reads rows from the blocks that the head multiplies with; returns what the graph needs beside them."""
    values, scales = tensors[:2]
    rows, blocks, width = values.dims
    table = seen_as(values, f"{values.name}.table", (rows, blocks * width))
    attributes = {"bits": grid.bits, "block_size": grid.block, "gather_axis": 0, "quantize_axis": 1}
    _replace_op(node, "GatherBlockQuantized", [table.name, node.input[1], scales.name], attributes)
    return [table]


def _replace_op(node: NodeProto, kind: str, inputs: list[str], attributes: dict[str, Any]) -> None:
    node.op_type, node.domain, node.input[:] = kind, "com.microsoft", inputs
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
