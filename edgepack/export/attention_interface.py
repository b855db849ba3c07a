"""How an export puts attention of its own in place of transformers', and what a mask by position hides."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from edgepack.core.errors import EdgepackError
from edgepack.model.surgery import family_of_model, has_attention, head_dim_of, layers_of

_HIDDEN = -1e4  # of what a mask adds: finite, and half precision can hold it
_UNKNOWN = object()  # the row and head that a mask must not depend on


@contextmanager
def attention_replaced(model: nn.Module, name: str, attention: Callable, mask: Callable) -> Iterator[None]:
    """While the block runs, `model` computes attention and its masks by these functions, known to transformers as `name`."""
    AttentionInterface.register(name, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(name, mask)
    before, family = model.config._attn_implementation, family_of_model(model)
    biased = [layer for layer in layers_of(model) if has_attention(model, layer)] if family.head_bias else []
    if not family.plain_attention:
        model.set_attn_implementation(name)
    try:
        for layer in biased:
            layer.set_submodule(family.attention, _Biased(model, layer, attention))
        yield
    finally:
        for layer in biased:
            layer.set_submodule(family.attention, layer.get_submodule(family.attention).replaced)
        if not family.plain_attention:
            model.set_attn_implementation(before)


class _Biased(nn.Module):
    """MPNet's attention, which transformers computes in the layer itself: the same by the function that exports."""

    def __init__(self, model: nn.Module, layer: nn.Module, attention: Callable) -> None:
        super().__init__()
        family = family_of_model(model)
        self.replaced, self.attention, self.size = layer.get_submodule(family.attention), attention, head_dim_of(model)
        self.projections = nn.ModuleList([layer.get_submodule(path) for path in (family.query, family.key, family.value)])
        self.output = layer.get_submodule(family.attention_output)
        kept = getattr(self.replaced, "kept_heads", None)
        self.kept = None if kept is None else kept.tolist()

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor | None, bias: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
        """mask: what is added to scores, [rows, 1, 1, tokens]; bias [rows, heads, tokens, tokens]."""
        if self.kept is not None:  # by slices: TFLite gathers along a second axis with an op that is slow
            bias = torch.cat([bias[:, head : head + 1] for head in self.kept], dim=1)
        added = bias if mask is None else bias + mask.clamp(min=_HIDDEN)
        parts = [part(hidden_states).unflatten(-1, (-1, self.size)).transpose(1, 2) for part in self.projections]
        output, _ = self.attention(self, *parts, added, scaling=self.size**-0.5)
        return (self.output(output.flatten(2)),)


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
