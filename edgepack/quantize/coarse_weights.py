"""What an error in each matrix of a model weighs at its outputs, by train texts. Numpy only, whatever the file's format.

Three ways: each group of matrices is rounded by itself, and the outputs compared (`learned`); gradients tell it of each row
(`by_rows`); or an error weighs by what it is beside the outputs of its own product (`beside_own_outputs`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np

from edgepack.core.progress import bar
from edgepack.quantize.coarse import Inverse, inverse_of

PROBE_SIGMA = 0.5  # step over the weights' deviation, of the rounding that tells what an error weighs
_LEAST_WEIGHT = 1e-9  # of an error that the outputs do not show


@dataclass(frozen=True)
class Matrix:
    """values [rows, inputs] in float; source: the value that it is multiplied with, None for a table. group: what is probed together."""

    name: str
    values: np.ndarray
    source: str | None
    group: str


@dataclass(frozen=True)
class Known:
    """What the texts told: the inverse moments of each product's inputs, by source, and what an error weighs, by matrix. Empty: no texts.

    weights: of each row, or of all rows of a matrix. weighed: how, for the report.
    """

    inverses: Mapping[str, Inverse]
    weights: Mapping[str, np.ndarray | float]
    weighed: str = "by their own size"


def learned(matrices: Sequence[Matrix], moments: Mapping[str, np.ndarray], error_of: Callable[[Mapping[str, np.ndarray]], float]) -> Known:
    """moments: mean of x x^T by source. error_of: of the model's outputs, with these matrices in place of its own."""
    inverses = {source: inverse_of(values) for source, values in moments.items()}
    groups: dict[str, list[Matrix]] = {}
    for matrix in matrices:
        groups.setdefault(matrix.group, []).append(matrix)
    weights = {}
    with bar("weigh the matrices", len(groups)) as progress:
        for group in groups.values():
            rounded = {matrix.name: _probed(matrix) for matrix in group}
            inside = sum(_inside(rounded[matrix.name] - matrix.values, moments.get(matrix.source or "")) for matrix in group)
            weights |= dict.fromkeys(rounded, max(error_of(rounded), _LEAST_WEIGHT) / max(inside, 1e-30))
            progress.advance()
    return Known(inverses, weights, "by probes")


@dataclass(frozen=True)
class RowWeights:
    """What an error weighs, by what stands in a matrix's row: files name and pack matrices otherwise, and rows stay the same."""

    _by_row: dict[bytes, float] = field(default_factory=dict)

    def put(self, matrix: np.ndarray, weight: float) -> None:
        """weight: of all rows of `matrix` [rows, inputs]. Of rows that are equal the last one counts."""
        self._by_row.update(dict.fromkeys(_marks(matrix), weight))

    def of(self, matrix: np.ndarray) -> np.ndarray | None:
        """[rows] of a matrix [rows, inputs]; None: a row is unknown."""
        weights = [self._by_row.get(mark) for mark in _marks(matrix)]
        return None if None in weights else np.maximum(np.array(weights, np.float64), 1e-30)


def _marks(matrix: np.ndarray) -> list[bytes]:
    return [blake2b(row, digest_size=16).digest() for row in np.ascontiguousarray(matrix, np.float32)]


def by_rows(matrices: Sequence[Matrix], moments: Mapping[str, np.ndarray], rows: RowWeights, scratch: Path | None = None) -> Known | None:
    """As gradients tell it; None: they tell nothing of a row. scratch: see `beside_own_outputs`."""
    weights: dict[str, np.ndarray | float] = {}
    for matrix in matrices:
        values = rows.of(matrix.values)
        if values is None:
            return None
        weights[matrix.name] = values if matrix.source else values * len(values)  # a table's error is the mean of its rows
    return Known(_inverses(moments, scratch), weights, "by gradients")


def beside_own_outputs(matrices: Sequence[Matrix], moments: Mapping[str, np.ndarray], scratch: Path | None = None) -> Known:
    """Without a model that can be asked: an error weighs by what it is beside the outputs of its own group, and groups by their weights.

    So all products lose the same share of their outputs, as with steps of one share of the deviation.
    scratch: a folder that holds the inverses of a model whose own would not fit into memory.
    """
    sizes: dict[str, float] = {}
    counts: dict[str, int] = {}
    for matrix in matrices:
        sizes[matrix.group] = sizes.get(matrix.group, 0.0) + _inside(matrix.values, moments.get(matrix.source or ""))
        counts[matrix.group] = counts.get(matrix.group, 0) + matrix.values.size
    weights = {matrix.name: counts[matrix.group] / max(sizes[matrix.group], 1e-30) for matrix in matrices}
    return Known(_inverses(moments, scratch), weights, "by outputs")


def _inverses(moments: Mapping[str, np.ndarray], scratch: Path | None) -> dict[str, Inverse]:
    inverses = {}
    for number, (source, values) in enumerate(moments.items()):
        inverse = inverse_of(values)
        upper = inverse.upper if scratch is None else kept_on_disk(inverse.upper, scratch / f"inverse-{number}.npy")
        inverses[source] = Inverse(inverse.order, upper)
    return inverses


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
