"""int8: encoders with products in integers, decoders with weights in blocks of 8 bits."""

from edgepack.plan.coding import VALUES
from edgepack.plan.precision import (
    BLOCK,
    FEWEST_WEIGHTS,
    ONNX_DECODER,
    ONNX_ENCODER,
    TFLITE_DECODER,
    TFLITE_ENCODER,
    PrecisionFacts,
    Situation,
)
from edgepack.plan.runtime import runtime_facts
from edgepack.plan.steps import Quantize


def _onnx_encoder(situation: Situation) -> Quantize:
    recipe, cpu, family = situation.recipe, situation.profile.cpu, situation.teacher.family
    why = situation.why(situation.profile_reason("int8"))
    if recipe.activations == "static":
        why += " You asked for static scales: values beyond those of the calibration texts are clipped."
    if cpu.saturates_u8s8:
        why += f" Weights take 7 bits, because {cpu.part} adds u8 x s8 products in 16 bits, which would saturate."
    elif family.shared_layers:
        why += " Weights take 7 bits, because onnxruntime adds the products of matrices that layers share in 16 bits on some CPUs."
    if 0 < situation.teacher.labels * situation.teacher.hidden < FEWEST_WEIGHTS:
        why += f" The head stays in fp32: it has fewer than {FEWEST_WEIGHTS:,} weights."
    return Quantize(
        precision="int8",
        method=recipe.activations or "dynamic",
        reduce_range=cpu.saturates_u8s8 or family.shared_layers,
        smoothing=recipe.smoothing,
        sensitive=recipe.sensitive,
        embedding_bits=recipe.embedding_bits or 8,
        mean_bits=situation.bits,
        weights=recipe.weights,
        why=why + _grid(situation),
    )


def _grid(situation: Situation) -> str:
    """A sentence where integers are fewer than 8 bits allow."""
    if situation.recipe.weights is not None:
        return f" Each weight is {VALUES[situation.recipe.weights]} times a scale of its channel, as the training leaves it."
    if situation.bits is None:
        return ""
    return f" Integers are rounded to a grid that takes {situation.bits:g} bits a weight once it is coded."


def _onnx_decoder(situation: Situation) -> Quantize:
    """Not dynamic: that has one scale for all activations of a prompt, and breaks it."""
    reason = f"Weights take 8 bits with a scale for every {BLOCK}, so each token reads a quarter of fp32's bytes."
    bits = situation.recipe.embedding_bits or 8
    why = situation.why(reason) + _grid(situation)
    return Quantize(precision="int8", method="blockwise", block=BLOCK, embedding_bits=bits, mean_bits=situation.bits, why=why)


def _tflite(situation: Situation) -> Quantize:
    why, scales_apart = situation.why(situation.profile_reason("int8")), not runtime_facts(situation.runtime).scale_by_channel
    if scales_apart:
        why += " Scales of channels stand apart from their matrices: "
        why += f"with scales inside, {situation.runtime} answers wrongly without an error."
    return Quantize(
        precision="int8",
        scales_apart=scales_apart,
        mean_bits=situation.bits,
        weights=situation.recipe.weights,
        why=why + _grid(situation),
    )


FACTS = PrecisionFacts(
    name="int8",
    bytes_per_weight=1.0,
    is_integer=True,
    quantize={ONNX_ENCODER: _onnx_encoder, ONNX_DECODER: _onnx_decoder, TFLITE_ENCODER: _tflite, TFLITE_DECODER: _tflite},
    golden_tolerance=0.05,  # rounding moves an int8 step now and then
    wider="fp32",
    suggested_for=(ONNX_ENCODER, ONNX_DECODER, TFLITE_ENCODER, TFLITE_DECODER),
    in_blocks=(ONNX_DECODER,),
    blocks=(BLOCK,),  # of 64 the kernels are faster; activations are rounded by the same blocks, and lose more
    bytes_by_block=4.0,
    unpacked_to="int8",
    smooths_before_export=True,
    is_fast_in_browsers=True,
    narrow_embeddings=(ONNX_ENCODER,),  # no accuracy that 1,821 sentences show; a decoder's table is its head too, and loses more
    coarse={ONNX_ENCODER: 2.8, TFLITE_ENCODER: 2.8, ONNX_DECODER: 5.0},  # MiniLM loses 0.3 points there; a decoder's perplexity tells more
)
