"""One trade-off number for all matrices of a model: from it follow each one's steps and rounding. Numpy only, whatever the file's format.

The best use of bits lets the last bit of every row save as much error of the model's outputs. coarse_weights.py says what an error
inside weighs there. Without texts all matrices weigh the same beside their own size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar
from edgepack.quantize.coarse import Coarse, round_coarse, step_of
from edgepack.quantize.coarse_weights import Known, Matrix

_NEAR = 0.02  # bits: as close as the search comes to what is asked for
_MOST_ROUNDS = 6
_COARSEST_SIGMA = 2.0  # a step of so many deviations leaves hardly a weight that is not zero
_TRAINED_NEAR = 0.25  # bits over what is asked for that a trained grid may take
_OFF_GRID = 1e-3  # of a step
_LOWEST_PRICE, _HIGHEST_PRICE = 1e-24, 1e12
_HALVINGS = 16  # of the prices' powers of two: to a thousandth of a bit
_SAMPLE_ROWS = 64  # of a matrix, which tell what a price comes to


def at_mean_bits(matrices: Sequence[Matrix], known: Known, bits: float, largest: int, near: float = _NEAR) -> dict[str, Coarse]:
    """All matrices by the one price that comes to so many bits a weight on average, give or take `near`.

    Matrices that a training has put on a grid stay on it.

    EdgepackError: no price does, because integers up to `largest` have no more bits, or the coarsest step has more.
    """
    trained = _on_their_grids(matrices, largest)
    if trained and sum(each.bits for each in trained.values()) / sum(each.values.size for each in trained.values()) <= bits + _TRAINED_NEAR:
        rest = [matrix for matrix in matrices if matrix.name not in trained]
        return trained | (_at_mean_bits(rest, known, bits, largest, near) if rest else {})
    return _at_mean_bits(matrices, known, bits, largest, near)


def _on_their_grids(matrices: Sequence[Matrix], largest: int) -> dict[str, Coarse]:
    """Those whose weights are whole multiples of one step already."""
    grids = ((matrix.name, grid_of(matrix.values, largest)) for matrix in matrices)
    return {name: coarse for name, coarse in grids if coarse is not None}


def grid_of(values: np.ndarray, largest: int) -> Coarse | None:
    """The weights as they are, where they are whole multiples of one step and none is over `largest`."""
    sample = np.unique(np.abs(values.ravel()[: 16 * largest]))  # most matrices show here that they are on none
    if len(sample) > largest + 1:
        return None
    sizes = np.unique(np.abs(values))
    sizes = sizes[sizes > 0]
    if not 0 < len(sizes) <= largest:
        return None
    for parts in (1, 2, 3):
        step = np.float32(sizes[0] / parts)
        multiples = sizes / step
        if multiples[-1] <= largest + 0.5 and np.abs(multiples - np.rint(multiples)).max() < _OFF_GRID:
            return Coarse(np.rint(values / step).astype(np.int8), np.full(len(values), step, np.float32))
    return None


def _at_mean_bits(matrices: Sequence[Matrix], known: Known, bits: float, largest: int, near: float) -> dict[str, Coarse]:
    """What rounding by inputs adds to the bits of a sample that is rounded without it, one whole rounding tells; the next allows for it."""
    few, count = [_sample(matrix, known) for matrix in matrices], sum(matrix.values.size for matrix in matrices)
    wanted = bits
    with bar(f"round to {bits:g} bits a weight", _MOST_ROUNDS) as progress:
        for _ in range(_MOST_ROUNDS):
            price = _price_for(few, wanted, largest)
            rounded = {matrix.name: _rounded(matrix, known, price, largest) for matrix in matrices}
            reached = sum(each.bits for each in rounded.values()) / count
            progress.advance()
            if abs(reached - bits) <= near:
                return rounded
            wanted += np.clip(bits - reached, -2, 2)
    raise EdgepackError(
        f"--bits {bits:g}: no grid of this model comes to it; the nearest one has {reached:.2f} bits a weight",
        f"use --bits {ceil(reached * 10) / 10:.1f}" if reached > bits else f"use --bits {max(1.0, reached - 0.1):.1f}, or leave it out",
    )


def beside_half_zero(matrices: Sequence[Matrix], rounded: Mapping[str, Coarse]) -> dict[str, float]:
    """What magnitude pruning takes, half of each matrix at zero and int8 then: bits a weight, and weights over their error in dB."""
    zeroed = {}
    for matrix in matrices:
        sizes = np.abs(matrix.values)
        remaining = np.where(sizes < np.median(sizes), np.float32(0), matrix.values)
        zeroed[matrix.name] = round_coarse(remaining, sizes.max(axis=1) / 127, 0.0, 127)
    return {
        "signal_db": _signal_db(matrices, rounded),
        "half_zero_bits": round(sum(each.bits for each in zeroed.values()) / sum(each.values.size for each in zeroed.values()), 3),
        "half_zero_signal_db": _signal_db(matrices, zeroed),
    }


def _signal_db(matrices: Sequence[Matrix], rounded: Mapping[str, Coarse]) -> float:
    power = sum(float(np.square(matrix.values).sum()) for matrix in matrices)
    wrong = sum(float(np.square(_restored(rounded[matrix.name]) - matrix.values).sum()) for matrix in matrices)
    return round(10 * float(np.log10(power / max(wrong, 1e-30))), 1)


def _restored(coarse: Coarse) -> np.ndarray:
    return coarse.values * coarse.steps[:, None]


@dataclass(frozen=True)
class _Sample:
    """Some rows of a matrix, what an error in each weighs, the coarsest step, and how many weights they stand for."""

    values: np.ndarray
    importance: np.ndarray
    coarsest: float
    stands_for: int


def _sample(matrix: Matrix, known: Known) -> _Sample:
    every = max(1, len(matrix.values) // _SAMPLE_ROWS)
    importance, coarsest = _importance(matrix, known)
    return _Sample(matrix.values[::every], importance[::every], coarsest, matrix.values.size)


def _price_for(samples: Sequence[_Sample], bits: float, largest: int) -> float:
    """By halving, without what GPTQ does."""

    def mean_bits(price: float) -> float:
        total = 0.0
        for sample in samples:
            steps = _steps(price, sample.importance, sample.coarsest)
            total += round_coarse(sample.values, steps, price_of(steps), largest).bits / sample.values.size * sample.stands_for
        return total / sum(sample.stands_for for sample in samples)

    low, high = np.log2(_LOWEST_PRICE), np.log2(_HIGHEST_PRICE)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_bits(2.0**middle) > bits else (low, middle)
    return float(2.0 ** ((low + high) / 2))


def price_of(steps: np.ndarray) -> np.ndarray:
    """What a bit is worth of squared error of the weights themselves, at each of these steps."""
    return steps**2 / step_of(1.0, np.ones(1)) ** 2


def _importance(matrix: Matrix, known: Known) -> tuple[np.ndarray, float]:
    """What an error weighs in each row, and the coarsest step that the matrix may have."""
    deviation = float(matrix.values.std()) or 1.0
    importance: np.ndarray | float = 1 / deviation**2
    if known.weights:
        importance = known.weights[matrix.name] * (known.inverses[matrix.source].importance if matrix.source else 1 / len(matrix.values))
    return np.broadcast_to(importance, len(matrix.values)), _COARSEST_SIGMA * deviation


def _steps(price: float, importance: np.ndarray, coarsest: float) -> np.ndarray:
    return np.minimum(step_of(price, importance), coarsest).astype(np.float32)


def _rounded(matrix: Matrix, known: Known, price: float, largest: int) -> Coarse:
    steps = _steps(price, *_importance(matrix, known))
    if not known.weights or matrix.source is None:
        return round_coarse(matrix.values, steps, price_of(steps), largest)
    inverse = known.inverses[matrix.source]
    return round_coarse(matrix.values, steps, price_of(steps) * inverse.importance, largest, inverse)
