"""ONNX fp32 to int8: activations u8 and dynamic, weights s8 and symmetric per channel, embeddings s8."""

import logging
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from edgepack.steps import Quantize

_INT8_PRODUCTS = ("MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")


def quantize_onnx(source: Path, step: Quantize, target: Path) -> None:
    """Writes `target`, one file. u8 x s8 has fast kernels on x86 and on ARM; s8 x s8 is many times slower on x86."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # onnxruntime advises pre-processing, which the export has done
    try:
        quantize_dynamic(
            onnx.load(source),  # given a path, onnxruntime writes a file of its own beside it
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=step.reduce_range,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT, "WeightSymmetric": True},
        )
    finally:
        root.setLevel(level)


def count_products(model: Path) -> dict[str, int]:
    """Matrix products with a weight: how many run in int8, and how many were left in float."""
    graph = onnx.load(model, load_external_data=False).graph
    weights = {initializer.name for initializer in graph.initializer}
    int8 = sum(node.op_type in _INT8_PRODUCTS for node in graph.node)
    left = sum(node.op_type in ("MatMul", "Gemm", "FusedGemm") and bool(weights & set(node.input[1:2])) for node in graph.node)
    return {"int8": int8, "float": left}
