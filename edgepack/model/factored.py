"""Linear layers and embedding tables as two smaller products, and the record by which a checkpoint's are made again."""

from collections.abc import Sequence

import torch
from torch import nn

from edgepack.plan.factors import Factor


class FactoredLinear(nn.Module):
    """[..., inputs] become [..., outputs] through `rank` numbers: two matrix products."""

    def __init__(self, factor: Factor, bias: bool) -> None:
        super().__init__()
        self.factor = factor
        self.first = nn.Linear(factor.columns, factor.rank, bias=False)
        self.second = nn.Linear(factor.rank, factor.rows, bias=bias)

    @property
    def bias(self) -> nn.Parameter | None:
        return self.second.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.second(self.first(inputs))
        return outputs


class TensorLinear(nn.Module):
    """The same for a network of two cores: the matrix is a sum of `rank` Kronecker products. Each core is a matrix product.

    With inputs [j1, j2] and outputs [i1, i2]: y[i1, i2] = sum over k, j1, j2 of outer[i1, j1, k] inner[k, i2, j2] x[j1, j2].
    """

    def __init__(self, factor: Factor, bias: bool) -> None:
        super().__init__()
        self.factor, parts = factor, shared_part(factor.rows, factor.columns)
        self.parts = parts  # of j1, and of i2
        self.first = nn.Linear(factor.columns // parts, factor.rank * parts, bias=False)
        self.second = nn.Linear(parts * factor.rank, factor.rows // parts, bias=False)
        self.bias = nn.Parameter(torch.zeros(factor.rows)) if bias else None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        lead = inputs.shape[:-1]
        inner = self.first(inputs.reshape(*lead, self.parts, self.factor.columns // self.parts))
        by_output = inner.reshape(*lead, self.parts * self.factor.rank, self.parts).transpose(-1, -2)
        outputs = self.second(by_output).transpose(-1, -2).reshape(*lead, self.factor.rows)
        return outputs if self.bias is None else outputs + self.bias


class FactoredEmbedding(nn.Module):
    """Token ids become rows of a narrow table, and those a hidden state."""

    def __init__(self, factor: Factor, padding_id: int | None) -> None:
        super().__init__()
        self.factor = factor
        self.table = nn.Embedding(factor.rows, factor.rank, padding_idx=padding_id)
        self.up = nn.Linear(factor.rank, factor.columns, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.up(self.table(ids))
        return states


LINEARS = (FactoredLinear, TensorLinear)


def shared_part(rows: int, columns: int) -> int:
    """How many ways a tensor splits rows and columns: 2 costs least of all that is more than none (a core's work grows with it)."""
    return 2 if rows % 2 == 0 and columns % 2 == 0 else 1


def whole_matrix(linear: nn.Module) -> torch.Tensor:
    """[outputs, inputs] of what a factored linear layer computes, without its bias."""
    eye = torch.eye(linear.factor.columns, dtype=linear.first.weight.dtype, device=linear.first.weight.device)
    product = linear(eye)
    return (product if linear.bias is None else product - linear.bias).T


def empty(factor: Factor, module: nn.Module) -> nn.Module:
    """A module for the factor in the place of `module`, its weights still random."""
    if factor.table:
        return FactoredEmbedding(factor, getattr(module, "padding_idx", None))
    kind = FactoredLinear if factor.kind == "svd" else TensorLinear
    return kind(factor, module.bias is not None)


def factors_of(model: nn.Module) -> tuple[Factor, ...]:
    """Those of a model, in the order of its modules."""
    return tuple(module.factor for _, module in model.named_modules() if isinstance(module, (*LINEARS, FactoredEmbedding)))


def put_factors(model: nn.Module, factors: Sequence[Factor]) -> None:
    """Gives a freshly made model the factors of a checkpoint, so that its weights can be loaded. ValueError: they do not fit."""
    for factor in factors:
        try:
            module = model.get_submodule(factor.path)
        except AttributeError:
            raise ValueError(f"the checkpoint's list names {factor.path}, which the model does not have") from None
        model.set_submodule(factor.path, empty(factor, module))
