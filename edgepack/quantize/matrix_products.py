"""How many matrix products of a finished file run in which precision, whatever its format."""

from collections import Counter
from pathlib import Path

_INT8 = ("MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")
_FLOAT = ("MatMul", "Gemm", "FusedGemm", "FusedMatMul")


def count_matrix_products(file: Path) -> dict[str, int]:
    """Matrix products with a stored weight by precision; `int4` is left out where the file has no blocks."""
    if file.suffix == ".tflite":
        from edgepack.export.tflite_graph import count_products

        return count_products(file)
    return _count_in_onnx(file)


def _count_in_onnx(file: Path) -> dict[str, int]:
    import onnx

    graph = onnx.load(file, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    kinds = Counter(node.op_type for node in graph.node)
    blocks = Counter(onnx.helper.get_node_attr_value(node, "bits") for node in graph.node if node.op_type == "MatMulNBits")
    counts = {"int8": sum(kinds[kind] for kind in _INT8) + blocks[8]} | ({"int4": blocks[4]} if blocks else {})
    return counts | {"float": sum(node.op_type in _FLOAT and bool(weights & set(node.input[1:2])) for node in graph.node)}
