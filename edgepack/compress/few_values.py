"""Ternary and binary weights, as a training sees them: each row's are -1, 0 or 1, or -1 or 1, times a scale that follows from the row.

Binary: sign times mean size (BWN in XNOR-Net: Rastegari 2016, arXiv 1603.05279). Ternary: 0 below 0.7 times the mean size, and the mean
size of the others (TWN: Li 2016, arXiv 1605.04711). Both are where the squared error is least, or near it.
"""

import torch

from edgepack.compress.grids import OnGrid
from edgepack.plan.coding import WeightKind

_ZERO_BELOW = 0.7  # times a row's mean size


class OnFewValues(OnGrid):
    """A weight [rows, inputs] as it will be stored. Nothing of it is kept beside the weight, so a checkpoint holds all."""

    def __init__(self, kind: WeightKind) -> None:
        super().__init__()
        self.kind = kind

    @torch.no_grad()
    def rounded(self, weight: torch.Tensor) -> torch.Tensor:
        sizes = weight.abs()
        mean = sizes.mean(dim=1, keepdim=True)
        if self.kind == "binary":
            return torch.where(weight < 0, -mean, mean)
        stays = sizes > _ZERO_BELOW * mean
        scale = (sizes * stays).sum(dim=1, keepdim=True) / stays.sum(dim=1, keepdim=True).clamp(min=1)
        return weight.sign() * stays * scale
