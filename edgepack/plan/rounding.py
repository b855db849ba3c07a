"""What quantization-aware training sees: how the plan's int8 will round. Pure."""

from edgepack.core.errors import EdgepackError
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import ModelShape
from edgepack.plan.steps import Quantize, Rounding

_INT8, _INT7 = 127, 63  # the largest integers


def rounding_of(recipe: Recipe, teacher: ModelShape, quantize: Quantize | None) -> Rounding | None:
    """None where it was not asked for. EdgepackError: nothing is in int8, or nothing can be trained."""
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
        raise EdgepackError(
            f"--quantization-aware: a model for {teacher.task} has its weights in blocks, which are rounded by GPTQ and not in training",
            "leave it out for text-generation",
        )
    if quantize is None or not quantize.rounds_activations:
        raise EdgepackError(
            "--quantization-aware trains for int8, and the plan does not round the model's products", "give --precision int8 too"
        )
    if recipe.smoothing:
        raise EdgepackError(
            f"--smoothing {recipe.smoothing:g} moves weights off the grid that --quantization-aware trains them on", "leave one of them out"
        )
    return Rounding(bits=quantize.mean_bits, largest=_INT7 if quantize.reduce_range else _INT8, activations=True)
