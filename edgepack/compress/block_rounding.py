"""Quantization-aware training of a decoder: weights in blocks of 4 bits as the file will hold them.

Each block's scale and zero point are those of the least squared error, found again while the weights move.
What the training leaves lies on the blocks' grids, where edgepack/quantize/blocks.py finds it again.
"""

from contextlib import AbstractContextManager

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from edgepack.compress.grids import OnGrid, modules_on_grids, seen_on_grids
from edgepack.plan.steps import BlockRounding

_FIRST_LOOK = 50  # steps; the next ones come at twice as many each, for weights move less and less
_SHRINKS = (0.75, 0.8, 0.85, 0.9, 0.95, 1.0)  # of a block's range: what is cut off there makes the rest finer


class _InBlocks(OnGrid):
    """A weight as it will be stored; scales and zeros [rows, blocks]. is_transposed: the weight is [inputs, rows]."""

    def __init__(self, weight: torch.Tensor, rounding: BlockRounding, is_transposed: bool) -> None:
        super().__init__()
        self.rounding, self.is_transposed = rounding, is_transposed
        self.highest, self.middle = 2**rounding.bits - 1, 2 ** (rounding.bits - 1)
        shape = self._blocks(weight.detach()).shape[:2]
        self.scales = nn.Parameter(torch.ones(shape), requires_grad=False)
        self.zeros = nn.Parameter(torch.zeros(shape), requires_grad=False)
        self.fit(weight)

    @torch.no_grad()
    def rounded(self, weight: torch.Tensor) -> torch.Tensor:
        rows = weight.T if self.is_transposed else weight
        whole = self._on(self._blocks(weight), self.scales, self.zeros).reshape(len(rows), -1)[:, : rows.shape[1]]
        return whole.T if self.is_transposed else whole

    @torch.no_grad()
    def fit(self, weight: torch.Tensor) -> None:
        """Scale and zero point of each block, by search."""
        values = self._blocks(weight.detach())
        low, high = values.amin(dim=-1).clamp(max=0), values.amax(dim=-1).clamp(min=0)
        least = torch.full_like(low, torch.inf)
        for shrink in _SHRINKS:
            scales, zeros = self._candidate(low * shrink, high * shrink)
            error = (self._on(values, scales, zeros) - values).square().sum(dim=-1)
            better = error < least
            least = torch.where(better, error, least)
            self.scales.copy_(torch.where(better, scales, self.scales))
            self.zeros.copy_(torch.where(better, zeros, self.zeros))

    def _candidate(self, low: torch.Tensor, high: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.rounding.asymmetric:
            scales = ((high - low) / self.highest).clamp(min=1e-12)
            return scales, (-low / scales).round().clamp(0, self.highest)
        scales = torch.maximum(-low / self.middle, high / (self.middle - 1)).clamp(min=1e-12)
        if self.rounding.bf16:  # and a TFLite file stores them in float16
            scales = scales.clamp(min=torch.finfo(torch.float16).tiny).bfloat16().float()
        return scales, torch.full_like(scales, self.middle)

    def _on(self, values: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor) -> torch.Tensor:
        integers = ((values / scales[..., None]).round() + zeros[..., None]).clamp(0, self.highest)
        return (integers - zeros[..., None]) * scales[..., None]

    def _blocks(self, weight: torch.Tensor) -> torch.Tensor:
        """[rows, blocks, block], filled with zeros where a block does not divide the inputs."""
        rows = weight.T if self.is_transposed else weight
        return nn.functional.pad(rows, (0, -rows.shape[1] % self.rounding.block)).reshape(len(rows), -1, self.rounding.block)


def seen_in_blocks(model: nn.Module, rounding: BlockRounding) -> AbstractContextManager[None]:
    """While the block runs, the model computes with rounded weights; behind it the weights are the rounded ones.

    All products are rounded but the head, which shares its weights with the embeddings in most models.
    """
    head = model.get_output_embeddings()
    modules = [module for module in model.modules() if isinstance(module, (nn.Linear, Conv1D)) and module is not head]
    grids = [_InBlocks(module.weight, rounding, isinstance(module, Conv1D)) for module in modules]
    return seen_on_grids(model, modules, grids, _look)


def _look(model: nn.Module, steps: int) -> None:
    if _is_look(steps):
        for module in modules_on_grids(model):
            module.parametrizations.weight[0].fit(module.parametrizations.weight.original)


def _is_look(steps: int) -> bool:
    times = steps // _FIRST_LOOK
    return steps > 0 and steps % _FIRST_LOOK == 0 and times & (times - 1) == 0
