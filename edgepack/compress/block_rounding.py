"""Quantization-aware training of a decoder: weights in blocks of 4 bits as the file will hold them, gradients straight-through.

Straight-through: Bengio 2013. Each block's scale and zero point are those of the least squared error, found again while the weights move.
What the training leaves lies on the blocks' grids, where edgepack/quantize/blocks.py finds it again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers.pytorch_utils import Conv1D

from edgepack.plan.steps import BlockRounding

_FIRST_LOOK = 50  # steps; the next ones come at twice as many each, for weights move less and less
_SHRINKS = (0.75, 0.8, 0.85, 0.9, 0.95, 1.0)  # of a block's range: what is cut off there makes the rest finer
_COUNT = "edgepack_steps_seen"  # lives on the model while it trains, so that checkpoints hold it


class _InBlocks(nn.Module):
    """A weight as it will be stored; scales and zeros [rows, blocks]. is_transposed: the weight is [inputs, rows]."""

    def __init__(self, weight: torch.Tensor, rounding: BlockRounding, is_transposed: bool) -> None:
        super().__init__()
        self.rounding, self.is_transposed = rounding, is_transposed
        self.highest, self.middle = 2**rounding.bits - 1, 2 ** (rounding.bits - 1)
        shape = self._blocks(weight.detach()).shape[:2]
        self.scales = nn.Parameter(torch.ones(shape), requires_grad=False)  # parameters, so that the best checkpoint holds them too
        self.zeros = nn.Parameter(torch.zeros(shape), requires_grad=False)
        self.fit(weight)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (self.rounded(weight) - weight).detach()

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


@contextmanager
def seen_in_blocks(model: nn.Module, rounding: BlockRounding) -> Iterator[None]:
    """While the block runs, the model computes with rounded weights; behind it the weights are the rounded ones."""
    grids = _registered(model, rounding)
    model.register_parameter(_COUNT, nn.Parameter(torch.zeros(()), requires_grad=False))

    def look(owner: nn.Module, *_: Any) -> None:
        """Of the model, or of a copy that a rate is tried on."""
        count = getattr(owner, _COUNT)
        if owner.training and _is_look(int(count)):
            for module in owner.modules():
                if parametrize.is_parametrized(module, "weight"):
                    module.parametrizations.weight[0].fit(module.parametrizations.weight.original)
        count += owner.training

    handle = model.register_forward_pre_hook(look)
    try:
        yield
    finally:
        handle.remove()
        for module in grids:
            with torch.no_grad():
                original = module.parametrizations.weight.original
                original.copy_(module.parametrizations.weight[0].rounded(original))
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
        delattr(model, _COUNT)


def _registered(model: nn.Module, rounding: BlockRounding) -> list[nn.Module]:
    """The products whose weights are rounded: all but the head, which shares its weights with the embeddings in most models."""
    head = model.get_output_embeddings()
    modules = [module for module in model.modules() if isinstance(module, (nn.Linear, Conv1D)) and module is not head]
    for module in modules:
        parametrize.register_parametrization(module, "weight", _InBlocks(module.weight, rounding, isinstance(module, Conv1D)))
    return modules


def _is_look(steps: int) -> bool:
    times = steps // _FIRST_LOOK
    return steps > 0 and steps % _FIRST_LOOK == 0 and times & (times - 1) == 0
