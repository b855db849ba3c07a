"""While a model trains, weights are seen on grids, straight-through (Bengio 2013): gradients pass as if nothing were rounded."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

_COUNT = "edgepack_steps_seen"  # lives on the model while it trains, so that checkpoints hold it

Look = Callable[[nn.Module, int], None]  # of the model, or of a copy that a rate is tried on; and the steps that it has been trained


class OnGrid(nn.Module, ABC):
    """A weight as it will be stored. What the grid is made of are parameters, so that the best checkpoint holds it too."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (self.rounded(weight) - weight).detach()

    @abstractmethod
    def rounded(self, weight: torch.Tensor) -> torch.Tensor: ...


def modules_on_grids(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if parametrize.is_parametrized(module, "weight")]


@contextmanager
def seen_on_grids(model: nn.Module, modules: Sequence[nn.Module], grids: Sequence[OnGrid], look: Look) -> Iterator[None]:
    """While the block runs, the model computes with rounded weights; behind it the weights are the rounded ones.

    look: is called before each step of a training, to find the grids again.
    """
    for module, grid in zip(modules, grids, strict=True):
        parametrize.register_parametrization(module, "weight", grid)
    model.register_parameter(_COUNT, nn.Parameter(torch.zeros(()), requires_grad=False))

    def before(owner: nn.Module, *_: Any) -> None:
        count = getattr(owner, _COUNT)
        if owner.training:
            look(owner, int(count))
            count += 1

    handle = model.register_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()
        for module, grid in zip(modules, grids, strict=True):
            with torch.no_grad():
                module.parametrizations.weight.original.copy_(grid.rounded(module.parametrizations.weight.original))
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
        delattr(model, _COUNT)
