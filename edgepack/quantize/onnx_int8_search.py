"""Searches the best int8 settings for a model on real texts: the smoothing, and the matrix products that stay wider.

An error is of the model's outputs: squared, over the variance of the float model's outputs. Strengths are compared on calibration
texts. The report shows the gain on held-out texts, which chose nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from edgepack.core.host import usable_cores
from edgepack.core.progress import bar
from edgepack.export.onnx_graph import Graph, fold_stored, gemms_as_products
from edgepack.export.onnx_weights import open_mapped
from edgepack.plan.steps import Quantize
from edgepack.quantize.onnx_int8_ops import quantized_embeddings, quantized_products
from edgepack.quantize.onnx_ranges import Range, activation_ranges
from edgepack.quantize.onnx_smoothing import Feeds, Group, groups_of, largest_activations, smoothed
from edgepack.quantize.sensitivity import Sensitivity

STRENGTHS = (0.5, 0.6, 0.7, 0.8, 0.9)  # Xiao 2023 uses 0.5 for static scales; one dynamic scale for a tensor needs more
_AS_GOOD = 1.05  # times the least error: fewer ops are worth that
_LARGEST_GAINFUL_ERROR = 0.8  # of the unsmoothed error: a smaller gain is worth no op
_SCAN_TEXTS = 16

Details = dict[str, float | int | str]


@dataclass(frozen=True)
class Texts:
    """A float model's inputs, a run each. calibration: for choices. held_out: to judge them."""

    calibration: Sequence[Feeds]
    held_out: Sequence[Feeds]


@dataclass(frozen=True)
class Prepared:
    """A float model with its embeddings quantized and its activations smoothed, ready for int8 products.

    ranges: of the values that products read, where they are static.
    """

    model: onnx.ModelProto
    details: Details
    ranges: Mapping[str, Range] | None = None


def prepare(model: onnx.ModelProto, step: Quantize, texts: Texts) -> Prepared:
    """Smoothing by the strength that is fixed, or by the strength with the least error; none where nothing is gained."""
    base = onnx.ModelProto()
    base.CopyFrom(model)
    fold_stored(base)
    gemms_as_products(base)
    base = quantized_embeddings(base, step.embedding_bits)
    if step.smoothing == 0 or not texts.calibration or not groups_of(Graph(base)):
        smoothing = 0 if step.smoothing == 0 or texts.calibration else "none: there are no texts to calibrate on"
        return Prepared(base, {"smoothing": smoothing}, _ranges(base, step, texts.calibration))
    best, details = _best_smoothed(model, base, step, texts.calibration)
    prepared = Prepared(best, {"calibration_texts": len(texts.calibration)} | details, _ranges(best, step, texts.calibration))
    if texts.held_out:
        expected = outputs_of(model, texts.held_out)
        plain = Prepared(base, {}, _ranges(base, step, texts.calibration))
        for name, variant in (("held_out_error_unsmoothed", plain), ("held_out_error", prepared)):
            error = _error(int8_model(variant, step), texts.held_out, expected)
            prepared.details[name] = _to_four_digits(error)
    return prepared


def int8_model(prepared: Prepared, step: Quantize, in_float: Collection[str] = ()) -> onnx.ModelProto:
    """in_float: names of weights whose products stay in float."""
    return quantized_products(prepared.model, step.reduce_range, in_float, prepared.ranges)


def _ranges(model: onnx.ModelProto, step: Quantize, texts: Sequence[Feeds]) -> dict[str, Range] | None:
    return activation_ranges(model, texts) if step.method == "static" else None


def _best_smoothed(
    model: onnx.ModelProto, base: onnx.ModelProto, step: Quantize, texts: Sequence[Feeds]
) -> tuple[onnx.ModelProto, Details]:
    largest, expected = largest_activations(base, texts), outputs_of(model, texts)
    groups = groups_of(Graph(base))
    single = [group for group in groups if len(group.weights) == 1]

    def error_of(strength: float, groups: Sequence[Group]) -> float:
        candidate = smoothed(base, largest, strength, groups)
        quantized = quantized_products(candidate, step.reduce_range, ranges=_ranges(candidate, step, texts))
        error = _error(quantized, texts, expected)
        progress.advance()
        return error

    strengths = [step.smoothing] if step.smoothing else STRENGTHS
    with bar("choose the smoothing", len(strengths) + 2) as progress:
        plain_error = error_of(0, ())
        error, strength = min((error_of(strength, groups), strength) for strength in strengths)
        # Without what queries, keys and values share there is an op less in every layer of most families.
        single_error = error_of(strength, single)
    if not step.smoothing and min(error, single_error) > _LARGEST_GAINFUL_ERROR * plain_error:
        return base, {"smoothing": 0}
    return smoothed(base, largest, strength, single if single_error <= _AS_GOOD * error else groups), {"smoothing": strength}


def scan(model: onnx.ModelProto, prepared: Prepared, step: Quantize, texts: Texts) -> tuple[Sensitivity, ...]:
    """Each group of products (those that read the same values) in int8 by itself, the worst first."""
    graph = Graph(prepared.model)
    groups = groups_of(graph)
    products = {node.input[1]: node for node in graph.nodes if graph.is_product(node)}
    sample = texts.calibration[:_SCAN_TEXTS]
    expected, scanned = outputs_of(model, sample), []
    with bar("scan for sensitive products", len(groups)) as progress:
        for group in groups:
            others = {weight for weight in products if weight not in group.weights}
            error = _error(int8_model(prepared, step, others), sample, expected)
            params = sum(int(np.prod(graph.initializers[weight].dims)) for weight in group.weights)
            module = products[group.weights[0]].name.rsplit("/", 1)[0]
            scanned.append(Sensitivity(module, group.weights, params, _to_four_digits(error)))
            progress.advance()
    return tuple(sorted(scanned, key=lambda group: -group.error))


def outputs_of(model: onnx.ModelProto, texts: Sequence[Feeds]) -> np.ndarray:
    """All outputs for all texts, flat. Sums of u8 x s8 products do not saturate here, as they do not on the device."""
    options = quiet_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = open_mapped(model, options)
    return np.concatenate([part.ravel() for feeds in texts for part in session.run(None, dict(feeds))])


def quiet_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = usable_cores()
    return options


def _error(model: onnx.ModelProto, texts: Sequence[Feeds], expected: np.ndarray) -> float:
    return error_beside(outputs_of(model, texts), expected)


def error_beside(outputs: np.ndarray, expected: np.ndarray) -> float:
    """The squared error of all outputs over the variance of those that were expected."""
    return float(np.square(outputs - expected).sum() / max(np.square(expected - expected.mean()).sum(), 1e-30))


def _to_four_digits(error: float) -> float:
    return float(f"{error:.4g}")
