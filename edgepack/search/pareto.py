"""What is better than what where several things count: dominated points, hypervolume, knee. Every value is to be as low as possible."""

from collections.abc import Sequence
from math import isfinite

Values = Sequence[float]


def dominates(first: Values, second: Values) -> bool:
    """Whether `first` is nowhere worse and somewhere better."""
    return all(a <= b for a, b in zip(first, second, strict=True)) and any(a < b for a, b in zip(first, second, strict=True))


def front_of(points: Sequence[Values]) -> list[int]:
    """The indices of those that no other dominates; of equal ones the first."""
    return [
        index
        for index, point in enumerate(points)
        if not any(dominates(other, point) or (tuple(other) == tuple(point) and at < index) for at, other in enumerate(points))
    ]


def hypervolume(points: Sequence[Values], reference: Values) -> float:
    """The volume between the points and the reference that some point dominates, by slices along the last axis (HSO, While 2006)."""
    inside = [tuple(point) for point in points if all(a < r for a, r in zip(point, reference, strict=True))]
    if not inside:
        return 0.0
    if len(reference) == 1:
        return reference[0] - min(point[0] for point in inside)
    levels = sorted({point[-1] for point in inside})
    volume = 0.0
    for low, high in zip(levels, [*levels[1:], reference[-1]], strict=True):
        volume += (high - low) * hypervolume([point[:-1] for point in inside if point[-1] <= low], reference[:-1])
    return volume


def ranked(points: Sequence[Values], reference: Values, count: int) -> list[int]:
    """`count` of the points, each the one that adds most hypervolume to those before; fronts that are dominated come after the first."""
    left, ranking = list(range(len(points))), []
    while left and len(ranking) < count:
        best = [left[index] for index in front_of([points[index] for index in left])]
        group: list[int] = []
        while best and len(ranking) < count:
            volumes = [hypervolume([points[each] for each in (*group, index)], reference) for index in best]
            next_index = best[max(range(len(best)), key=lambda at: (volumes[at], -best[at]))]
            best.remove(next_index)
            group.append(next_index)
            ranking.append(next_index)
        left = [index for index in left if index not in ranking]
    return ranking


def knee(points: Sequence[Values]) -> int:
    """The index of the point nearest to the best of every value at once, each value scaled to the range that the points span.

    An infinite value is not known: such a point is the knee only where no point has that value.
    """
    columns = [[value for value in column if isfinite(value)] for column in zip(*points, strict=True)]
    ranges = [(min(column), max(column) - min(column) or 1.0) if column else None for column in columns]

    def distance(point: Values) -> float:
        return sum(((value - each[0]) / each[1]) ** 2 for value, each in zip(point, ranges, strict=True) if each)

    return min(range(len(points)), key=lambda index: (distance(points[index]), index))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's. None: fewer than three pairs, or one side does not vary."""
    if len(first) < 3:
        return None
    a, b = _ranks(first), _ranks(second)
    mean = (len(a) - 1) / 2
    spread = (sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b)) ** 0.5
    return sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True)) / spread if spread else None


def _ranks(values: Sequence[float]) -> list[float]:
    """Equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for at in range(start, end + 1):
            ranks[order[at]] = (start + end) / 2
        start = end + 1
    return ranks
