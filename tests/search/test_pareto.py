"""Dominated points, hypervolume, ranks: each against the definition."""

import random
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.search.pareto import dominates, front_of, hypervolume, knee, rank_correlation, ranked

POINTS = st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("points", "volume"),
    [([(0.5, 0.5)], 0.25), ([(0.0, 0.5), (0.5, 0.0)], 0.75), ([(0.2, 0.2), (0.5, 0.5)], 0.64), ([(1.5, 0.0)], 0.0), ([], 0.0)],
)
def test_the_hypervolume_of_rectangles(points, volume):
    assert hypervolume(points, (1.0, 1.0)) == pytest.approx(volume)


@given(POINTS)
def test_the_hypervolume_is_the_share_of_dominated_samples(points):
    drawn = random.Random(0)
    samples = [tuple(drawn.random() for _ in range(3)) for _ in range(2000)]
    share = sum(any(all(a <= s for a, s in zip(point, sample, strict=True)) for point in points) for sample in samples) / len(samples)
    assert hypervolume(points, (1.0, 1.0, 1.0)) == pytest.approx(share, abs=0.06)


@given(POINTS)
def test_no_point_of_the_front_is_dominated_and_every_other_is_or_is_equal(points):
    front = front_of(points)
    for index, point in enumerate(points):
        beaten = any(dominates(other, point) for other in points)
        assert (index in front) == (not beaten and point not in points[:index])


@given(POINTS, st.integers(1, 8))
def test_ranking_takes_the_front_before_all_others(points, count):
    ranking = ranked(points, (1.1, 1.1, 1.1), count)
    front = front_of(points)
    assert len(ranking) == len(set(ranking)) == min(count, len(points))
    assert set(ranking[: len(front)]) <= set(front)


def test_the_knee_is_the_point_near_the_best_of_each_value():
    assert knee([(0.0, 10.0), (1.0, 2.0), (9.0, 0.0)]) == 1


def test_a_value_that_is_not_known_makes_no_knee_unless_no_point_has_it():
    assert knee([(inf, 0.0), (1.0, 2.0), (9.0, 3.0)]) == 1
    assert knee([(inf, 4.0), (inf, 1.0)]) == 1


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [([1, 2, 3, 4], [10, 20, 30, 40], 1.0), ([1, 2, 3], [3, 2, 1], -1.0), ([1, 2], [1, 2], None), ([1, 1, 1], [1, 2, 3], None)],
)
def test_the_correlation_of_ranks(first, second, value):
    assert rank_correlation(first, second) == (None if value is None else pytest.approx(value))
