"""How a search shares out its time."""

import pytest

from edgepack.search.clock import Clock, Spent


def clock(minutes, spent_s, trials):
    """trials: (work, seconds of the training, seconds beside the student, seconds that making it took)"""
    running = Clock(minutes, trials=[Spent(*each) for each in trials])
    running.started -= spent_s
    return running


def test_without_a_limit_it_always_goes_on():
    assert clock(None, 1e6, [(1.0, 1e6, 1e6)]).goes_on(4, 1e9)


def test_the_first_trial_always_runs():
    assert clock(0.01, 0, []).goes_on(4, 1e9)


@pytest.mark.parametrize(
    ("spent_s", "reserved_s", "goes_on"),
    [(0, 0, True), (500, 0, True), (640, 0, False), (100, 1080, False), (100, 1000, True)],
)
def test_short_trials_end_where_the_packs_need_the_rest(spent_s, reserved_s, goes_on):
    assert clock(20, spent_s, [(1.0, 20.0, 10.0)] * 3).goes_on(1, reserved_s) is goes_on


def test_a_training_takes_what_such_trainings_took_and_packs_what_they_took_beside_it():
    running = clock(20, 0, [(0.0, 0.0, 5.0), (100.0, 10.0, 5.0), (200.0, 20.0, 5.0)])
    assert running.rest_s == 5.0
    assert running.training_s(1000.0) == pytest.approx(100.0)
    assert running.packs_s([1000.0, 500.0], 3) == pytest.approx(1.5 * 150.0 + 3 * 3 * 5.0)


def test_what_the_first_pack_took_says_what_the_others_take():
    running = clock(20, 0, [(100.0, 10.0, 5.0)] * 3)
    running.teacher_s = 40.0
    assert running.packs_s([100.0], 1) == pytest.approx(1.5 * 10 + 15 + 40)
    running.took(100.0, training_s=30.0, initialization_s=0.0, seconds=50.0)
    assert running.packs_s([100.0], 1) == pytest.approx(3 * 10 + 20)
    running.took(100.0, training_s=0.0, initialization_s=0.0, seconds=10.0)
    assert running.packs_s([], 2) == pytest.approx(2 * 15)


def test_making_a_student_takes_as_long_for_a_long_training_as_for_a_short_one():
    running = clock(20, 0, [(100.0, 10.0, 5.0, 30.0)] * 3)
    assert running.packs_s([1000.0], 2) == pytest.approx(1.5 * 100 + 30 + 2 * 3 * 5)
    running.took(1000.0, training_s=100.0, initialization_s=30.0, seconds=150.0)
    assert running.packs_s([1000.0], 2) == pytest.approx(100 + 30 + 2 * 20)
    assert running.goes_on(1, 1200 - 46) and not running.goes_on(1, 1200 - 44)


def test_a_line_of_progress_says_what_is_left_of_the_minutes():
    assert clock(20, 600, []).left() == "; 10.0 of the search's 20 minutes are left"
    assert clock(None, 600, []).left() == ""
