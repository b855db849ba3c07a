"""A decoder's 8-bit blocks in ONNX on a coarse grid: all blocks of a row have one step, and the file stays what MatMulNBits takes."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from edgepack.export.file_names import SCORE_FILE
from edgepack.export.onnx_weights import load_mapped, read_weight
from edgepack.pack.runnable import CacheLayer
from edgepack.plan.steps import Quantize
from edgepack.quantize.blocks import Blocks, Grid, quantize_blocks
from edgepack.quantize.coarse import Coarse, entropy_bits
from edgepack.quantize.coarse_curve import Curve, Grids, curve_around
from edgepack.quantize.coarse_weights import Known, Matrix, RowWeights, beside_own_outputs, by_rows, kept_on_disk
from edgepack.quantize.onnx_decoder_graph import matrix_of, products_in
from edgepack.quantize.onnx_moments import moments_of
from edgepack.tasks.common.task import Features

_LARGEST = 127
_TABLE_SHARE = 0.1  # of a tied head's mean moment, added to each: its rows are embeddings too (SmolLM2-135M: their errors weigh 0.08)


def curve_of_blocks(
    source: Path, step: Quantize, texts: Sequence[Features], cache: Sequence[CacheLayer], rows: RowWeights | None, tables: tuple[str, str]
) -> Curve:
    """Grids of each product's matrix and the table, by the name of the weight. tables: names of the embeddings' weight and the head's."""
    graph, (embedding, head) = load_mapped(source / SCORE_FILE), tables
    matrices = _matrices(graph, embedding, bool(len(texts)))
    tied = next(each.source for each in matrices if each.name == head) if head == embedding else None
    with tempfile.TemporaryDirectory() as scratch:
        known = Known({}, {})
        if len(texts):
            moments = _moments(graph, matrices, texts, cache, tied, Path(scratch))
            by_gradients = None if rows is None else by_rows(matrices, moments, rows, Path(scratch))
            known = by_gradients or beside_own_outputs(matrices, moments, Path(scratch))
        return curve_around(Grids(matrices, known, _LARGEST, len(texts)), step.mean_bits or 0.0, _fine_bits(matrices, step))


def _matrices(graph: onnx.ModelProto, embedding: str, has_texts: bool) -> list[Matrix]:
    stored = {tensor.name: tensor for tensor in graph.graph.initializer}
    matrices = {}
    for node in products_in(graph):
        name = node.input[1]
        matrices[name] = Matrix(name, matrix_of(node, read_weight(stored[name])), node.input[0] if has_texts else None, node.input[0])
    if embedding not in matrices:
        matrices[embedding] = Matrix(embedding, read_weight(stored[embedding]), None, embedding)
    return list(matrices.values())


def _fine_bits(matrices: Sequence[Matrix], step: Quantize) -> float:
    """Of 8 bits with a scale for each block."""
    bits = sum(entropy_bits(np.bincount(quantize_blocks(each.values, Grid(8, step.block)).values.ravel())) for each in matrices)
    return round(bits / sum(each.values.size for each in matrices), 3)


def _moments(
    graph: onnx.ModelProto,
    matrices: Sequence[Matrix],
    texts: Sequence[Features],
    cache: Sequence[CacheLayer],
    tied: str | None,
    scratch: Path,
) -> dict[str, np.ndarray]:
    """Means over all tokens, by the value that products read."""
    widths = {matrix.source: matrix.values.shape[1] for matrix in matrices if matrix.source}
    tokens = sum(len(text.ids) for text in texts)

    means: dict[str, np.ndarray] = {}
    for part in moments_of(graph, widths, texts, cache):
        for name, values in part.items():
            mean = values / tokens
            if name == tied:
                mean[np.diag_indices_from(mean)] += _TABLE_SHARE * float(np.diag(mean).mean())
            means[name] = kept_on_disk(mean, scratch / f"moments-{len(means)}.npy")
    return means


def as_blocks(coarse: Coarse, grid: Grid) -> Blocks:
    """As the runtime stores them; the last block is filled with zeros where `grid.block` does not divide the inputs."""
    rows, inputs = coarse.values.shape
    values = np.pad(coarse.values.astype(np.int16), ((0, 0), (0, -inputs % grid.block))) + grid.middle
    values = values.astype(np.uint8).reshape(rows, -1, grid.block)
    scales = np.repeat(coarse.steps[:, None], values.shape[1], axis=1).astype(np.float32)
    return Blocks(grid, values, scales, np.full(scales.shape, grid.middle, np.float32))
