"""int4: weights in blocks of 4 bits, embeddings and a decoder's head in 8. It pays for decoders, which read every weight for each token."""

from edgepack.plan.precision import BLOCK, ONNX_DECODER, ONNX_ENCODER, TFLITE_DECODER, TFLITE_ENCODER, PrecisionFacts, Situation
from edgepack.plan.steps import Quantize


def _onnx_decoder(situation: Situation) -> Quantize:
    recipe, bits = situation.recipe, situation.recipe.embedding_bits or 8
    block = FACTS.block_of(situation.student.hidden)
    reason = (
        f"Weights take 4 bits (head and embeddings: {bits}) with a scale for every {block}, so each token reads a sixth of fp32's bytes."
    )
    return Quantize(
        precision="int4",
        method="blockwise",
        block=block,
        asymmetric=True,
        sensitive=recipe.sensitive,
        embedding_bits=bits,
        why=situation.why(reason),
    )


def _tflite(situation: Situation) -> Quantize:
    why = situation.why(situation.profile_reason("int4"))
    why += f" Every {BLOCK} weights share a scale; embeddings and a decoder's head take 8 bits."
    return Quantize(precision="int4", method="blockwise", block=BLOCK, why=why)


FACTS = PrecisionFacts(
    name="int4",
    bytes_per_weight=0.56,  # block-32 scales beside the nibbles
    is_integer=True,
    quantize={ONNX_DECODER: _onnx_decoder, TFLITE_ENCODER: _tflite, TFLITE_DECODER: _tflite},
    golden_tolerance=0.05,
    wider="int8",
    refusals={
        ONNX_ENCODER: "int4 is for decoders, which read every weight for each token: {task} in int4 is as slow as in fp32",
    },
    only_when_asked=(
        TFLITE_ENCODER,
        TFLITE_DECODER,
    ),  # an encoder is no faster, a decoder loses more than in int8
    suggested_for=(ONNX_DECODER, TFLITE_DECODER),
    in_blocks=(ONNX_DECODER,),
    blocks=(2 * BLOCK, BLOCK),  # with as good a perplexity wider ones are smaller and faster (RESULTS.md, Decoders in 4 bits)
    bytes_by_block=4.5,
    unpacked_to="int8",
    keeps_sensitive_layers=True,
)
