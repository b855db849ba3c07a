"""Quantization-aware training: weights and activations as int8 will round them, while gradients pass as if they were not rounded.

Straight-through: Bengio 2013. A matrix has one step on a coarse grid, which an entropy coder makes small; all steps follow from one number
that comes to the bits a weight that are asked for, and it is found again while the weights move. How coarse a matrix may be beside the
others follows from how much the outputs move with its weights (the mean square of their gradients, at random directions of the outputs).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from edgepack.compress.block_rounding import seen_in_blocks
from edgepack.compress.context import StageContext
from edgepack.compress.few_values import OnFewValues
from edgepack.compress.grids import OnGrid, modules_on_grids, seen_on_grids
from edgepack.model.evaluation import batches_on, use_all_cores
from edgepack.model.layer_calls import hooked
from edgepack.plan.precision import FEWEST_WEIGHTS
from edgepack.plan.steps import BlockRounding, Rounding

_EVERY = 50  # steps between two looks at the grid
_SAMPLE = 20_000  # weights of a matrix that its bits are told by
_PROBED_TEXTS, _PROBED_ROWS = 64, 8
_COARSEST_SIGMA = 2.0  # as in edgepack/quantize/coarse_search.py
_SEARCH_STEPS = 40
_LEVELS = 255  # of activations


class _OnSteps(OnGrid):
    """A weight as it will be stored. step: of a coarse grid; 0: each row as fine as its largest weight allows."""

    def __init__(self, largest: int) -> None:
        super().__init__()
        self.largest = largest
        self.step = nn.Parameter(torch.zeros(()), requires_grad=False)

    def rounded(self, weight: torch.Tensor) -> torch.Tensor:
        step = self.step if self.step > 0 else weight.detach().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / self.largest
        return (weight / step).round().clamp(-self.largest, self.largest) * step


def rounded_modules(model: nn.Module) -> list[nn.Module]:
    """Products and tables that int8 stores in 8 bits, each once."""
    modules = {id(each.weight): each for each in model.modules() if isinstance(each, (nn.Linear, nn.Embedding))}
    return [module for module in modules.values() if module.weight.numel() >= FEWEST_WEIGHTS]


@contextmanager
def seen_as_rounded(model: nn.Module, rounding: Rounding | BlockRounding | None, context: StageContext) -> Iterator[None]:
    """While the block runs, the model computes with rounded weights; behind it the weights are the rounded ones. None: nothing changes."""
    if rounding is None:
        yield
        return
    if isinstance(rounding, BlockRounding):
        with seen_in_blocks(model, rounding):
            yield
        return
    modules = rounded_modules(model)
    sensitivity = _sensitivity(model, modules, context) if rounding.bits is not None else []
    grids = [_OnSteps(rounding.largest) if rounding.weights is None else OnFewValues(rounding.weights) for _ in modules]

    def look(owner: nn.Module, steps: int) -> None:
        if rounding.bits is not None and steps % _EVERY == 0:
            there = modules_on_grids(owner)
            set_steps(there, [module.parametrizations.weight[0] for module in there], sensitivity, rounding.bits)

    with seen_on_grids(model, modules, grids, look):
        look(model, 0)
        rounded = [module for module in modules if isinstance(module, nn.Linear)] if rounding.activations else []
        with hooked(module.register_forward_pre_hook(_round_inputs) for module in rounded):
            yield


def _round_inputs(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Activations in 8 bits, with a scale for each text as the runtime takes one: its range, which holds 0."""
    values = inputs[0]
    rows = values.detach().flatten(1)
    low, high = rows.amin(dim=1).clamp(max=0), rows.amax(dim=1).clamp(min=0)
    scale = ((high - low).clamp(min=1e-12) / _LEVELS).reshape(-1, *[1] * (values.dim() - 1))
    middle = (-low.reshape(scale.shape) / scale).round()
    rounded = ((values.detach() / scale).round() + middle).clamp(0, _LEVELS) - middle
    return (values + (rounded * scale - values).detach(), *inputs[1:])


def set_steps(modules: Sequence[nn.Module], grids: Sequence[_OnSteps], sensitivity: Sequence[float], bits: float) -> None:
    """Gives each grid the step by which all matrices together come to `bits` a weight: their last bits save the same error."""
    originals = [module.parametrizations.weight.original.detach() for module in modules]
    samples = [weight.flatten()[:: max(1, weight.numel() // _SAMPLE)].float() for weight in originals]
    coarsest = [_COARSEST_SIGMA * float(sample.std()) for sample in samples]
    finest = [float(weight.abs().max()) / (grid.largest + 0.49) for weight, grid in zip(originals, grids, strict=True)]
    total = sum(weight.numel() for weight in originals)

    def steps_at(exponent: float) -> list[float]:
        wished = [2.0**exponent / max(each, 1e-24) ** 0.5 for each in sensitivity]
        return [max(least, min(step, most), 1e-12) for step, least, most in zip(wished, finest, coarsest, strict=True)]

    def mean_bits(exponent: float) -> float:
        steps = steps_at(exponent)
        return (
            sum(entropy_of(sample / step) * weight.numel() for sample, step, weight in zip(samples, steps, originals, strict=True)) / total
        )

    low, high = -80.0, 40.0
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_bits(middle) > bits else (low, middle)
    for grid, step in zip(grids, steps_at(high), strict=True):
        grid.step.fill_(step)


def entropy_of(scaled: torch.Tensor) -> float:
    """Order-0 entropy of the nearest integers, in bits each."""
    _, counts = scaled.round().unique(return_counts=True)
    share = counts.double() / counts.sum()
    return float(-(share * share.log2()).sum())


def _sensitivity(model: nn.Module, modules: Sequence[nn.Module], context: StageContext) -> list[float]:
    """By matrix: how much the outputs move, squared, with one of its weights. Of a table's rows those that the texts never hold do not."""
    use_all_cores()
    draw = torch.Generator().manual_seed(context.seed)
    weights = [module.weight for module in modules]
    sums, features = [0.0] * len(weights), list(context.features[:_PROBED_TEXTS])
    for batch in batches_on(model.eval(), features, _PROBED_ROWS):
        outputs = context.task.forward(model, batch)
        signs = torch.randint(0, 2, outputs.shape, generator=draw) * 2.0 - 1
        gradients = torch.autograd.grad((outputs * signs).sum(), weights, allow_unused=True, materialize_grads=True)
        sums = [total + float(gradient.square().mean()) for total, gradient in zip(sums, gradients, strict=True)]
    return [each / max(1, len(features)) for each in sums]
