"""DeBERTa's attention: scores depend on the words and on their distance.

What the layer's own key and query projections make of the table of distances is the same for every text, so it is computed here,
once: no weight is then read by two products, which no quantizer could narrow.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from edgepack.model.structure import family_of_model, head_dim_of

_HIDDEN = -1e4  # of what a mask adds: finite, and half precision can hold it
_TERMS = 3  # of a score: words to words, words to distances, distances to words


class Attention(nn.Module):
    """The same by the function that exports. He 2020, "DeBERTa", equation 4."""

    def __init__(self, model: nn.Module, layer: nn.Module, attention: Callable) -> None:
        super().__init__()
        family = family_of_model(model)
        self.replaced, self.attention, self.size = layer.get_submodule(family.attention), attention, head_dim_of(model)
        self.span = self.replaced.pos_ebd_size
        paths = (family.query, family.key, family.value)
        self.projections = nn.ModuleList([layer.get_submodule(path) for path in paths])
        with torch.no_grad():
            distances = model.base_model.encoder.get_rel_embedding()[: 2 * self.span]
            self.register_buffer("keys", self._by_head(self.projections[1](distances)).mT.contiguous())
            self.register_buffer("queries", self._by_head(self.projections[0](distances)).mT.contiguous())

    def _by_head(self, projected: torch.Tensor) -> torch.Tensor:
        """[..., tokens, heads * size] to [..., heads, tokens, size]."""
        return projected.unflatten(-1, (-1, self.size)).transpose(-2, -3)

    def forward(
        self, hidden_states: torch.Tensor, mask: torch.Tensor, *_: Any, relative_pos: torch.Tensor, **__: Any
    ) -> tuple[torch.Tensor, None]:
        """mask [rows, 1, tokens, tokens], 1 where a token is seen; relative_pos [1, tokens, tokens], in buckets."""
        query, key, value = (self._by_head(projection(hidden_states)) for projection in self.projections)
        scaling = (_TERMS * self.size) ** -0.5
        shape, last = (*query.shape[:3], query.shape[2]), 2 * self.span - 1
        to_distances = (query @ self.keys).gather(-1, (relative_pos + self.span).clamp(0, last)[:, None].expand(shape))
        of_distances = (key @ self.queries).gather(-1, (self.span - relative_pos).clamp(0, last)[:, None].expand(shape)).mT
        added = (to_distances + of_distances) * scaling + (1 - mask.to(query.dtype)) * _HIDDEN
        output, _ = self.attention(self, query, key, value, added, scaling=scaling)
        return output.flatten(2), None
