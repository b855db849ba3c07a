"""Reads a TFLite file: its ops, the precision of its products, and its per-channel weights, without copying weights."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_PRODUCTS = ("FULLY_CONNECTED", "CONV_2D", "BATCH_MATMUL")


@dataclass(frozen=True)
class Weight:
    """A constant that an op reads. scope: what the op makes. scales: how many it has, 0 in float; block: weights that share one.

    asymmetric_inputs: whether the product asks for a zero point where it rounds its other input.
    """

    op: str
    scope: str
    type: str
    shape: tuple[int, ...]
    scales: int
    block: int
    asymmetric_inputs: bool = False


def ops_of(file: Path) -> Counter[str]:
    """Ops of the first signature, by name; those that are not builtin as CUSTOM:<name>."""
    model = _read(file)
    return Counter(_name(model, operator) for operator in _operators(model.Subgraphs(0)))


def foreign_ops(file: Path) -> list[str]:
    """Ops that a plain LiteRT does not have."""
    model = _read(file)
    return sorted({name for code in _codes(model) if (name := _code_name(code)).startswith(("CUSTOM", "STABLEHLO"))})


def all_weights(file: Path) -> Iterator[Weight]:
    """Those of every signature, again and again where they share them."""
    for subgraph in range(_read(file).SubgraphsLength()):
        yield from weights_of(file, subgraph)


def weights_of(file: Path, subgraph: int = 0) -> Iterator[Weight]:
    """Constants of two and more axes that the ops of a signature read, in the order of its ops."""
    model = _read(file)
    graph = model.Subgraphs(subgraph)
    types = _names("TensorType")
    for operator in _operators(graph):
        for index in operator.InputsAsNumpy() if operator.InputsLength() else ():
            tensor = graph.Tensors(index) if index >= 0 else None
            if tensor is None or tensor.ShapeLength() < 2 or not _is_constant(model, tensor):
                continue
            scales, block = _scales(tensor)
            shape = tuple(int(size) for size in tensor.ShapeAsNumpy())
            output = graph.Tensors(operator.Outputs(0)).Name().decode()
            yield Weight(_name(model, operator), output, types[tensor.Type()], shape, scales, block, _asymmetric(operator))


def products_of(file: Path) -> list[tuple[str, str, str, str, int, int]]:
    """Matrix products with a weight in one signature: op, what it makes, its weight, precision, values of the weight, its axes.

    A weight in integers that is turned back to float before it is multiplied with counts as float.
    """
    model = _read(file)
    graph, types = model.Subgraphs(0), _names("TensorType")
    floats = {}
    foreign = []
    for operator in _operators(graph):
        name = _name(model, operator)
        inputs = [int(index) for index in operator.InputsAsNumpy()] if operator.InputsLength() else []
        if name in ("DEQUANTIZE", "TRANSPOSE", "RESHAPE") and _is_constant(model, graph.Tensors(inputs[0])):
            floats[int(operator.Outputs(0))] = graph.Tensors(inputs[0])
        if name not in _PRODUCTS:
            continue
        for index in inputs[:2]:
            tensor = floats.get(index, graph.Tensors(index)) if index >= 0 else None
            if tensor is None or tensor.ShapeLength() < 2 or not _is_constant(model, tensor):
                continue
            kind = {"INT8": "int8", "INT4": "int4"}.get(types[tensor.Type()], "float") if index not in floats else "float"
            output = graph.Tensors(operator.Outputs(0)).Name().decode()
            values = int(np.prod(tensor.ShapeAsNumpy()))
            foreign.append((name, output, tensor.Name().decode(), kind, values, int(tensor.ShapeLength())))
    return foreign


def bytes_of_weights(file: Path) -> dict[str, int]:
    """Bytes of constants of two and more axes by precision, each stored once."""
    model = _read(file)
    types, kinds = _names("TensorType"), {"INT8": "int8", "INT4": "int4", "FLOAT16": "fp16", "FLOAT32": "float"}
    bits = {"INT8": 8, "INT4": 4, "FLOAT16": 16, "FLOAT32": 32}
    weights: dict[int, tuple[str, int]] = {}
    for at in range(model.SubgraphsLength()):
        graph = model.Subgraphs(at)
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            name = types[tensor.Type()]
            if name in kinds and tensor.ShapeLength() > 1 and _is_constant(model, tensor):
                weights[tensor.Buffer()] = (kinds[name], int(np.prod(tensor.ShapeAsNumpy())) * bits[name] // 8)
    counts: Counter[str] = Counter()
    for kind, size in weights.values():
        counts[kind] += size
    return dict(counts)


def _asymmetric(operator: Any) -> bool:
    if operator.BuiltinOptionsType() != _schema().BuiltinOptions.FullyConnectedOptions:
        return False
    options = _schema().FullyConnectedOptions()
    options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
    return bool(options.AsymmetricQuantizeInputs())


def _scales(tensor: Any) -> tuple[int, int]:
    quantization = tensor.Quantization()
    if quantization is None:
        return 0, 0
    if quantization.DetailsType():  # blockwise: the scales are a tensor of their own
        details = _schema().BlockwiseQuantization()
        details.Init(quantization.Details().Bytes, quantization.Details().Pos)
        return -1, int(details.BlockSize())
    return int(quantization.ScaleLength()), 0


def _is_constant(model: Any, tensor: Any) -> bool:
    buffer = model.Buffers(tensor.Buffer())
    return bool(tensor.Buffer() and (buffer.DataLength() or buffer.Size()))


def _operators(graph: Any) -> Iterator[Any]:
    return (graph.Operators(index) for index in range(graph.OperatorsLength()))


def _codes(model: Any) -> Iterator[Any]:
    return (model.OperatorCodes(index) for index in range(model.OperatorCodesLength()))


def _name(model: Any, operator: Any) -> str:
    return _code_name(model.OperatorCodes(operator.OpcodeIndex()))


def _code_name(code: Any) -> str:
    names = _names("BuiltinOperator")
    name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
    return f"CUSTOM:{code.CustomCode().decode()}" if name == "CUSTOM" else name


def _names(enum: str) -> dict[int, str]:
    return {value: name for name, value in vars(getattr(_schema(), enum)).items() if isinstance(value, int)}


def _schema() -> Any:
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def _read(file: Path) -> Any:
    return _schema().Model.GetRootAsModel(np.memmap(file, dtype=np.uint8, mode="r"), 0)
