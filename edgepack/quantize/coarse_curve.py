"""The coarse grid that ships, and the points that the report's curve shows beside it, whatever the format: bits a weight, MB and score."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.plan.steps import Quantize
from edgepack.quantize.coarse import Coarse, few_values_of, round_coarse
from edgepack.quantize.coarse_search import at_mean_bits, beside_half_zero
from edgepack.quantize.coarse_weights import Known, Matrix
from edgepack.quantize.schemes import Candidate

_STEP = 0.6  # bits between the points of the curve
_NEAR_POINT = 0.2  # bits: a point beside the shipped one is rounded once where it comes so near; what it came to is what is shown
_SAME_POINT = 0.1  # bits

Details = dict[str, float | int | str]
Write = Callable[[Mapping[str, Coarse] | None, Path], None]  # of a file on that grid, or of int8 as fine as it can be, into a folder


@dataclass(frozen=True)
class Grids:
    """An int8 model's matrices in float, and what an error in each weighs: ready for a grid of any number of bits.

    texts: that were looked at for it.
    """

    matrices: Sequence[Matrix]
    known: Known
    largest: int
    texts: int

    def at(self, bits: float) -> tuple[dict[str, Coarse], Details]:
        """The grid that comes to so many bits a weight. EdgepackError: no grid does."""
        rounded = at_mean_bits(self.matrices, self.known, bits, self.largest)
        count = sum(each.values.size for each in rounded.values())
        details: Details = {
            "bits": mean_bits(rounded),
            "rounded_weights": count,
            "zero_share": round(sum(int((each.values == 0).sum()) for each in rounded.values()) / count, 3),
            "grid_texts": self.texts,
            "errors_weighed": self.known.weighed,
        }
        return rounded, details | beside_half_zero(self.matrices, rounded)

    def few_values(self) -> tuple[dict[str, Coarse], Details]:
        """The values that a training left; what it did not see, a small matrix or what the export computes, is as fine as it can be."""
        trained = {matrix.name: coarse for matrix in self.matrices if (coarse := few_values_of(matrix.values)) is not None}
        rounded = self._fine() | trained
        count = sum(each.values.size for each in rounded.values())
        return rounded, {
            "bits": mean_bits(rounded),
            "rounded_weights": count,
            "zero_share": round(sum(int((each.values == 0).sum()) for each in rounded.values()) / count, 3),
            "few_values_share": round(sum(each.values.size for each in trained.values()) / count, 3),
        }

    def beside(self, bits: float, shipped_bits: float) -> Iterator[dict[str, Coarse]]:
        """A coarser grid and a finer one, where there are any."""
        for wished in (bits - _STEP, bits + _STEP):
            try:
                rounded = at_mean_bits(self.matrices, self.known, wished, self.largest, _NEAR_POINT)
            except EdgepackError:  # no grid comes to it
                continue
            if abs(mean_bits(rounded) - shipped_bits) >= _SAME_POINT:  # a grid that a training made stays as it is: it has no finer one
                yield rounded

    def fine_bits(self) -> float:
        """Of int8 as fine as it can be, each channel with a scale of its own."""
        return mean_bits(self._fine())

    def _fine(self) -> dict[str, Coarse]:
        whole = {matrix.name: matrix.values for matrix in self.matrices}
        return {name: round_coarse(each, np.abs(each).max(axis=1) / self.largest, 0.0, self.largest) for name, each in whole.items()}


def mean_bits(rounded: Mapping[str, Coarse]) -> float:
    return round(sum(each.bits for each in rounded.values()) / sum(each.values.size for each in rounded.values()), 3)


@dataclass(frozen=True)
class Curve:
    """The shipped grid with its details; points beside it; the bits of int8 as fine as it can be."""

    shipped: Mapping[str, Coarse]
    details: Details
    points: Sequence[Mapping[str, Coarse]]
    fine_bits: float


def curve_around(grids: Grids, bits: float, fine_bits: float) -> Curve:
    shipped, details = grids.at(bits)
    return Curve(shipped, details, list(grids.beside(bits, float(details["bits"]))), fine_bits)


def candidates_of(curve: Curve, recipe: str, precision: str, write: Write, more: Details) -> Iterator[Candidate]:
    """Those of the curve alone, then the one that ships. recipe: what all of them have in common. more: details of the one that ships."""
    for point in curve.points:
        bits = mean_bits(point)
        name = f"{recipe} on a coarse grid, {bits:.2f} bits a weight, for the curve"
        yield Candidate(name, precision, partial(write, point), {"bits": bits}, for_curve=True)
    name = f"{recipe} at its finest, for the curve"
    yield Candidate(name, precision, partial(write, None), {"bits": curve.fine_bits}, for_curve=True)
    name = f"{recipe} on a coarse grid, {curve.details['bits']:.2f} bits a weight"
    yield Candidate(name, precision, partial(write, curve.shipped), more | curve.details)


def trained_values(grids: Grids, step: Quantize, recipe: str, write: Write, more: Details) -> Candidate:
    """The few values that a training left. It has no curve: what is finer, or coarser, was not trained."""
    rounded, details = grids.few_values()
    return Candidate(f"{recipe} with {step.weights} weights", step.precision, partial(write, rounded), more | details)
