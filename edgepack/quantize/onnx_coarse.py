"""An int8 encoder in ONNX on a coarse grid: its integers and scales change, its ops and shapes do not."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from edgepack.export.onnx_graph import Graph, product_sources
from edgepack.export.onnx_weights import open_mapped
from edgepack.plan.steps import Quantize
from edgepack.quantize.coarse import Coarse
from edgepack.quantize.coarse_curve import Grids
from edgepack.quantize.coarse_weights import Known, Matrix, learned
from edgepack.quantize.onnx_int8_search import Prepared, error_beside, outputs_of, quiet_options
from edgepack.quantize.onnx_smoothing import Feeds, groups_of

PROBE_TEXTS = 32  # of the calibration texts: they rank errors of tenths of the outputs' variance
_TABLE_MIDDLE = 128  # of a table's rows, which are stored unsigned


def weighed(model: onnx.ModelProto, prepared: Prepared, quantized: onnx.ModelProto, step: Quantize, texts: Sequence[Feeds]) -> Grids:
    """model: the export. prepared: what `quantized` was made from.

    texts: of the train split; without them no error is weighed and GPTQ knows no inputs.
    """
    matrices = _matrices(model, prepared.model, quantized)
    known = _learned(model, prepared.model, matrices, texts) if texts else Known({}, {})
    return Grids(matrices, known, 63 if step.reduce_range else 127, len(texts))


def _matrices(model: onnx.ModelProto, floats: onnx.ModelProto, quantized: onnx.ModelProto) -> list[Matrix]:
    """Those that `quantized` has in 8 bits, with their values in float: products as [outputs, inputs], tables as they are."""
    stored = {tensor.name for tensor in quantized.graph.initializer}
    graph, exported = Graph(floats), Graph(model)
    matrices = {}
    group_of = {weight: group.sources[0] for group in groups_of(graph) for weight in group.weights}
    for node in graph.nodes:
        if graph.is_product(node) and f"{node.input[1]}/int8" in stored:
            name = node.input[1]
            matrices.setdefault(name, Matrix(name, np.ascontiguousarray(graph.array(name).T), node.input[0], group_of[name]))
    tables = [name.removesuffix("/rounded") for name in stored if name.endswith("/rounded")]
    for name in sorted(tables):
        matrices[name] = Matrix(name, np.asarray(exported.array(name), np.float32), None, name)
    return list(matrices.values())


def _learned(model: onnx.ModelProto, floats: onnx.ModelProto, matrices: Sequence[Matrix], texts: Sequence[Feeds]) -> Known:
    probes = texts[:PROBE_TEXTS]
    plain = _whole_float(model, floats, matrices)
    expected = outputs_of(plain, probes)

    def error_of(rounded: Mapping[str, np.ndarray]) -> float:
        changed = onnx.ModelProto()
        changed.CopyFrom(plain)
        graph = Graph(changed)
        is_table = {matrix.name: matrix.source is None for matrix in matrices}
        for name, values in rounded.items():
            graph.put(name, values if is_table[name] else values.T)
        return error_beside(outputs_of(changed, probes), expected)

    sources = {matrix.source for matrix in matrices if matrix.source}
    return learned(matrices, {name: values for name, values in _moments(plain, texts).items() if name in sources}, error_of)


def _whole_float(model: onnx.ModelProto, floats: onnx.ModelProto, matrices: Sequence[Matrix]) -> onnx.ModelProto:
    """The prepared model with its tables in float again: nodes that read them from blocks become Gather."""
    plain = onnx.ModelProto()
    plain.CopyFrom(floats)
    graph = Graph(plain)
    tables = {matrix.name: matrix for matrix in matrices if matrix.source is None}
    for node in graph.nodes:
        name = node.input[0].removesuffix("/rounded") if node.op_type == "GatherBlockQuantized" else ""
        if name in tables:
            graph.put(name, tables[name].values)
            node.op_type, node.domain, node.input[:] = "Gather", "", [name, node.input[1]]
            del node.attribute[:]
    return plain


def _moments(model: onnx.ModelProto, texts: Sequence[Feeds]) -> dict[str, np.ndarray]:
    """The mean of x x^T over all tokens of the texts, of every value that a product reads."""
    names = product_sources(Graph(model))
    if not names:  # a table of vectors
        return {}
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = open_mapped(watched, quiet_options())
    sums: dict[str, np.ndarray] = {}
    counts = dict.fromkeys(names, 0)
    for feeds in texts:
        for name, values in zip(names, session.run(names, dict(feeds)), strict=True):
            rows = values.reshape(-1, values.shape[-1])
            sums[name] = sums.get(name, np.zeros((1, 1), np.float32)) + rows.T @ rows
            counts[name] += len(rows)
    return {name: sums[name] / counts[name] for name in names}


def with_grid(quantized: onnx.ModelProto, rounded: Mapping[str, Coarse]) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(quantized)
    graph = Graph(changed)
    for name, coarse in rounded.items():
        if f"{name}/rounded" in graph.initializers:
            scales = graph.initializers[f"{name}/scale"]
            graph.put(f"{name}/rounded", (coarse.values.astype(np.int16) + _TABLE_MIDDLE).astype(np.uint8))
            graph.put(f"{name}/scale", coarse.steps.reshape(tuple(scales.dims)))
        else:
            graph.put(f"{name}/int8", coarse.values.T)
            graph.put(f"{name}/scale", coarse.steps)
    return changed
