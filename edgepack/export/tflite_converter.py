"""Patches litert-torch 0.10 while an export runs: corrects a fault, and skips work that has no effect."""

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from edgepack.model.factored import TensorLinear


@contextmanager
def mended_converter() -> Iterator[None]:
    """While the block runs, constants are told apart and a signature is traced twice, not three times.

    The converter knows constants again by their address, and frees some before it has seen all: another that comes to lie there
    is then silently taken for the first. So none is freed. And it decomposes a graph before its passes and again after them,
    though they take graphs of either kind. It clamps every weight where it lies, which copies those that are mapped from a file.
    Python's search for cycles rests: a tenth of the time, for hardly any memory.
    """
    from litert_torch._convert import core
    from litert_torch.backend import inline_consts

    fingerprints = inline_consts._ConstantFingerprint
    tensors, by_address, clamped, traced = [], fingerprints.from_tensor, inline_consts._clamp_inf_values, core.export_torch_signature

    def fingerprint(tensor: torch.Tensor) -> Any:
        tensors.append(tensor)
        return by_address(tensor)

    fingerprints.from_tensor = fingerprint
    inline_consts._clamp_inf_values = lambda tensor: tensor if torch.isfinite(tensor).all() else clamped(tensor.clone())
    core.export_torch_signature = functools.partial(traced, run_decompositions=False)
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        fingerprints.from_tensor, inline_consts._clamp_inf_values, core.export_torch_signature = by_address, clamped, traced


@contextmanager
def direct_products() -> Iterator[None]:
    """While the block runs, torch's linear is TFLite's own product, of weights as torch stores them: [outputs, inputs].

    By way of aten the converter transposes each weight and then transposes it back, element by element: a quarter of the time
    that BERT-base takes, and each weight in memory once more.
    """
    before = nn.functional.linear
    nn.functional.linear = _product
    try:
        yield
    finally:
        nn.functional.linear = before


@contextmanager
def weights_on_the_right(model: nn.Module) -> Iterator[None]:
    """While the block runs, what a tensor network's second product gives is turned by itself.

    The converter would turn the product instead, weights on the left, and kernels in integers do not take that.
    """
    networks = [module for module in model.modules() if isinstance(module, TensorLinear)]
    seconds = [network.second for network in networks]
    for network in networks:
        network.second = _HeldProduct(network.second)
    try:
        yield
    finally:
        for network, second in zip(networks, seconds, strict=True):
            network.second = second


class _HeldProduct(nn.Linear):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight = linear.weight

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        from litert_torch.backend.optimization_barrier import optimization_barrier

        outputs: torch.Tensor = optimization_barrier(super().forward(inputs), inputs)[0]  # it is lowered for several values alone
        return outputs


def _product(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    product = torch.ops.tfl.batch_matmul(inputs, weight, adj_y=True)
    return product if bias is None else product + bias
