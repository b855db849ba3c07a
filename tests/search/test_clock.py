"""How a search shares out its time."""

import pytest

from edgepack.search.clock import Clock


def clock(minutes, spent_s, short):
    running = Clock(minutes, short=short)
    running.started -= spent_s
    return running


def test_without_a_limit_it_always_goes_on():
    assert clock(None, 1e6, [(1.0, 1e6)]).goes_on(4, 1e9)


def test_the_first_trial_always_runs():
    assert clock(0.01, 0, []).goes_on(4, 1e9)


@pytest.mark.parametrize(
    ("spent_s", "reserved_s", "goes_on"),
    [(0, 0, True), (500, 0, True), (640, 0, False), (100, 1080, False), (100, 1000, True)],
)
def test_short_trials_end_where_the_packs_need_the_rest(spent_s, reserved_s, goes_on):
    assert clock(20, spent_s, [(1.0, 30.0)] * 3).goes_on(1, reserved_s) is goes_on


def test_a_training_takes_what_such_trainings_took_beside_their_overhead():
    running = clock(20, 0, [(0.0, 5.0), (100.0, 15.0), (200.0, 25.0)])
    assert running.overhead_s == 5.0
    assert running.training_s(1000.0) == pytest.approx(100.0)
    assert running.packs_s([1000.0, 500.0], 3) == pytest.approx(150.0 + 3 * 3 * 5.0)
