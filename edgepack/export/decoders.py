"""What every export of a decoder asks of the model, whatever the format: its cache, its stop tokens, how it turns positions."""

from typing import Any

from torch import nn

from edgepack.core.errors import EdgepackError
from edgepack.model.surgery import family_of_model, has_attention, head_dim_of, layers_of, outputs_of
from edgepack.pack.runnable import CacheLayer

_ROTATIONS = ("default", "linear", "llama3", "yarn")  # those whose angles do not depend on how long the text is


def kv_heads(model: nn.Module) -> dict[int, int]:
    """Key and value heads of each layer that has attention, counted in the weights."""
    family, size = family_of_model(model), head_dim_of(model)
    together = (family.query, family.key, family.value).count(family.key)
    return {
        index: outputs_of(layer.get_submodule(family.key)) // together // size
        for index, layer in enumerate(layers_of(model))
        if has_attention(model, layer)
    }


def cache_layers(model: nn.Module) -> tuple[CacheLayer, ...]:
    size = head_dim_of(model)
    return tuple(CacheLayer(layer=index, heads=count, head_size=size) for index, count in kv_heads(model).items())


def stop_ids(model: nn.Module) -> tuple[int, ...]:
    """Tokens that end a text, as the model's generation config or its config states them."""
    for config in (getattr(model, "generation_config", None), model.config):
        stated: Any = getattr(config, "eos_token_id", None)
        if stated is not None:
            return tuple(stated) if isinstance(stated, list | tuple) else (int(stated),)
    return ()


def refuse_rotation_by_length(model: nn.Module) -> None:
    """EdgepackError: an export fixes each position's angles, and these change as the text grows."""
    rotary = getattr(model.base_model, "rotary_emb", None)
    if rotary is not None and rotary.rope_type not in _ROTATIONS:
        raise EdgepackError(
            f"{type(model).__name__} turns positions by {rotary.rope_type!r}, which goes by the length of the text",
            f"export models with rope_type {', '.join(_ROTATIONS)}",
        )
