"""Linear layers in fp32 by the library that is fast on this CPU: the same sums, in another order."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from edgepack.core.host import is_amd_with_avx512


@contextmanager
def fast_linears(*models: nn.Module) -> Iterator[None]:
    """While the block runs, the models' linear layers are computed by oneDNN where MKL, which torch takes for fp32, is slow.

    MKL leaves half of an AMD CPU's AVX-512 unused (RESULTS.md, Linear layers by oneDNN). For a block without gradients and autocast:
    torch has no derivative of this call.
    """
    changed = [layer for model in models for layer in model.modules() if _gains(layer)] if is_amd_with_avx512() else []
    for layer in changed:
        layer.forward = partial(_by_onednn, layer)
    try:
        yield
    finally:
        for layer in changed:
            layer.__dict__.pop("forward", None)  # a module that is shared stands here twice


def _gains(module: nn.Module) -> bool:
    """A plain linear layer: one of a library's own class may compute something else."""
    return type(module) is nn.Linear and module.weight.dtype == torch.float32 and module.weight.device.type == "cpu"


def _by_onednn(layer: nn.Linear, rows: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, layer.weight, layer.bias, "none", [], "")
