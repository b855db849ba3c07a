"""The steps that write a TFLite file, each with its why; what cannot be written is refused before any work. Pure."""

from collections.abc import Iterator

from edgepack.choice import Choice, last_break
from edgepack.errors import EdgepackError
from edgepack.predict import BLOCK
from edgepack.profile import Profile
from edgepack.recipe import Recipe
from edgepack.steps import Export, Quantize, Step

OLD_RUNTIME = "tflite-runtime"  # 2.14, of 2023: its kernels with a scale for each channel answer wrongly and do not say so


def tflite_steps(profile: Profile, recipe: Recipe, choice: Choice, considered: list[Choice], runtime: str) -> Iterator[Step]:
    """Export and quantization for LiteRT or tflite-runtime."""
    _refuse(recipe, choice, runtime)
    tight = [broken for broken in choice.broken if broken.name in ("load_ms", "ram_mb") and runtime != OLD_RUNTIME]
    why = f"{runtime} {profile.runtimes[runtime].version} maps the file; a signature for each length that the data's texts are padded to"
    if tight:
        why += f"; the first start leaves a weight cache on the disk, for {' and '.join(map(str, tight))}"
    yield Export(format="tflite", weight_cache=bool(tight), why=why)
    if choice.precision != "fp32":
        yield _quantize(profile, recipe, choice, considered, runtime)


def _quantize(profile: Profile, recipe: Recipe, choice: Choice, considered: list[Choice], runtime: str) -> Quantize:
    why = profile.runtimes[runtime].precisions[choice.precision].why
    wider = [tried for tried in considered if tried.precision != choice.precision]
    if recipe.precision is not None:
        why = f"asked for; {why}"
    elif wider:
        why += f"; {wider[-1].precision} breaks {last_break(wider)}"
    if choice.precision == "int4":
        why += f"; a scale for every {BLOCK} weights, embeddings in 8 bits"
        return Quantize(precision="int4", method="blockwise", block=BLOCK, why=why)
    if runtime == OLD_RUNTIME:
        why += f"; one scale for each matrix: with one for each channel {runtime} computes nonsense without a word"
    return Quantize(precision="int8", per_tensor=runtime == OLD_RUNTIME, why=why)


def _refuse(recipe: Recipe, choice: Choice, runtime: str) -> None:
    if runtime == OLD_RUNTIME and choice.precision not in ("fp32", "int8"):
        raise EdgepackError(f"{runtime} has no {choice.precision} kernels", "use --precision int8 or fp32")
    given = {
        f"--smoothing {recipe.smoothing}": recipe.smoothing is not None,
        f"--sensitive {recipe.sensitive}": recipe.sensitive is not None,
        f"--activations {recipe.activations}": recipe.activations == "static",
        "--embedding-bits 4": recipe.embedding_bits == 4,
        "--no-prepack": recipe.prepack is False,
    }
    for wish in [wish for wish, is_given in given.items() if is_given]:
        raise EdgepackError(
            f"{wish} is for ONNX files: in TFLite every token's activations have a scale of their own, embeddings 8 bits, and LiteRT packs",
            f"leave {wish} out, or use --format onnx",
        )
