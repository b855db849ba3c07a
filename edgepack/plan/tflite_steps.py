"""The step that exports to TFLite, with its why; what cannot be written is refused before any work. Pure."""

from edgepack.core.errors import EdgepackError
from edgepack.plan.choice_record import Choice
from edgepack.plan.cost_model import held_positions
from edgepack.plan.precision import precision_facts
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.runtime import runtime_facts
from edgepack.plan.steps import Export
from edgepack.plan.weight_cache import WISHED_CACHE, refuse_weight_cache

# Of activations: measured on SmolLM2, and on MiniLM, where only what norms give is smoothed; see benchmarks/RESULTS.md.
_DECODER_SMOOTHING, _ENCODER_SMOOTHING = 0.7, 0.5


def tflite_export(profile: Profile, recipe: Recipe, choice: Choice, runtime: str) -> Export:
    """The export for the runtimes of TFLite files."""
    _refuse(recipe, choice, runtime)
    if choice.student.decodes:
        return _decoder_export(profile, recipe, choice, runtime)
    can_keep = runtime_facts(runtime).keeps_weight_cache and recipe.weight_cache is not False
    tight = [str(broken) for broken in choice.broken if broken.name == "load_ms" and can_keep]
    why = f"{runtime} {profile.runtimes[runtime].version} maps the file. It has a signature for each length that texts are padded to."
    if recipe.weight_cache:
        why += WISHED_CACHE
    elif tight:
        why += f" The first start leaves a weight cache on the disk; without it, it would need {' and '.join(tight)}."
    smoothing, note = _smoothing(recipe, choice, _ENCODER_SMOOTHING)
    return Export(format="tflite", weight_cache=bool(recipe.weight_cache or tight), smoothing=smoothing, why=why + note)


def _decoder_export(profile: Profile, recipe: Recipe, choice: Choice, runtime: str) -> Export:
    positions = held_positions(choice.student.positions, recipe.length + 1, recipe.max_length)
    smoothing, note = _smoothing(recipe, choice, _DECODER_SMOOTHING)
    why = f"{runtime} {profile.runtimes[runtime].version} maps the file. Its cache holds {positions:,} tokens, because shapes are fixed "
    why += "(--max-length makes it longer)."
    is_kept = recipe.weight_cache is not False
    why += " The first start leaves packed weights on the disk, which prompts and tokens share." if is_kept else ""
    return Export(format="tflite", weight_cache=is_kept, positions=positions, smoothing=smoothing, why=why + note)


def _smoothing(recipe: Recipe, choice: Choice, strength: float) -> tuple[float | None, str]:
    """The user's or ours, and a why; none where activations stay in float, and where no texts tell what is large."""
    wished = strength if recipe.smoothing is None else recipe.smoothing
    if not precision_facts(choice.precision).smooths_before_export or not wished or recipe.data is None:
        return None, ""
    return wished, f" Activations are smoothed by {wished:g} before they are rounded."


def _refuse(recipe: Recipe, choice: Choice, runtime: str) -> None:
    refuse_weight_cache(recipe, runtime)
    kernels = runtime_facts(runtime).kernels
    if kernels is not None and choice.precision not in kernels:
        raise EdgepackError(f"{runtime} has no {choice.precision} kernels", f"use --precision {' or '.join(reversed(kernels))}")
    given = {
        f"--sensitive {recipe.sensitive}": recipe.sensitive is not None,
        f"--activations {recipe.activations}": recipe.activations == "static",
        "--embedding-bits 4": recipe.embedding_bits == 4,
        "--no-prepack": recipe.prepack is False,
        "--batch": recipe.batch,
    }
    for wish in [wish for wish, is_given in given.items() if is_given]:
        raise EdgepackError(
            f"{wish} is for ONNX files: in TFLite each token's activations have a scale, embeddings take 8 bits, the runtime packs, and "
            "a text is read at a time",
            f"leave {wish} out, or use --format onnx",
        )
