"""What every export of a decoder needs from the model: its cache, its stop tokens, and how it encodes positions."""

from typing import Any

import torch
from torch import nn

from edgepack.core.errors import EdgepackError
from edgepack.model.structure import family_of_model, has_attention, head_dim_of, kv_width_of, layers_of
from edgepack.pack.runnable import CacheLayer

_WINDOWED = "sliding_attention"  # what configs call a layer that sees a window
_ROTATIONS = ("default", "linear", "llama3", "yarn")  # those whose angles do not depend on how long the text is


def kv_heads(model: nn.Module) -> dict[int, int]:
    """Key and value heads of each layer that has attention, counted in the weights."""
    size = head_dim_of(model)
    return {index: kv_width_of(model, layer) // size for index, layer in enumerate(layers_of(model)) if has_attention(model, layer)}


def cache_layers(model: nn.Module) -> tuple[CacheLayer, ...]:
    """For each layer with attention: its index, its key and value heads, and the numbers in a head."""
    size = head_dim_of(model)
    return tuple(CacheLayer(layer=index, heads=count, head_size=size) for index, count in kv_heads(model).items())


def layer_type_of(model: nn.Module, index: int) -> str:
    """What kind of layer the config calls it: some see a window alone, and some turn positions by other angles."""
    types = getattr(model.config, "layer_types", None)
    return types[index] if types else ""


def window_of(model: nn.Module, index: int) -> int | None:
    """How many tokens a layer sees, the one at hand among them; None: all."""
    name, types = family_of_model(model).config_window, getattr(model.config, "layer_types", None)
    return getattr(model.config, name) if name and (not types or types[index] == _WINDOWED) else None


def logit_cap_of(model: nn.Module) -> float | None:
    """The limit of the logits' size (softcap, as in Gemma 2), or None."""
    return _cap(model, family_of_model(model).config_logit_cap)


def attention_cap_of(model: nn.Module) -> float | None:
    """The limit of the attention scores' size (softcap, as in Gemma 2), or None."""
    return _cap(model, family_of_model(model).config_attention_cap)


def _cap(model: nn.Module, name: str) -> float | None:
    """name: of the config's setting; empty where the family has none."""
    return getattr(model.config, name) if name else None


def logits_of(model: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """[rows, tokens, vocab] from the last hidden states, under the model's cap where it has one."""
    return under_cap(model, model.get_output_embeddings()(hidden))


def under_cap(model: nn.Module, logits: torch.Tensor) -> torch.Tensor:
    """The logits as they are, or under the model's cap where it has one."""
    cap = logit_cap_of(model)
    return torch.tanh(logits / cap) * cap if cap else logits


def stop_ids(model: nn.Module) -> tuple[int, ...]:
    """Tokens that end a text for transformers' generate: its generation config's, which a folder without its file makes of config.json."""
    stated: Any = getattr(getattr(model, "generation_config", model.config), "eos_token_id", None)
    if stated is None:
        return ()
    return tuple(stated) if isinstance(stated, list | tuple) else (int(stated),)


def start_id(model: nn.Module) -> int | None:
    """The token that transformers' generate begins with where a prompt has no token: its generation config's, and no other's."""
    stated: Any = getattr(getattr(model, "generation_config", None), "bos_token_id", None)
    return stated if isinstance(stated, int) else None


def refuse_rotation_by_length(model: nn.Module) -> None:
    """EdgepackError: an export fixes each position's angles, and these change as the text grows."""
    rotary = getattr(model.base_model, "rotary_emb", None)
    stated = getattr(rotary, "rope_type", "default")
    for rope_type in stated.values() if isinstance(stated, dict) else (stated,):
        if rope_type not in _ROTATIONS:
            raise EdgepackError(
                f"{type(model).__name__} uses rope_type {rope_type!r}, which depends on the length of the text",
                f"export models with rope_type {', '.join(_ROTATIONS)}",
            )
