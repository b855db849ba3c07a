"""How many matrix products of a finished file run in which precision, whatever its format."""

from pathlib import Path

from edgepack.pack.runnable import Runnable


def products_of(folder: Path, runnable: Runnable) -> dict[str, int]:
    if runnable.buckets:
        from edgepack.export.tflite_graph import count_products as count
    elif runnable.score_model:
        from edgepack.quantize.onnx_blockwise import count_blockwise as count
    else:
        from edgepack.quantize.onnx_quantization import count_products as count
    return count(folder / runnable.model)
