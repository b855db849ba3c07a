"""fp16: weights stored in half the bytes, products computed in fp32. For encoders in ONNX."""

from edgepack.plan.precision import ONNX_DECODER, ONNX_ENCODER, TFLITE_DECODER, TFLITE_ENCODER, PrecisionFacts, Situation
from edgepack.plan.steps import Quantize

_SLOWER_IN_TFLITE = "fp16 on a CPU makes a TFLite pack slower and its memory larger"


def _stored(situation: Situation) -> Quantize:
    return Quantize(precision="fp16", method="storage", why=situation.why(situation.profile_reason("fp16")))


FACTS = PrecisionFacts(
    name="fp16",
    bytes_per_weight=2.0,
    is_integer=False,
    quantize={ONNX_ENCODER: _stored},
    golden_tolerance=1e-3,
    computed_in="fp32",
    refusals={
        ONNX_DECODER: "fp16 is for encoders: a decoder reads every weight for each token, so fewer bits are faster",
        TFLITE_ENCODER: _SLOWER_IN_TFLITE,
        TFLITE_DECODER: _SLOWER_IN_TFLITE,
    },
)
