"""Finds the layers of a decoder that lose most in 4 bits: each alone in 4 bits, all others in fp32, on calibration texts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from edgepack.core.progress import bar
from edgepack.export.file_names import SCORE_FILE
from edgepack.export.onnx_weights import load_mapped, open_mapped, read_weight
from edgepack.pack.runnable import CacheLayer
from edgepack.plan.steps import Quantize
from edgepack.quantize.blocks import quantize_blocks
from edgepack.quantize.onnx_decoder_graph import feeds_for, grid_of, matrix_of, products_in
from edgepack.quantize.sensitivity import Sensitivity
from edgepack.tasks.common.task import Features

_TEXTS, _TOKENS = 4, 128  # a divergence of whole distributions needs few: it does not depend on which token came next
_LAYER = re.compile(r"(.*?\.\d+)\.")


def scan_layers(source: Path, step: Quantize, texts: Sequence[Features], cache: Sequence[CacheLayer]) -> tuple[Sensitivity, ...]:
    """Kullback-Leibler divergence of the next token's distribution from the fp32 export's, mean nats a token, the worst layer first.

    Weights are rounded by themselves, without GPTQ. The head is not scanned: it stays in 8 bits anyway.
    """
    graph = load_mapped(source / SCORE_FILE)
    shorter = [replace(text, ids=text.ids[:_TOKENS], type_ids=text.type_ids[:_TOKENS]) for text in texts[:_TEXTS]]
    expected = list(_log_probabilities(graph, {}, shorter, cache))
    layers = _layers(graph)
    scanned = []
    with bar("scan for sensitive layers", len(layers)) as progress:
        for name, nodes in layers.items():
            rounded = {node.input[1]: _rounded(graph, node, step) for node in nodes}
            params = sum(weight.size for weight in rounded.values())
            actual = _log_probabilities(graph, rounded, shorter, cache)
            nats = np.concatenate([_divergence(*pair) for pair in zip(expected, actual, strict=True)])
            scanned.append(Sensitivity(name, tuple(rounded), params, float(f"{nats.mean():.4g}")))
            progress.advance()
    return tuple(sorted(scanned, key=lambda layer: -layer.error))


def _layers(graph: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Products with a weight by the layer that their weight's name begins with."""
    layers: dict[str, list[onnx.NodeProto]] = {}
    for node in products_in(graph):
        layer = _LAYER.match(node.input[1])
        if layer and "logits" not in node.output:
            layers.setdefault(layer[1], []).append(node)
    return layers


def _rounded(graph: onnx.ModelProto, node: onnx.NodeProto, step: Quantize) -> np.ndarray:
    """The weight as the runtime would multiply with it in 4 bits, in the layout that it has in the graph."""
    weight = next(tensor for tensor in graph.graph.initializer if tensor.name == node.input[1])
    matrix = matrix_of(node, read_weight(weight)).astype(np.float32)
    rounded = quantize_blocks(matrix, grid_of(step, False)).matrix(matrix.shape[1])  # float64 where blocks have zero points
    return matrix_of(node, rounded.astype(np.float32))


def _log_probabilities(
    graph: onnx.ModelProto, weights: Mapping[str, np.ndarray], texts: Sequence[Features], cache: Sequence[CacheLayer]
) -> Iterator[np.ndarray]:
    """[tokens, vocab] of each text, with some weights replaced."""
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    for tensor in changed.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(weights[tensor.name]), tensor.name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = open_mapped(changed, options)
    for text in texts:
        (logits,) = session.run(["logits"], feeds_for(session, text, cache))
        shifted = logits[0] - logits[0].max(axis=-1, keepdims=True)
        yield shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _divergence(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Nats, of each token."""
    return (np.exp(expected) * (expected - actual)).sum(axis=-1)
