"""Matrices in blocks of 4- or 8-bit integers with a scale each: how good scales are found, and how onnxruntime packs them. Numpy only."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_OFF_GRID = 1e-3  # of a step
_TRIED_BLOCKS = 16  # that tell whether a matrix was trained on blocks: others are off any grid at once
_SHRINKS = np.linspace(0.7, 1.05, 15)  # of the largest value: what is cut off there makes the rest finer


@dataclass(frozen=True)
class Grid:
    """Integers from 0 to `highest`, `middle` of them is zero where a block has no zero point of its own.

    bf16: scales are positive and end after 8 bits, as XNNPACK computes with them.
    """

    bits: int
    block: int
    asymmetric: bool = False
    bf16: bool = False

    @property
    def highest(self) -> int:
        return 2**self.bits - 1

    @property
    def middle(self) -> int:
        return 2 ** (self.bits - 1)


@dataclass(frozen=True)
class Blocks:
    """values [rows, blocks, block] uint8; scales, zeros [rows, blocks]: a weight is (value - zero) * scale."""

    grid: Grid
    values: np.ndarray
    scales: np.ndarray
    zeros: np.ndarray

    def matrix(self, inputs: int) -> np.ndarray:
        """What the runtime multiplies with, [rows, inputs]."""
        whole = (self.values.astype(np.float32) - self.zeros[..., None]) * self.scales[..., None]
        return whole.reshape(len(whole), -1)[:, :inputs]

    def packed_values(self) -> np.ndarray:
        """[rows, blocks, block * bits / 8], the first of two in the lower half of a byte."""
        return self.values if self.grid.bits == 8 else self.values[..., ::2] | self.values[..., 1::2] << 4

    def packed_zeros(self) -> np.ndarray:
        """[rows, blocks] or, two in a byte, [rows, blocks / 2]."""
        zeros = self.zeros.astype(np.uint8)
        if self.grid.bits == 8:
            return zeros
        zeros = np.pad(zeros, ((0, 0), (0, zeros.shape[1] % 2)))
        return zeros[:, ::2] | zeros[:, 1::2] << 4


def quantize_blocks(matrix: np.ndarray, grid: Grid) -> Blocks:
    """`matrix` [rows, inputs] by itself, each block with the scale that leaves the least squared error.

    The last block is filled with zeros where `grid.block` does not divide the inputs.
    """
    rows, inputs = matrix.shape
    missing = -inputs % grid.block
    whole = np.pad(np.asarray(matrix, np.float32), ((0, 0), (0, missing))).reshape(rows, -1, grid.block)
    scales, zeros = find_scales(whole, grid)
    return Blocks(grid, to_grid(whole, grid, scales, zeros), scales, zeros)


def to_grid(values: np.ndarray, grid: Grid, scales: np.ndarray, zeros: np.ndarray) -> np.ndarray:
    """The nearest integers; scales and zeros lack the last axis of `values`."""
    return np.clip(np.rint(values / scales[..., None]) + zeros[..., None], 0, grid.highest).astype(np.uint8)


def find_scales(values: np.ndarray, grid: Grid, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero of each block on the last axis, by search: each candidate's integers get the scale that fits them best.

    Blocks that a training has put on a grid keep it.
    """
    weighted = values if weights is None else values * weights
    most = np.full(values.shape[:-1], -np.inf, np.float32)  # of the squared values, what the integers explain
    scales, zeros = np.ones_like(most), np.full_like(most, grid.middle)
    for scale, zero in _candidates(values, grid):
        centred = np.clip(np.rint(values / scale[..., None]), -zero[..., None], grid.highest - zero[..., None])
        product = np.einsum("...i,...i->...", weighted, centred)
        power = np.einsum("...i,...i->...", centred if weights is None else centred * weights, centred)
        gain = np.divide(product**2, power, out=np.zeros_like(most), where=power > 0)
        better = (gain > most) & (power > 0)
        most = np.where(better, gain, most)
        scales = np.where(better, np.divide(product, power, out=np.ones_like(most), where=power > 0), scales)
        zeros = np.where(better, zero, zeros)
    if _some_are_trained(values, grid):
        is_trained, of_training, their_zeros = trained_grids(values, grid)
        scales, zeros = np.where(is_trained, of_training, scales), np.where(is_trained, their_zeros, zeros)
    scales = np.where(scales == 0, np.float32(1), scales).astype(np.float32)
    return (_in_bf16(scales) if grid.bf16 else scales), zeros


def is_trained(matrix: np.ndarray, grid: Grid) -> bool:
    """Whether a training has put `matrix` [rows, inputs] on such blocks."""
    return matrix.shape[1] % grid.block == 0 and _some_are_trained(matrix.reshape(len(matrix), -1, grid.block), grid)


def _some_are_trained(values: np.ndarray, grid: Grid) -> bool:
    return bool(trained_grids(values.reshape(-1, values.shape[-1])[:_TRIED_BLOCKS], grid)[0].all())


def trained_grids(values: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which blocks on the last axis are whole multiples of a step that the grid holds, and their scales and zeros, [...] each.

    A step is the least difference of two values, 0 among them, or a half or a third of it where no two are neighbours on the grid.
    """
    whole = np.sort(np.concatenate([values, np.zeros_like(values[..., :1])], axis=-1), axis=-1)
    differences, largest = np.diff(whole, axis=-1), np.abs(values).max(axis=-1)
    least = np.where(differences > largest[..., None] / (4 * grid.highest), differences, np.inf).min(axis=-1)
    is_trained, scales, zeros = largest == 0, np.ones_like(largest), np.full_like(largest, grid.middle)
    for parts in (1, 2, 3):
        steps = np.where(np.isfinite(least), least, 1) / parts
        multiples = values / steps[..., None]
        integers = np.rint(multiples)
        low, high = np.minimum(integers.min(axis=-1), 0), np.maximum(integers.max(axis=-1), 0)
        has_middle = (low >= -grid.middle) & (high <= grid.highest - grid.middle)
        fits = has_middle | (grid.asymmetric & (high - low <= grid.highest))
        fits &= (np.abs(multiples - integers).max(axis=-1) < _OFF_GRID) & ~is_trained
        power = np.square(integers).sum(axis=-1)
        exact = np.divide((integers * values).sum(axis=-1), power, out=np.ones_like(steps), where=power > 0)
        is_trained, scales = is_trained | fits, np.where(fits, exact, scales)
        zeros = np.where(fits & ~has_middle, -low, zeros)
    return is_trained, scales, zeros


def _in_bf16(scales: np.ndarray) -> np.ndarray:
    """The nearest that bfloat16 holds, and float16 too, which is how a TFLite file stores them."""
    bits = np.maximum(scales, np.finfo(np.float16).tiny).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def _candidates(values: np.ndarray, grid: Grid) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    low, high = values.min(axis=-1), values.max(axis=-1)
    middle = np.full_like(low, grid.middle)
    largest = np.where(-low > high, low, high) / -grid.middle  # with its sign: the grid reaches one further down than up
    if grid.bf16:
        largest = np.maximum(-low / grid.middle, high / (grid.middle - 1))
    for shrink in _SHRINKS:
        yield _divisor(largest * shrink), middle
    if grid.asymmetric:
        low, high = np.minimum(low, 0), np.maximum(high, 0)
        for shrink in _SHRINKS:
            scale = _divisor((high - low) * shrink / grid.highest)
            zero = np.clip(np.rint(-low * shrink / scale), 0, grid.highest)
            yield scale, zero


def _divisor(scale: np.ndarray) -> np.ndarray:
    return np.where(np.abs(scale) < 1e-30, np.float32(1), scale).astype(np.float32)
