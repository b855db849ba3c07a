"""Coarse grids: integers of 8 bits that take few bits after an entropy coder, rounded by error and bits together. Numpy only.

A matrix has one trade-off number, its price: an error of so much is worth a bit. The step follows from it, and each weight goes to
the integer with the least error plus price times bits, where GPTQ lets the weights that come later make up for it (entropy-constrained
quantization: Chou, Lookabaugh, Gray 1989; with GPTQ's order and errors: Frantar 2022, arXiv 2210.17323).
"""

from dataclasses import dataclass

import numpy as np

from edgepack.quantize.gptq import damped_moments

_PRICE_OF_STEP = 0.1155  # price over step squared, ln 2 / 6: where a finer step costs as many bits as it saves error (high resolution)
_AT_ONCE = 64  # inputs whose errors are gathered before the rest of a matrix takes them over
_ROWS_AT_ONCE = 2048  # of a matrix: their errors stay in a CPU's cache
_OFF_SCALE = 1e-3  # of a scale


@dataclass(frozen=True)
class Coarse:
    """values int8 [rows, inputs]; steps [rows]: a weight is value * step."""

    values: np.ndarray
    steps: np.ndarray

    @property
    def bits(self) -> float:
        """Of all values together: their order-0 entropy, which the codecs come within 0.05 bits a weight of."""
        return entropy_bits(counts_of(self.values))


@dataclass(frozen=True)
class Inverse:
    """What GPTQ asks of a product's inputs: the order that they are rounded in, and the upper Cholesky factor of the inverse moments."""

    order: np.ndarray
    upper: np.ndarray

    @property
    def importance(self) -> float:
        """The geometric mean over inputs of the error that a wrong weight makes once all others have made up for it."""
        return float(np.exp(-2 * np.log(np.diag(self.upper)).mean()))


def inverse_of(moments: np.ndarray) -> Inverse:
    damped = damped_moments(moments, 0)
    order = np.argsort(-np.diag(damped), kind="stable")
    inverse = np.linalg.inv(damped[np.ix_(order, order)])
    return Inverse(order, np.linalg.cholesky((inverse + inverse.T) / 2).T.astype(np.float32))


def step_of(price: float, importance: np.ndarray) -> np.ndarray:
    """As many as there are importances."""
    return np.sqrt(price / (_PRICE_OF_STEP * importance))


def round_coarse(matrix: np.ndarray, steps: np.ndarray, price: np.ndarray | float, largest: int, inverse: Inverse | None = None) -> Coarse:
    """`matrix` [rows, inputs] on the grid of `steps` [rows]; no integer is over `largest`. inverse: None where no inputs are known.

    price: squared error that is worth a bit, of all rows or of each, in units of the products' outputs where there is an inverse, else
    of the weights.
    """
    steps = np.maximum(steps, np.abs(matrix).max(axis=1) / (largest + 0.49)).astype(np.float32)
    steps = np.where(steps > 0, steps, np.float32(1))
    in_steps = (price / steps**2).astype(np.float32)
    # The counts of what is nearest will do: a second rounding with the counts of the first saved 0.004 bits at 1.4 bits, and none at 4.
    bits = bits_by_value(counts_of(np.rint(matrix / steps[:, None]).astype(np.int8)))
    if inverse is None:
        values = _nearest(matrix / steps[:, None], in_steps[:, None], bits, largest).astype(np.int8)
    else:
        values = _by_inverse(matrix, steps, in_steps, bits, largest, inverse)
    return Coarse(values, steps)


def _nearest(scaled: np.ndarray, price: np.ndarray, bits: np.ndarray, largest: int) -> np.ndarray:
    """The integer with the least squared error plus price times bits: the nearest, or the next one towards zero. In units of the step."""
    near = np.clip(np.rint(scaled), -largest, largest)
    lower = near - np.sign(near)
    costs = [(scaled - each) ** 2 + price * bits.take(each.astype(np.intp) + 128) for each in (near, lower)]
    return np.where(costs[1] < costs[0], lower, near)


def _by_inverse(matrix: np.ndarray, steps: np.ndarray, price: np.ndarray, bits: np.ndarray, largest: int, inverse: Inverse) -> np.ndarray:
    """price: in units of the step. An input's weights of all rows lie side by side here: that is what is computed at once."""
    values = np.empty(matrix.shape, np.int8)
    for at in range(0, len(matrix), _ROWS_AT_ONCE):
        part = slice(at, at + _ROWS_AT_ONCE)
        scaled = np.ascontiguousarray((matrix[part] / steps[part, None]).T[inverse.order], np.float32)
        rounded = np.empty(scaled.shape, np.int8)
        rounded[inverse.order] = _input_by_input(scaled, price[part], bits, largest, np.asarray(inverse.upper))
        values[part] = rounded.T
    return values


def _input_by_input(left: np.ndarray, price: np.ndarray, bits: np.ndarray, largest: int, upper: np.ndarray) -> np.ndarray:
    """Integers for `left` [inputs, rows], which is changed."""
    rounded = np.empty(left.shape, np.int8)
    for at in range(0, len(left), _AT_ONCE):
        end = min(at + _AT_ONCE, len(left))
        errors = np.zeros((end - at, left.shape[1]), np.float32)
        for number in range(at, end):
            exact = left[number] - upper[at:number, number] @ errors[: number - at]
            integers = _nearest(exact, price * upper[number, number] ** 2, bits, largest)
            rounded[number] = integers
            errors[number - at] = (exact - integers) / upper[number, number]
        left[end:] -= upper[at:end, end:].T @ errors
    return rounded


def few_values_of(matrix: np.ndarray) -> Coarse | None:
    """`matrix` as it is, where each row's weights are -1, 0 and 1 times a scale; None: it has other values."""
    steps = np.abs(matrix).max(axis=1)
    steps = np.where(steps > 0, steps, 1).astype(np.float32)
    scaled = matrix / steps[:, None]
    values = np.rint(scaled)
    return Coarse(values.astype(np.int8), steps) if np.abs(scaled - values).max() < _OFF_SCALE else None


def counts_of(values: np.ndarray) -> np.ndarray:
    """How often each of -128 to 127 stands in int8 values."""
    return np.bincount(np.ascontiguousarray(values).view(np.uint8).ravel() ^ 128, minlength=256)


def entropy_bits(counts: np.ndarray) -> float:
    present = counts[counts > 0]
    return float(-(present * np.log2(present / present.sum())).sum())


def bits_by_value(counts: np.ndarray) -> np.ndarray:
    """Bits of each value's code, by value + 128. A value that was never seen costs as much as one that was seen once in a while."""
    return -np.log2((counts + 0.1) / (counts.sum() + 25.6)).astype(np.float32)
