"""fp32: weights as they were trained. An export is in it already."""

from edgepack.plan.precision import ONNX_DECODER, ONNX_ENCODER, TFLITE_DECODER, TFLITE_ENCODER, PrecisionFacts

FACTS = PrecisionFacts(
    name="fp32",
    bytes_per_weight=4.0,
    is_integer=False,
    quantize=dict.fromkeys((ONNX_ENCODER, ONNX_DECODER, TFLITE_ENCODER, TFLITE_DECODER)),
    golden_tolerance=1e-3,
    counted_as="float",
)
