"""The steps that write a TFLite file, each with its why; what cannot be written is refused before any work. Pure."""

from collections.abc import Iterator

from edgepack.core.errors import EdgepackError
from edgepack.plan.choice import Choice, last_break
from edgepack.plan.cost_model import BLOCK, tflite_cache
from edgepack.plan.profile import Budget, Profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.runtime import runtime_facts
from edgepack.plan.steps import Export, Quantize, Step

# Of activations: measured on SmolLM2, and on MiniLM, whose norms alone are evened out; see benchmarks/RESULTS.md.
_DECODER_SMOOTHING, _ENCODER_SMOOTHING = 0.7, 0.5
_SIGNATURES = 4  # the most that a file has; without the cache LiteRT packs the weights for each


def tflite_steps(profile: Profile, recipe: Recipe, choice: Choice, considered: list[Choice], runtime: str) -> Iterator[Step]:
    """Export and quantization for the runtimes of TFLite files."""
    _refuse(recipe, choice, runtime)
    if choice.student.decodes:
        yield _decoder_export(profile, recipe, choice, runtime)
        if choice.precision != "fp32":
            yield _quantize(profile, recipe, choice, considered, runtime)
        return
    tight = list(_tight(choice, profile.budget.overridden_by(recipe.budget))) if runtime_facts(runtime).keeps_weight_cache else []
    why = f"{runtime} {profile.runtimes[runtime].version} maps the file; a signature for each length that the data's texts are padded to"
    if tight:
        why += f"; the first start leaves a weight cache on the disk, for {' and '.join(tight)}"
    smoothing, told = _smoothing(recipe, choice, _ENCODER_SMOOTHING)
    yield Export(format="tflite", weight_cache=bool(tight), smoothing=smoothing, why=why + told)
    if choice.precision != "fp32":
        yield _quantize(profile, recipe, choice, considered, runtime)


def _decoder_export(profile: Profile, recipe: Recipe, choice: Choice, runtime: str) -> Export:
    positions = tflite_cache(choice.student.positions, recipe.length + 1, recipe.max_length)
    smoothing, told = _smoothing(recipe, choice, _DECODER_SMOOTHING)
    why = f"{runtime} {profile.runtimes[runtime].version} maps the file; a cache of {positions:,} tokens, as shapes are fixed "
    why += "(--max-length makes it longer); the first start leaves packed weights on the disk, which prompts and tokens then share"
    return Export(format="tflite", weight_cache=True, positions=positions, smoothing=smoothing, why=why + told)


def _smoothing(recipe: Recipe, choice: Choice, strength: float) -> tuple[float | None, str]:
    """The user's or ours, and a why; none where activations stay in float, and where no texts tell what is large."""
    wished = strength if recipe.smoothing is None else recipe.smoothing
    if choice.precision != "int8" or not wished or recipe.data is None:
        return None, ""
    return wished, f"; activations evened out by {wished:g} before they are rounded"


def _tight(choice: Choice, budget: Budget) -> Iterator[str]:
    """What a weight cache is kept for: a load over its budget, or memory over its own once every signature has packed the weights."""
    yield from (str(broken) for broken in choice.broken if broken.name == "load_ms")
    found = choice.prediction
    all_packed_mb = found.file_mb + _SIGNATURES * (found.ram_mb - found.file_mb)
    if budget.ram_mb and all_packed_mb > budget.ram_mb:
        yield f"ram_mb: predicted up to {all_packed_mb:.0f} where {_SIGNATURES} signatures pack weights each, limit {budget.ram_mb:g}"


def _quantize(profile: Profile, recipe: Recipe, choice: Choice, considered: list[Choice], runtime: str) -> Quantize:
    why = profile.runtimes[runtime].precisions[choice.precision].why
    wider = [tried for tried in considered if tried.precision != choice.precision]
    if recipe.precision is not None:
        why = f"asked for; {why}"
    elif wider:
        why += f"; {wider[-1].precision} breaks {last_break(wider)}"
    if choice.precision == "int4":
        why += f"; a scale for every {BLOCK} weights, embeddings and a decoder's head in 8 bits"
        return Quantize(precision="int4", method="blockwise", block=BLOCK, why=why)
    scales_apart = not runtime_facts(runtime).scale_by_channel
    if scales_apart:
        why += f"; scales of channels apart from the matrices: from those in them {runtime} computes nonsense without a word"
    return Quantize(precision="int8", scales_apart=scales_apart, why=why)


def _refuse(recipe: Recipe, choice: Choice, runtime: str) -> None:
    if choice.precision not in runtime_facts(runtime).kernels:
        raise EdgepackError(
            f"{runtime} has no {choice.precision} kernels", f"use --precision {' or '.join(reversed(runtime_facts(runtime).kernels))}"
        )
    given = {
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
