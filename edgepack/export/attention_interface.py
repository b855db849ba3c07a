"""Replaces transformers' attention by one that exports, and says what a mask by position hides."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from edgepack.core.errors import EdgepackError
from edgepack.model.structure import family_of_model, has_attention, layers_of

_UNKNOWN = object()  # the row and head that a mask must not depend on


@contextmanager
def attention_replaced(model: nn.Module, name: str, attention: Callable, mask: Callable) -> Iterator[None]:
    """While the block runs, `model` computes attention and its masks by these functions, known to transformers as `name`."""
    AttentionInterface.register(name, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(name, mask)
    before, family = model.config._attn_implementation, family_of_model(model)
    layers_with_attention = [layer for layer in layers_of(model) if has_attention(model, layer)] if family.export_attention else []
    if not family.export_attention:
        model.set_attn_implementation(name)
    try:
        for layer, module in [(layer, _attention_layer(model, layer, attention)) for layer in layers_with_attention]:
            layer.set_submodule(family.attention, module)
        yield
    finally:
        for layer in layers_with_attention:
            layer.set_submodule(family.attention, layer.get_submodule(family.attention).replaced)
        if not family.export_attention:
            model.set_attn_implementation(before)


def _attention_layer(model: nn.Module, layer: nn.Module, attention: Callable) -> nn.Module:
    """Holds the module whose place it takes as `replaced`."""
    kind = import_module(f"edgepack.export.attention_layers.{family_of_model(model).export_attention}")
    return kind.Attention(model, layer, attention)


def visible_by_position(q_length: int, kv_length: int, mask_function: Callable[..., Any]) -> torch.Tensor:
    """bool [1, 1, q_length, kv_length]. EdgepackError: the mask goes by more than positions (packed texts)."""
    queries, keys = torch.arange(q_length)[None, None, :, None], torch.arange(kv_length)[None, None, None, :]
    try:
        return mask_function(_UNKNOWN, _UNKNOWN, queries, keys)
    except (TypeError, IndexError):  # it asked for the row, or for what lies in it
        raise EdgepackError(
            "the model masks attention in a way that cannot be exported (neither padding, causal nor by distance)",
            "export models that attend to whole texts or to a window",
        ) from None
