"""Rounding that makes up for its own errors: GPTQ (Frantar 2022, arXiv 2210.17323). Numpy only."""

import numpy as np

from edgepack.export.blocks import Blocks, Grid, find_scales, to_grid

_DAMPING = 0.01  # of the mean second moment, added to each: inputs that move together would else be told apart by noise


def quantize_by_moments(matrix: np.ndarray, grid: Grid, moments: np.ndarray) -> Blocks:
    """`matrix` [rows, inputs] with the least squared error of its products, not of itself.

    moments [inputs, inputs]: the sum of x x^T over calibration inputs x. Input by input, what rounding got wrong is
    taken over by the inputs that come after; a block's scales are found when its turn comes.
    """
    rows, inputs = matrix.shape
    missing = -inputs % grid.block
    left = np.pad(np.asarray(matrix, np.float32), ((0, 0), (0, missing)))
    upper, importance = _prepared(moments, missing)
    values, scales, zeros = [], [], []
    for at in range(0, inputs + missing, grid.block):
        end = at + grid.block
        block, errors = left[:, at:end], np.empty((rows, grid.block), np.float32)
        scale, zero = find_scales(block, grid, importance[at:end])
        found = np.empty((rows, grid.block), np.uint8)
        for column in range(grid.block):
            own = block[:, column]
            found[:, column] = to_grid(own[:, None], grid, scale, zero)[:, 0]
            kept = (found[:, column].astype(np.float32) - zero) * scale
            errors[:, column] = (own - kept) / upper[at + column, at + column]
            block[:, column + 1 :] -= np.outer(errors[:, column], upper[at + column, at + column + 1 : end])
        left[:, end:] -= errors @ upper[at:end, end:]
        values.append(found), scales.append(scale), zeros.append(zero)
    return Blocks(grid, np.stack(values, axis=1), np.stack(scales, axis=1), np.stack(zeros, axis=1))


def _prepared(moments: np.ndarray, missing: int) -> tuple[np.ndarray, np.ndarray]:
    """The upper Cholesky factor of the inverse of the damped moments, and their diagonal; filled up for inputs that are missing."""
    damped = moments.astype(np.float64)
    damped[np.diag_indices_from(damped)] += max(_DAMPING * float(np.diag(damped).mean()), 1e-9)
    whole = np.eye(len(damped) + missing) * float(np.diag(damped).mean())
    whole[: len(damped), : len(damped)] = damped
    inverse = np.linalg.inv(whole)
    upper = np.linalg.cholesky((inverse + inverse.T) / 2).T
    return upper.astype(np.float32), np.diag(whole).astype(np.float32)
