"""Lists a finished file's matrix products and stored bytes by precision, in any format."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_INT8 = ("MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")
_FLOAT = ("MatMul", "Gemm", "FusedGemm", "FusedMatMul")
_LAYOUT = ("Transpose", "Reshape", "Identity", "Cast")  # between a stored weight and the product that reads it
_BITS = {"INT4": 4, "UINT4": 4, "FLOAT": 32, "DOUBLE": 64, "FLOAT16": 16, "BFLOAT16": 16, "INT8": 8, "UINT8": 8}


@dataclass(frozen=True)
class Product:
    """A matrix product with a stored weight. layer: the node, named after its module; weight: the stored tensor, `values` of them.

    precision: what it multiplies in; `fp16` where fp16 is what is stored and fp32 what is computed.
    """

    op: str
    layer: str
    weight: str
    precision: str
    values: int
    axes: int = 2


def matrix_products(file: Path) -> list[Product]:
    """Every matrix product of a model file, in the file's order: its op, layer, weights and precision."""
    if file.suffix == ".tflite":
        from edgepack.export.tflite_graph import products_of

        return [Product(*fields) for fields in products_of(file)]
    return _of_onnx(file)


def count_matrix_products(file: Path) -> dict[str, int]:
    """Matrix products with a stored weight by precision; what a file has none of is left out, but for `int8` and `float`."""
    counts = Counter(product.precision for product in matrix_products(file))
    order = ("int8", "int4", "fp16", "float")
    return {kind: counts[kind] for kind in order if counts[kind] or kind in ("int8", "float")}


def stored_bytes(file: Path) -> dict[str, int]:
    """Bytes of matrices and tables in the file by precision, without the scales of those in integers."""
    if file.suffix == ".tflite":
        from edgepack.export.tflite_graph import bytes_of_weights

        return bytes_of_weights(file)
    import onnx

    kinds = {"INT8": "int8", "UINT8": "int8", "INT4": "int4", "UINT4": "int4", "FLOAT16": "fp16", "FLOAT": "float"}
    graph = onnx.load(file, load_external_data=False).graph
    four_bits = {name for node in graph.node if _bits(node) == 4 for name in node.input}
    counts: Counter[str] = Counter()
    counted = set()
    for tensor in graph.initializer:
        place = tuple(entry.value for entry in tensor.external_data if entry.key in ("location", "offset")) or tensor.name
        name = onnx.TensorProto.DataType.Name(tensor.data_type)
        if name not in kinds or len(tensor.dims) < 2 or place in counted or ".scales" in tensor.name or tensor.name.endswith("/scale"):
            continue
        counted.add(place)  # two ops may read one tensor under two names
        kind = "int4" if tensor.name in four_bits and kinds[name] == "int8" else kinds[name]
        counts[kind] += int(np.prod(tensor.dims)) * _BITS[name] // 8
    return dict(counts)


def _of_onnx(file: Path) -> list[Product]:
    import onnx

    graph = onnx.load(file, load_external_data=False).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:  # in the order that they run in: a weight may pass through several
        if node.op_type in _LAYOUT and node.input[0] in stored:
            stored |= dict.fromkeys(node.output, stored[node.input[0]])
    products = []
    for node in graph.node:
        weights = [stored[name] for name in node.input[:2] if name in stored]
        if node.op_type in _FLOAT and weights:
            half = weights[-1].data_type == onnx.TensorProto.FLOAT16
            kind = "fp16" if half else "float"
        elif node.op_type in _INT8 or node.op_type == "MatMulNBits":
            kind = f"int{_bits(node) or 8}"
        else:
            continue
        weight = weights[-1] if weights else None
        sizes = (weight.name, kind, int(np.prod(weight.dims)), len(weight.dims)) if weight else ("", kind, 0, 2)
        products.append(Product(node.op_type, node.name or node.output[0], *sizes))
    return products


def _bits(node: object) -> int | None:
    return next((attribute.i for attribute in node.attribute if attribute.name == "bits"), None)
