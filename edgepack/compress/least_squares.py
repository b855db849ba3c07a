"""Least squares with a ridge, of second moments: rows of texts are summed up once, and what is solved has the width of a matrix."""

import torch

_ROWS = 2048  # that are multiplied at once; their sums are added in double precision


def moment_of(rows: torch.Tensor, others: torch.Tensor | None = None) -> torch.Tensor:
    """The sum over all rows of `rows`^T `others`, in double precision: [rows [n, a], others [n, b]] -> [a, b]. others: None is `rows`."""
    others = rows if others is None else others
    total = torch.zeros(rows.shape[1], others.shape[1], dtype=torch.double)
    for at in range(0, len(rows), _ROWS):
        total += (rows[at : at + _ROWS].T @ others[at : at + _ROWS]).double()
    return total


def with_ones(rows: torch.Tensor) -> torch.Tensor:
    """A last column of 1, which a bias is multiplied by."""
    return torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)


def ridged(moment: torch.Tensor, width: int, share: float) -> torch.Tensor:
    """The moment with a ridge on its first `width` columns, a share of their mean square; a bias behind them is free."""
    ridge = torch.zeros(len(moment), dtype=moment.dtype)
    ridge[:width] = share * moment.diagonal()[:width].mean() + 1e-12
    return moment + ridge.diag()
