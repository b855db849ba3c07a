"""Corrects a pruned layer without training: least squares on the layer's inputs make the remaining weights replace what was cut.

Kwon 2022, "A fast post-training pruning framework for transformers", refits the outputs after its masks in the same spirit.
"""

from collections.abc import Sequence

import torch
from torch import nn

from edgepack.compress.least_squares import ridged, with_ones
from edgepack.model.evaluation import batches_on, use_all_cores
from edgepack.model.layer_calls import hooked
from edgepack.model.structure import family_of_model, ffns_of, has_attention, head_dim_of, inputs_of, layers_of, matrix_of
from edgepack.tasks.common.task import Features

_ROWS = 1024
_RIDGE = 0.01  # of the mean square of an input: keeps weights that the sample says little about where they were


def refit(model: nn.Module, unit: str, keep: Sequence[Sequence[int]], features: Sequence[Features]) -> None:
    """Changes, before all but `keep` is cut, the output projections so that the kept inputs alone give what all of them gave.

    keep: heads by layer (`unit` is heads), or neurons by FFN. Over the first rows of `features`, in the least squares; the
    bias takes part. A layer that keeps no head puts out its mean. Memory: the square of each width, in fp32.
    """
    use_all_cores()
    size = head_dim_of(model) if unit == "heads" else 1
    projections = projections_after(model, unit)
    moments = second_moments(model, projections, features)
    for projection, moment, remaining in zip(projections, moments, keep, strict=True):
        if isinstance(projection, nn.Module) and len(remaining) * size < inputs_of(projection):
            _take_over(projection, moment.double(), [member * size + place for member in remaining for place in range(size)])


def projections_after(model: nn.Module, unit: str) -> list[nn.Module | None]:
    """The output projections behind heads or neurons (`unit` is ffn); None where there is no attention."""
    family = family_of_model(model)
    if unit == "ffn":
        return [owner.get_submodule(family.ffn_out) for owner in ffns_of(model)]
    return [layer.get_submodule(family.attention_output) if has_attention(model, layer) else None for layer in layers_of(model)]


def second_moments(model: nn.Module, projections: Sequence[nn.Module | None], features: Sequence[Features]) -> list[torch.Tensor]:
    """[width + 1, width + 1] each, over the first rows: of what goes into a projection at real tokens, and of a 1 for its bias."""
    sums = [torch.zeros(0 if projection is None else inputs_of(projection) + 1) for projection in projections]
    sums = [torch.zeros(len(row), len(row)) for row in sums]
    real = torch.zeros(0)

    def add(index: int):
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            if inputs[0].shape[:-1].numel() != real.numel():  # no tokens: DeBERTa projects its table of distances too
                return
            rows = inputs[0].reshape(*real.shape, -1)[real]
            rows = with_ones(rows)
            sums[index] += rows.T @ rows

        return hook

    handles = [each.register_forward_pre_hook(add(index)) for index, each in enumerate(projections) if each is not None]
    by_length = sorted(features[:_ROWS], key=lambda item: len(item.ids))
    with hooked(handles), torch.no_grad():
        for batch in batches_on(model, by_length):
            real = batch["attention_mask"].bool()
            model(**batch)
    return sums


def unrepairable(projection: nn.Module, moment: torch.Tensor, size: int) -> torch.Tensor:
    """[units]: how much of the projection's output is lost for good when a unit of `size` neighbours is cut and the others are refitted.

    A sum over tokens of squared differences: tr(W_u S_u W_u'), where S_u, the inverse of the block of M^-1, is what the others do not tell
    of the unit (as in Hassibi 1993, "Optimal brain surgeon").
    """
    width, has_bias = len(moment) - 1, projection.bias is not None
    within = moment.double()[: width + has_bias, : width + has_bias]
    inverse, weights = torch.linalg.inv(ridged(within, width, _RIDGE)), matrix_of(projection).detach().double()
    units = [slice(at, at + size) for at in range(0, width, size)]
    return torch.stack([(weights[:, unit] @ torch.linalg.solve(inverse[unit, unit], weights[:, unit].T)).trace() for unit in units])


def _take_over(projection: nn.Module, moment: torch.Tensor, remaining: Sequence[int]) -> None:
    """Least squares with a ridge towards the weights as they are: W[kept] += W[cut] M[cut, kept] (M[kept, kept] + r)^-1."""
    width, has_bias = len(moment) - 1, projection.bias is not None
    cut = sorted(set(range(width)) - set(remaining))
    columns = torch.tensor([*remaining, *([width] if has_bias else [])], dtype=torch.long)
    matrix = matrix_of(projection)
    from_cut = moment[columns][:, cut] @ matrix.detach().double()[:, cut].T
    change = torch.linalg.solve(ridged(moment[columns][:, columns], len(remaining), _RIDGE), from_cut).T
    with torch.no_grad():
        matrix[:, list(remaining)] += change[:, : len(remaining)].to(matrix.dtype)
        if has_bias:
            projection.bias += change[:, -1].to(projection.bias.dtype)
