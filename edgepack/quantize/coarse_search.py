"""One trade-off number for all matrices of a model: from it follow each one's step and rounding. Numpy only, whatever the file's format.

The best use of bits lets the last bit of every matrix save as much error of the model's outputs. How much an error inside weighs there
is measured: each group of matrices is rounded by itself, and the outputs compared (on train texts). Without texts all matrices weigh
the same beside their own size.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar
from edgepack.quantize.coarse import Coarse, Inverse, inverse_of, round_coarse, step_of

PROBE_SIGMA = 0.5  # step over the weights' deviation, of the rounding that tells what an error weighs
_NEAR = 0.02  # bits: as close as the search comes to what is asked for
_MOST_ROUNDS = 6
_COARSEST_SIGMA = 2.0  # a step of so many deviations leaves hardly a weight that is not zero
_LEAST_WEIGHT = 1e-9  # of an error that the outputs do not show
_TRAINED_NEAR = 0.25  # bits over what is asked for that a trained grid may take
_OFF_GRID = 1e-3  # of a step
_LOWEST_PRICE, _HIGHEST_PRICE = 1e-24, 1e12


@dataclass(frozen=True)
class Matrix:
    """values [rows, inputs] in float; source: the value that it is multiplied with, None for a table. group: what is probed together."""

    name: str
    values: np.ndarray
    source: str | None
    group: str


@dataclass(frozen=True)
class Known:
    """What the texts told: the inverse moments of each product's inputs, by source, and what an error weighs, by group. Empty: no texts."""

    inverses: Mapping[str, Inverse]
    weights: Mapping[str, float]


def learned(matrices: Sequence[Matrix], moments: Mapping[str, np.ndarray], error_of: Callable[[Mapping[str, np.ndarray]], float]) -> Known:
    """moments: mean of x x^T by source. error_of: of the model's outputs, with these matrices in place of its own."""
    inverses = {source: inverse_of(values) for source, values in moments.items()}
    groups: dict[str, list[Matrix]] = {}
    for matrix in matrices:
        groups.setdefault(matrix.group, []).append(matrix)
    weights = {}
    with bar("weigh the matrices", len(groups)) as progress:
        for name, group in groups.items():
            rounded = {matrix.name: _probed(matrix) for matrix in group}
            inside = sum(_inside(rounded[matrix.name] - matrix.values, moments.get(matrix.source or "")) for matrix in group)
            weights[name] = max(error_of(rounded), _LEAST_WEIGHT) / max(inside, 1e-30)
            progress.advance()
    return Known(inverses, weights)


def beside_own_outputs(matrices: Sequence[Matrix], moments: Mapping[str, np.ndarray], scratch: Path | None = None) -> Known:
    """Without a model that can be asked: an error weighs by what it is beside the outputs of its own group, and groups by their weights.

    So all products lose the same share of their outputs, as with steps of one share of the deviation, which is known to do (nobody has
    measured here which of them a decoder or a TFLite file would miss less).
    scratch: a folder that holds the inverses of a model whose own would not fit into memory.
    """
    sizes: dict[str, float] = {}
    counts: dict[str, int] = {}
    for matrix in matrices:
        sizes[matrix.group] = sizes.get(matrix.group, 0.0) + _inside(matrix.values, moments.get(matrix.source or ""))
        counts[matrix.group] = counts.get(matrix.group, 0) + matrix.values.size
    weights = {name: counts[name] / max(size, 1e-30) for name, size in sizes.items()}
    inverses = {}
    for number, (source, values) in enumerate(moments.items()):
        inverse = inverse_of(values)
        upper = inverse.upper if scratch is None else kept_on_disk(inverse.upper, scratch / f"inverse-{number}.npy")
        inverses[source] = Inverse(inverse.order, upper)
    return Known(inverses, weights)


def kept_on_disk(values: np.ndarray, path: Path) -> np.ndarray:
    np.save(path, values)
    return np.load(path, mmap_mode="r")


def _probed(matrix: Matrix) -> np.ndarray:
    step = PROBE_SIGMA * float(matrix.values.std()) or 1.0
    return np.rint(matrix.values / step).astype(np.float32) * np.float32(step)


def _inside(error: np.ndarray, moments: np.ndarray | None) -> float:
    """The error of a product's outputs, mean over texts; of a table, of a row."""
    if moments is None:
        return float(np.square(error).sum(axis=1).mean())
    return float(np.einsum("ij,ij->", error @ moments, error))


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
    price, count = _first_price(matrices, known, bits, largest), sum(matrix.values.size for matrix in matrices)
    with bar(f"round to {bits:g} bits a weight", _MOST_ROUNDS) as progress:
        for _ in range(_MOST_ROUNDS):
            rounded = {matrix.name: _rounded(matrix, known, price, largest) for matrix in matrices}
            reached = sum(each.bits for each in rounded.values()) / count
            progress.advance()
            if abs(reached - bits) <= near:
                return rounded
            price *= 4.0 ** np.clip(reached - bits, -2, 2)
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


def _first_price(matrices: Sequence[Matrix], known: Known, bits: float, largest: int) -> float:
    """By halving, on a few rows of each matrix and without what GPTQ does: near enough to go on from."""
    few = [Matrix(each.name, each.values[:: max(1, len(each.values) // 64)], None, each.group) for each in matrices]
    by_name = {each.name: each for each in matrices}
    count = sum(matrix.values.size for matrix in matrices)

    def mean_bits(price: float) -> float:
        total = 0.0
        for sample in few:
            whole = by_name[sample.name]
            step = _step(whole, known, price)
            rounded = round_coarse(sample.values, np.full(len(sample.values), step), price_of(step), largest)
            total += rounded.bits / sample.values.size * whole.values.size
        return total / count

    low, high = np.log2(_LOWEST_PRICE), np.log2(_HIGHEST_PRICE)
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_bits(2.0**middle) > bits else (low, middle)
    return float(2.0 ** ((low + high) / 2))


def price_of(step: float) -> float:
    """What a bit is worth of squared error of the weights themselves, at a step."""
    return step**2 / step_of(1.0, 1.0) ** 2


def _step(matrix: Matrix, known: Known, price: float) -> float:
    deviation = float(matrix.values.std()) or 1.0
    if not known.weights:
        return min(step_of(price, 1 / deviation**2), _COARSEST_SIGMA * deviation)
    importance = known.weights[matrix.group]
    importance *= known.inverses[matrix.source].importance if matrix.source else 1 / len(matrix.values)
    return min(step_of(price, importance), _COARSEST_SIGMA * deviation)


def _rounded(matrix: Matrix, known: Known, price: float, largest: int) -> Coarse:
    step = _step(matrix, known, price)
    steps = np.full(len(matrix.values), step, np.float32)
    if not known.weights or matrix.source is None:
        return round_coarse(matrix.values, steps, price_of(step), largest)
    inverse = known.inverses[matrix.source]
    return round_coarse(matrix.values, steps, price_of(step) * inverse.importance, largest, inverse)
