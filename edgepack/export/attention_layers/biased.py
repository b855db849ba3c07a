"""MPNet's attention: a table of distances adds to the scores of each head."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from edgepack.model.structure import family_of_model, head_dim_of

_HIDDEN = -1e4  # of what a mask adds: finite, and half precision can hold it


class Attention(nn.Module):
    """MPNet's attention, which transformers computes in the layer itself: the same by the function that exports."""

    def __init__(self, model: nn.Module, layer: nn.Module, attention: Callable) -> None:
        super().__init__()
        family = family_of_model(model)
        self.replaced, self.attention, self.size = layer.get_submodule(family.attention), attention, head_dim_of(model)
        self.projections = nn.ModuleList([layer.get_submodule(path) for path in (family.query, family.key, family.value)])
        self.output = layer.get_submodule(family.attention_output)
        heads = getattr(self.replaced, "kept_heads", None)
        self.kept_heads = None if heads is None else heads.tolist()

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor | None, bias: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
        """mask: what is added to scores, [rows, 1, 1, tokens]; bias [rows, heads, tokens, tokens]."""
        if self.kept_heads is not None:  # by slices: TFLite gathers along a second axis with an op that is slow
            bias = torch.cat([bias[:, head : head + 1] for head in self.kept_heads], dim=1)
        added = bias if mask is None else bias + mask.clamp(min=_HIDDEN)
        parts = [part(hidden_states).unflatten(-1, (-1, self.size)).transpose(1, 2) for part in self.projections]
        output, _ = self.attention(self, *parts, added, scaling=self.size**-0.5)
        return (self.output(output.flatten(2)),)
