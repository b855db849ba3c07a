"""Magnitude pruning: the smallest weights become zero and stay zero through recovery. It makes no runtime faster."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from edgepack.compress.context import StageContext
from edgepack.model.factored import LINEARS
from edgepack.model.layer_calls import hooked
from edgepack.model.structure import family_of_model, ffns_of, has_attention, layers_of, matrix_of
from edgepack.plan.steps import PruneWeights


def prune_weights(model: nn.Module, step: PruneWeights, context: StageContext) -> nn.Module:
    """Zeroes the smallest of the layers' matrix weights, over all layers, until `step.fraction` of them are zero. Han 2015."""
    matrices = weight_matrices(model)
    sizes = torch.cat([matrix.detach().abs().flatten() for matrix in matrices])
    count = round(len(sizes) * step.fraction)
    threshold = sizes.kthvalue(count).values if count else -1.0
    with torch.no_grad():
        for matrix in matrices:
            matrix[matrix.abs() <= threshold] = 0
    return model


def weight_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The matrices of attention and FFN in every layer; embeddings, norms and the task's head stay dense."""
    return [module.weight for module in linears(model)]


def linears(model: nn.Module) -> list[nn.Module]:
    """The matrix products of attention and FFN in every layer, those that were factored as their two."""
    family = family_of_model(model)
    attention = (family.query, family.key, family.value, family.attention_output)
    modules = [layer.get_submodule(path) for layer in layers_of(model) if has_attention(model, layer) for path in attention]
    modules += [owner.get_submodule(path) for owner in ffns_of(model) for path in (*family.ffn_in, family.ffn_out)]
    products = [part for module in modules for part in ((module.first, module.second) if isinstance(module, LINEARS) else (module,))]
    return list({id(module): module for module in products}.values())


@contextmanager
def held_zeros(model: nn.Module) -> Iterator[None]:
    """While the block runs, weights that are zero get no gradient: AdamW leaves what has neither gradient nor value at zero."""
    with hooked(matrix.register_hook(_masked((matrix.detach() != 0).to(matrix.dtype))) for matrix in weight_matrices(model)):
        yield


def _masked(mask: torch.Tensor):
    return lambda gradient: gradient * mask.to(gradient.device)


def zero_share(model: nn.Module) -> float:
    """The share of weights in attention and FFN matrices that are zero, from 0 to 1."""
    matrices = weight_matrices(model)
    return sum(int((matrix == 0).sum()) for matrix in matrices) / sum(matrix.numel() for matrix in matrices)


def coded_mb(model: nn.Module) -> float:
    """What an ideal order-0 entropy coder makes of the layers' matrices in int8 per channel, 10^6 bytes. Shannon 1948."""
    bits = 0.0
    for linear in linears(model):
        weights = matrix_of(linear).detach()
        scale = weights.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
        counts = torch.bincount((weights / scale).round().to(torch.int64).flatten() + 127, minlength=255).double()
        share = counts[counts > 0] / counts.sum()
        bits += float(-(share * share.log2()).sum()) * weights.numel()
    return bits / 8e6
