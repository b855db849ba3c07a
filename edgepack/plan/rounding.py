"""What quantization-aware training sees: how the plan's int8, or a decoder's int4, will round. Pure."""

from edgepack.core.errors import EdgepackError
from edgepack.plan.precision import TFLITE_DECODER, FileKind
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import ModelShape
from edgepack.plan.steps import BlockRounding, Quantize, Rounding

_INT8, _INT7 = 127, 63  # the largest integers


def rounding_of(recipe: Recipe, teacher: ModelShape, quantize: Quantize | None, kind: FileKind) -> Rounding | BlockRounding | None:
    """None where it was not asked for. kind: of the file. EdgepackError: nothing is rounded so, or nothing can be trained."""
    if not recipe.quantization_aware:
        return None
    if recipe.data is None:
        raise EdgepackError("--quantization-aware needs data to learn from", "give --data, a file or folder of texts")
    if recipe.training.epochs == 0:
        raise EdgepackError("--quantization-aware with --epochs 0 would learn nothing", "give at least --epochs 1")
    if recipe.training.training_precision == "bf16":
        raise EdgepackError(
            "--quantization-aware with --training-precision bf16 would round the weights once more than the shipped file does",
            "leave --training-precision out: it is trained in fp32",
        )
    if teacher.decodes:
        return _in_blocks(recipe, quantize, kind)
    if quantize is None or not quantize.rounds_activations:
        raise EdgepackError(
            "--quantization-aware trains for int8, and the plan does not round the model's products", "give --precision int8 too"
        )
    if recipe.smoothing:
        raise EdgepackError(
            f"--smoothing {recipe.smoothing:g} moves weights off the grid that --quantization-aware trains them on", "leave one of them out"
        )
    largest = _INT7 if quantize.reduce_range else _INT8
    return Rounding(bits=quantize.mean_bits, largest=largest, activations=True, weights=quantize.weights)


def _in_blocks(recipe: Recipe, quantize: Quantize | None, kind: FileKind) -> BlockRounding:
    if quantize is None or not quantize.in_blocks or quantize.bits != 4:
        raise EdgepackError(
            "--quantization-aware trains a text-generation model for blocks of 4 bits, and the plan does not round to them",
            "give --precision int4 too, or leave it out: 8 bits in blocks lose little that a training could win back",
        )
    if quantize.embedding_bits == 4:
        raise EdgepackError(
            "--embedding-bits 4 rounds head and embeddings, which --quantization-aware does not train in a text-generation model",
            "leave one of them out",
        )
    return BlockRounding(
        bits=quantize.bits,
        block=quantize.block,
        asymmetric=quantize.asymmetric,
        bf16=kind == TFLITE_DECODER,
    )
