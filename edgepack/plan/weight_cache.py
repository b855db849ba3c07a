"""Packed weights that a device keeps on its disk from the first start on: what is refused where the user asks for that. Pure."""

from edgepack.core.errors import EdgepackError
from edgepack.plan.choice_record import Choice
from edgepack.plan.recipe import Recipe
from edgepack.plan.runtime import all_runtimes, runtime_facts

WISHED_CACHE = " You asked for it: the first start leaves packed weights on the disk, and later ones map them."


def refuse_weight_cache(recipe: Recipe, runtime: str) -> None:
    """EdgepackError where `runtime` cannot keep packed weights, and the user wants that."""
    if recipe.weight_cache and not runtime_facts(runtime).keeps_weight_cache:
        able = " and ".join(sorted(facts.name for facts in all_runtimes() if facts.keeps_weight_cache))
        raise EdgepackError(f"--weight-cache: {runtime} keeps no packed weights", f"leave it out; {able} keep them")


def check_onnx_weight_cache(recipe: Recipe, choice: Choice, runtime: str) -> None:
    """EdgepackError where the user wants an ONNX file's packed weights kept, and that cannot be done or there are none."""
    refuse_weight_cache(recipe, runtime)
    if not choice.prepack:
        raise EdgepackError("--weight-cache keeps packed weights, and with --no-prepack there are none", "leave one of them out")
    if choice.coding:
        raise EdgepackError(
            "--weight-cache is for weights that lie in the pack as they are, and these are coded",
            "leave it out and give --start expand, which decodes them once, or leave --bits and --codec out",
        )
