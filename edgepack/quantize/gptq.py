"""Rounds weights so that later ones correct the errors of earlier ones: GPTQ (Frantar 2022, arXiv 2210.17323). Numpy only."""

from collections.abc import Iterator, Mapping

import numpy as np

from edgepack.quantize.blocks import Blocks, Grid, find_scales, to_grid

_DAMPING = 0.01  # of the mean second moment, added to each: inputs that move together would else be told apart by noise
_MOMENTS_MB = 500  # of moments in memory at once; a large model's are collected in several passes
_AT_ONCE = 128  # inputs whose errors are gathered before the rest of a matrix takes them over


def quantize_by_moments(matrix: np.ndarray, grid: Grid, moments: np.ndarray) -> Blocks:
    """`matrix` [rows, inputs] with the least squared error of its products, not of itself.

    moments [inputs, inputs]: the sum of x x^T over calibration inputs x. Input by input, the strongest first while all others can
    still make up for them, what rounding got wrong is taken over by the inputs that come after. Scales belong to blocks of
    neighbours whatever that order, so they are found before it (the paper's authors call it act-order with static groups).
    """
    rows, inputs = matrix.shape
    missing = -inputs % grid.block
    whole = np.pad(np.asarray(matrix, np.float32), ((0, 0), (0, missing)))
    damped = damped_moments(moments, missing)
    importance = np.diag(damped).astype(np.float32)
    scales, zeros = find_scales(whole.reshape(rows, -1, grid.block), grid, importance.reshape(-1, grid.block))
    order = np.argsort(-importance, kind="stable")
    inverse = np.linalg.inv(damped[np.ix_(order, order)])
    upper = np.linalg.cholesky((inverse + inverse.T) / 2).T.astype(np.float32)
    by_input = (np.repeat(by_block, grid.block, axis=1)[:, order] for by_block in (scales, zeros))
    values = np.empty((rows, inputs + missing), np.uint8)
    values[:, order] = _rounded(whole[:, order], grid, *by_input, upper)
    return Blocks(grid, values.reshape(rows, -1, grid.block), scales, zeros)


def _rounded(left: np.ndarray, grid: Grid, scales: np.ndarray, zeros: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Integers for `left`, which is changed, column after column; all of [rows, inputs], and `upper` of the inverse moments."""
    values = np.empty(left.shape, np.uint8)
    for at in range(0, left.shape[1], _AT_ONCE):
        part = left[:, at : at + _AT_ONCE]
        end = at + part.shape[1]
        errors = np.empty_like(part)
        for column in range(at, end):
            exact, scale, zero = left[:, column], scales[:, column], zeros[:, column]
            values[:, column] = to_grid(exact[:, None], grid, scale, zero)[:, 0]
            errors[:, column - at] = (exact - (values[:, column].astype(np.float32) - zero) * scale) / upper[column, column]
            left[:, column + 1 : end] -= np.outer(errors[:, column - at], upper[column, column + 1 : end])
        left[:, end:] -= errors @ upper[at:end, end:]
    return values


def damped_moments(moments: np.ndarray, missing: int) -> np.ndarray:
    """The moments as float64, damped, filled up for inputs that are missing."""
    mean = float(np.diag(moments).astype(np.float64).mean())
    added = max(_DAMPING * mean, 1e-9)
    damped = np.eye(len(moments) + missing) * mean
    damped[: len(moments), : len(moments)] = moments
    damped[np.diag_indices_from(damped)] += added
    return damped


def fitting_parts(widths: Mapping[str, int]) -> Iterator[list[str]]:
    """The names of values, in parts whose moments fit into memory together; widths: of the values."""
    part, mb = [], 0.0
    for name, width in widths.items():
        value_mb = width * width * 4 / 1e6
        if part and mb + value_mb > _MOMENTS_MB:
            yield part
            part, mb = [], 0.0
        part.append(name)
        mb += value_mb
    if part:
        yield part
