"""What a plan leaves out for a table of tokens' vectors (StaticEmbedding): it has no layers, so nothing is pruned or distilled."""

from edgepack.core.errors import EdgepackError
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import ModelShape

SMALLER = "--precision int8, --embedding-bits 4, --vocabulary data, or --dimensions where the model was trained for fewer"

# Settings of a recipe that are for layers, their heads and their products.
OF_LAYERS = (
    "student", "prune_heads", "prune_ffn", "prune_layers", "drop_attention", "prune_weights", "factorize", "smoothing", "sensitive",
    "activations", "quantization_aware", "weights",
)  # fmt: skip
_NO_WISH = (None, False, 0, "same", "dynamic")


def refuse_wishes_of_layers(recipe: Recipe, teacher: ModelShape) -> None:
    """EdgepackError names the settings that are for layers, where the model has none."""
    if not teacher.family.is_table:
        return
    asked = [f"--{name.replace('_', '-')}" for name in OF_LAYERS if getattr(recipe, name) not in _NO_WISH]
    if asked:
        raise EdgepackError(
            f"{' and '.join(asked)}: the model is a {teacher.model_type}, a table of tokens' vectors without layers, heads or FFNs",
            f"leave {'them' if len(asked) > 1 else 'it'} out; what makes a table smaller is {SMALLER}",
        )


def with_dimensions(recipe: Recipe, teacher: ModelShape) -> ModelShape:
    """The table with as many columns as a vector keeps numbers, where nothing behind it reads the others."""
    if not teacher.cut_by_dimensions or recipe.dimensions is None or recipe.dimensions >= teacher.hidden:
        return teacher
    return teacher.resized(teacher.layers, recipe.dimensions)
