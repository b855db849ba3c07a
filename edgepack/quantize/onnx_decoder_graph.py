"""What quantization asks of an exported decoder's graph: its matrix products, their grids, and the inputs of a run over one text."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import NodeProto

from edgepack.pack.runnable import CacheLayer
from edgepack.plan.steps import Quantize
from edgepack.quantize.blocks import Grid
from edgepack.tasks.common.task import Features

_PRODUCTS = ("MatMul", "FusedMatMul")  # the second is the head, which reads its matrix as the embeddings do


def products_in(graph: onnx.ModelProto) -> list[NodeProto]:
    """Matrix products with a stored weight."""
    weights = {tensor.name for tensor in graph.graph.initializer}
    return [node for node in graph.graph.node if node.op_type in _PRODUCTS and node.input[1] in weights]


def matrix_of(node: NodeProto, weight: np.ndarray) -> np.ndarray:
    """The product's weight as [outputs, inputs]."""
    return weight if node.op_type == "FusedMatMul" else weight.T


def grid_of(step: Quantize, is_table: bool) -> Grid:
    """The grid that a step asks for: of the head and the embeddings, or of the other products."""
    if is_table:
        return Grid(step.embedding_bits, step.block)
    return Grid(step.bits, step.block, step.asymmetric)


def feeds_for(session: onnxruntime.InferenceSession, text: Features, cache: Sequence[CacheLayer]) -> dict[str, np.ndarray]:
    """Inputs of one run over a whole text, with an empty cache."""
    ids = np.array([text.ids], np.int64)
    values = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for layer in cache:
        for part in ("key", "value"):
            values[f"past_key_values.{layer.layer}.{part}"] = np.zeros((1, layer.heads, 0, layer.head_size), np.float32)
    return {value.name: values[value.name] for value in session.get_inputs()}
