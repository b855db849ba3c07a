"""An int8 encoder in TFLite on a coarse grid: its integers and scales change, its ops and shapes do not."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.export.tflite_export import MODEL_FILE
from edgepack.export.tflite_file import read_model
from edgepack.pack.runnable import read_runnable
from edgepack.quantize.coarse import Coarse
from edgepack.quantize.coarse_curve import Grids
from edgepack.quantize.coarse_weights import Known, Matrix, beside_own_outputs
from edgepack.quantize.tflite_gptq import moments_of_values
from edgepack.tasks.common.task import Features

_INT8 = 9  # a type of tensors
_LARGEST = 127


def tflite_grids(exported: Path, quantized: Path, texts: Sequence[Features]) -> Grids:
    """exported, quantized: folders of the fp32 file, and of the same in int8 with its scales inside the matrices."""
    matrices = list(_matrices(read_model(exported / MODEL_FILE), read_model(quantized / MODEL_FILE)))
    sources = {matrix.source: matrix.values.shape[1] for matrix in matrices if matrix.source}
    moments = _moments(exported, sources, texts) if texts else {}
    known = beside_own_outputs(matrices, moments) if moments else Known({}, {})
    return Grids(matrices, known, _LARGEST, len(texts))


def _matrices(exact: Any, model: Any) -> Iterator[Matrix]:
    """Of all signatures, each once: what is in 8 bits in `model`, with its values in `exact`."""
    narrow = {tensor.name for graph in model.subgraphs for tensor in graph.tensors if _is_rounded(tensor)}
    readers = _readers(exact)
    buffers = set()
    for at, weight, source in readers:
        tensor = exact.subgraphs[at].tensors[weight]
        if tensor.name not in narrow or tensor.buffer in buffers:
            continue
        buffers.add(tensor.buffer)
        values = np.frombuffer(exact.buffers[tensor.buffer].data, np.float32).reshape(tensor.shape)
        yield Matrix(tensor.name.decode(), values, source, source or tensor.name.decode())


def _readers(model: Any) -> list[tuple[int, int, str | None]]:
    """(graph, weight, what it is multiplied with) of every product and table; the signature of the longest texts comes first."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.BuiltinOperator
    readers = []
    order = sorted(model.signatureDefs, key=lambda signature: -int(signature.signatureKey.decode()[1:]))
    for at in (signature.subgraphIndex for signature in order):
        graph = model.subgraphs[at]
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            kind = max(code.builtinCode, code.deprecatedBuiltinCode)
            if kind == kinds.FULLY_CONNECTED:
                readers.append((at, operator.inputs[1], graph.tensors[operator.inputs[0]].name.decode()))
            elif kind == kinds.EMBEDDING_LOOKUP:
                readers.append((at, operator.inputs[1], None))
    return readers


def _is_rounded(tensor: Any) -> bool:
    return tensor.type == _INT8 and len(tensor.shape) == 2 and tensor.quantization is not None and tensor.quantization.scale is not None


def _moments(exported: Path, sources: Mapping[str, int], texts: Sequence[Features]) -> dict[str, np.ndarray]:
    runnable = read_runnable(exported)
    key = f"s{max(runnable.buckets)}"
    summed = moments_of_values(exported / MODEL_FILE, key, sources, runnable, texts)
    tokens = sum(min(len(text.ids), max(runnable.buckets)) for text in texts)
    return {name: values / tokens for name, values in summed.items()}


def put_on_grid(rounded: Mapping[str, Coarse], model: Any) -> None:
    """An edit of the quantized model, as tflite_file reads it.

    Signatures share a matrix, and each of them names it and states its scales by itself.
    """
    named = (tensor for graph in model.subgraphs for tensor in graph.tensors if _is_rounded(tensor))
    by_buffer = {tensor.buffer: rounded[tensor.name.decode()] for tensor in named if tensor.name.decode() in rounded}
    for buffer, coarse in by_buffer.items():
        model.buffers[buffer].data = np.ascontiguousarray(coarse.values).view(np.uint8).ravel()
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        if tensor.buffer in by_buffer and _is_rounded(tensor):
            count = len(tensor.quantization.scale)
            tensor.quantization.scale = by_buffer[tensor.buffer].steps[: count if count > 1 else 1]
