"""A decoder's 8-bit blocks in ONNX on a coarse grid: all blocks of a matrix have one step, and the file stays what MatMulNBits takes."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from edgepack.export.file_names import SCORE_FILE
from edgepack.export.onnx_weights import load_mapped, read_weight
from edgepack.pack.runnable import CacheLayer
from edgepack.quantize.blocks import Blocks, Grid
from edgepack.quantize.coarse import Coarse
from edgepack.quantize.coarse_search import Known, Matrix, at_mean_bits, beside_own_outputs, kept_on_disk
from edgepack.quantize.onnx_decoder_graph import matrix_of, products_in
from edgepack.quantize.onnx_moments import moments_of
from edgepack.tasks.common.task import Features

_LARGEST = 127
_TABLE_SHARE = 0.5  # of a tied head's mean moment, added to each: its rows are embeddings too, whose every value counts


def coarse_blocks(
    source: Path, bits: float, texts: Sequence[Features], cache: Sequence[CacheLayer], embedding: str, head: str
) -> dict[str, Coarse]:
    """Each product's matrix and the table, by the name of the weight, at so many bits a weight. embedding, head: names of their weights."""
    graph = load_mapped(source / SCORE_FILE)
    stored = {tensor.name: tensor for tensor in graph.graph.initializer}
    matrices = {}
    for node in products_in(graph):
        name = node.input[1]
        matrices[name] = Matrix(name, matrix_of(node, read_weight(stored[name])), node.input[0] if len(texts) else None, node.input[0])
    if embedding not in matrices:
        matrices[embedding] = Matrix(embedding, read_weight(stored[embedding]), None, embedding)
    listed = list(matrices.values())
    with tempfile.TemporaryDirectory() as scratch:
        known = _known(graph, listed, texts, cache, matrices[head].source if head == embedding else None, Path(scratch))
        return at_mean_bits(listed, known, bits, _LARGEST)


def _known(
    graph: onnx.ModelProto,
    matrices: Sequence[Matrix],
    texts: Sequence[Features],
    cache: Sequence[CacheLayer],
    tied: str | None,
    scratch: Path,
) -> Known:
    if not len(texts):
        return Known({}, {})
    widths = {matrix.source: matrix.values.shape[1] for matrix in matrices if matrix.source}
    tokens = sum(len(text.ids) for text in texts)

    means: dict[str, np.ndarray] = {}
    for part in moments_of(graph, widths, texts, cache):
        for name, values in part.items():
            mean = values / tokens
            if name == tied:
                mean[np.diag_indices_from(mean)] += _TABLE_SHARE * float(np.diag(mean).mean())
            means[name] = kept_on_disk(mean, scratch / f"moments-{len(means)}.npy")
    return beside_own_outputs(matrices, means, scratch)


def as_blocks(coarse: Coarse, grid: Grid) -> Blocks:
    """As the runtime stores them; the last block is filled with zeros where `grid.block` does not divide the inputs."""
    rows, inputs = coarse.values.shape
    values = np.pad(coarse.values.astype(np.int16), ((0, 0), (0, -inputs % grid.block))) + grid.middle
    values = values.astype(np.uint8).reshape(rows, -1, grid.block)
    scales = np.repeat(coarse.steps[:, None], values.shape[1], axis=1).astype(np.float32)
    return Blocks(grid, values, scales, np.full(scales.shape, grid.middle, np.float32))


def mean_bits(rounded: Mapping[str, Coarse]) -> float:
    return round(sum(each.bits for each in rounded.values()) / sum(each.values.size for each in rounded.values()), 3)
