"""Adapts an int8 file to tflite-runtime 2.14, and refuses files that this release would compute wrongly.

Its kernels know one scale for a matrix. So the scales of channels are applied after the product:

    y = x @ (integers * scales) + bias     becomes     y = (x @ integers * largest) * (scales / largest) + bias

That is the same sum, term by term. Inputs are rounded with a zero point, as LiteRT always does: that runtime leaves it out
unless the file asks for it, and then loses one bit of the outputs of GELU and softmax.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.export.tflite_graph import all_weights

_INT8, _FLOAT32, _NONE = 9, 0, -1  # types of tensors; an input that is left out


def factor_scales(model: Any) -> None:
    """Changes a model as tflite_file reads it, in place; its signatures share what is added."""
    from ai_edge_litert import schema_py_generated as schema

    stored: dict[bytes, int] = {}

    def constant(values: np.ndarray) -> int:
        data = np.ascontiguousarray(values, np.float32).tobytes()
        if data not in stored:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data, np.uint8)
            model.buffers.append(buffer)
            stored[data] = len(model.buffers) - 1
        return stored[data]

    kinds = schema.BuiltinOperator
    rewrites = {kinds.FULLY_CONNECTED: _product, kinds.EMBEDDING_LOOKUP: _lookup}
    for graph in model.subgraphs:
        edit = _Edit(model, graph, constant)
        operators = []
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            rewrite = rewrites.get(max(code.builtinCode, code.deprecatedBuiltinCode))
            is_int8 = rewrite and graph.tensors[operator.inputs[1]].type == _INT8
            operators += rewrite(edit, operator) if is_int8 else [operator]
        graph.operators = operators


def _product(edit: "_Edit", operator: Any) -> Iterator[Any]:
    operator.builtinOptions.asymmetricQuantizeInputs = True
    relative = edit.relative_scales(operator.inputs[1])
    yield operator
    if relative is None:
        return
    if operator.builtinOptions.fusedActivationFunction:
        raise ValueError("scales cannot follow an activation")
    (output,), bias = operator.outputs, operator.inputs[2] if len(operator.inputs) > 2 else _NONE
    operator.inputs = [*operator.inputs[:2], _NONE]
    operator.outputs = [edit.tensor_like(output, "product")]
    scales = edit.tensor("scales", relative.shape, relative)
    if bias == _NONE:
        yield edit.binary("MUL", operator.outputs[0], scales, output)
        return
    scaled = edit.tensor_like(output, "scaled")
    yield edit.binary("MUL", operator.outputs[0], scales, scaled)
    yield edit.binary("ADD", scaled, bias, output)


def _lookup(edit: "_Edit", operator: Any) -> Iterator[Any]:
    """The rows' scales are a table of their own, looked up by the same ids."""
    relative = edit.relative_scales(operator.inputs[1])
    if relative is None:
        yield operator
        return
    (output,), ids = operator.outputs, operator.inputs[0]
    operator.outputs = [edit.tensor_like(output, "row")]
    yield operator
    table = edit.tensor("scales", (len(relative), 1), relative)
    scales = edit.tensor("scale", (*edit.shape(output)[:-1], 1))
    yield edit.same_kind(operator, [ids, table], [scales])
    yield edit.binary("MUL", operator.outputs[0], scales, output)


class _Edit:
    """Adds tensors and ops to one graph. constant: the index of a buffer that holds an array."""

    def __init__(self, model: Any, graph: Any, constant: Callable[[np.ndarray], int]) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.model, self.graph, self.constant, self.schema = model, graph, constant, schema
        self._relative: dict[int, np.ndarray | None] = {}

    def relative_scales(self, weight: int) -> np.ndarray | None:
        """Leaves the largest of a weight's scales; returns all of them over that one, or None where there was one already."""
        if weight not in self._relative:  # a head may read the embeddings' own table
            quantization = self.graph.tensors[weight].quantization
            scales = np.asarray(quantization.scale, np.float32)
            quantization.scale, quantization.zeroPoint, quantization.quantizedDimension = [float(scales.max())], [0], 0
            self._relative[weight] = scales / scales.max() if len(scales) > 1 and np.ptp(scales) else None
        return self._relative[weight]

    def shape(self, tensor: int) -> list[int]:
        return [int(size) for size in self.graph.tensors[tensor].shape]

    def tensor_like(self, other: int, name: str) -> int:
        return self.tensor(f"{self.graph.tensors[other].name.decode()}_{name}", self.shape(other))

    def tensor(self, name: str, shape: tuple[int, ...] | list[int], values: np.ndarray | None = None) -> int:
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), list(shape), _FLOAT32
        tensor.buffer = 0 if values is None else self.constant(values)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def binary(self, kind: str, left: int, right: int, output: int) -> Any:
        operator = self.schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self._code(kind), [left, right], [output]
        options = {"ADD": "AddOptions", "MUL": "MulOptions"}[kind]
        operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(self.schema, f"{options}T")()
        return operator

    def same_kind(self, other: Any, inputs: list[int], outputs: list[int]) -> Any:
        operator = self.schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = other.opcodeIndex, inputs, outputs
        return operator

    def _code(self, kind: str) -> int:
        wanted = getattr(self.schema.BuiltinOperator, kind)
        for index, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == wanted:
                return index
        code = self.schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = wanted
        code.version = 1
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1


def refuse_for_old_runtime(file: Path) -> None:
    """EdgepackError where tflite-runtime 2.14 would answer wrongly, or not at all: by what stands in the file, not by what was asked."""
    fix = "build the model again for tflite-runtime: this file must not be shipped there"
    for weight in all_weights(file):
        name, place = f"{weight.op} of {file.name}", weight.scope[-80:]
        if weight.type not in ("INT8", "FLOAT32", "INT32", "INT64", "BOOL"):
            raise EdgepackError(f"{name} reads {weight.type}, which tflite-runtime 2.14 has no kernels for", "use int8")
        if weight.type != "INT8" or weight.op == "DEQUANTIZE":  # which is right, and leaves the product in float
            continue
        if weight.scales != 1:
            problem = f"{name} has {weight.scales} scales for one matrix: tflite-runtime 2.14 computes wrong values from them"
            raise EdgepackError(f"{problem} ({place})", fix)
        if weight.op == "FULLY_CONNECTED" and not weight.asymmetric_inputs:
            problem = f"{name} does not ask for a zero point of its inputs: without it tflite-runtime 2.14 gives other answers than LiteRT"
            raise EdgepackError(f"{problem} ({place})", fix)
