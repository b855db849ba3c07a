"""What a search leaves undone where its time is up or it is killed, and what says how long trainings take."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from sqlite3 import OperationalError

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.core.files import disk_full_is_said
from edgepack.core.host import is_alive
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.search import pool as pools
from edgepack.search.candidates import Maker
from edgepack.search.clock import Clock
from edgepack.search.lengths import pack_options
from edgepack.search.pool import Here, Processes
from edgepack.search.rows import Asked
from edgepack.search.rungs import Rung, materials_of, rungs_of
from edgepack.search.space import Dimension, Space
from edgepack.search.study import open_study, quiet_optuna
from edgepack.search.trials import Bench, Outcome
from edgepack.search.tries import Tries
from edgepack.search.wish import SearchWish

PI = load_profile("raspberry-pi")
TASK = Recipe(), Rung(0, 8, 1, 8)


class Judge:
    """Answers after a moment, and counts."""

    def __init__(self):
        self.judged = 0

    def outcome(self, recipe, rung):
        self.judged += 1
        time.sleep(0.05)
        return Outcome(seconds=0.05)


@pytest.fixture
def processes(tiny, tmp_path, monkeypatch):
    """The pool of processes, with a thread in the place of its processes."""
    monkeypatch.setattr(pools, "_bench", Judge())
    running = Processes(tiny, PI, tmp_path, 1)
    with ThreadPoolExecutor(1) as executor:
        running.executor = executor
        yield running


def test_where_the_time_is_up_nothing_more_begins_and_what_runs_is_given(processes):
    outcomes = list(processes.outcomes([TASK] * 6, lambda: False))
    assert 1 <= len(outcomes) == pools._bench.judged <= 2
    assert len(list(Here(Judge()).outcomes([TASK] * 6, lambda: False))) == 1


def test_whoever_asks_for_no_more_outcomes_leaves_nothing_that_begins_later(processes):
    outcomes = processes.outcomes([TASK] * 6)
    next(outcomes)
    outcomes.close()
    time.sleep(0.5)
    assert pools._bench.judged <= 2


def test_a_worker_ends_with_the_search_that_is_killed():
    code = "from multiprocessing import get_context; from edgepack.search.pool import _end_with_parent\n"
    code += "if __name__ == '__main__':\n"
    code += (
        "    worker = get_context('spawn').Process(target=_end_with_parent); worker.start(); print(worker.pid, flush=True); worker.join()"
    )
    search = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker = int(search.stdout.readline())
    time.sleep(1.0)
    os.kill(search.pid, signal.SIGKILL)
    search.wait()
    until = time.monotonic() + 20
    while is_alive(worker) and time.monotonic() < until:
        time.sleep(0.1)
    assert not is_alive(worker)


@pytest.fixture
def tries(tiny, tmp_path):
    materials = materials_of(tiny)
    shape = materials.whole.source.shape(materials.whole.task.name)
    maker = Maker(Space(tiny, shape, (Dimension("prune_ffn", (0.0, 0.25, 0.5)),)), PI, materials)
    bench = Bench(materials, PI, tmp_path)
    with quiet_optuna():
        study = open_study(tmp_path / "study.sqlite3", 3, "tpe", 0, 4)
        yield Tries(study, maker, bench, Here(bench), rungs_of(tiny, materials.whole.data), Clock(1.0), SearchWish(minutes=1))


@pytest.fixture
def of_shapes(tries):
    shapes = (Dimension("student.layers", (1, 2, 4)), Dimension("student.hidden", (32, 64)))
    base = tries.maker.space.base
    base = base.model_copy(update={"budget": base.budget.model_copy(update={"score_drop": 2.0})})
    tries.maker = replace(tries.maker, space=replace(tries.maker.space, base=base, dimensions=shapes))
    return tries


def tried(tries, drops, interval=0.02):
    """drops: points lost by the shape, such as 1x32. interval: of each score, as a share."""
    for number, (shape, drop) in enumerate(drops.items()):
        layers, hidden = map(int, shape.split("x"))
        settings = {"student.layers": layers, "student.hidden": hidden}
        one = Asked(number, "first", "", tries.drawing.fixed(settings), tries.maker.candidate(settings), 0)
        score = {"metric": "accuracy", "score": 0.9, "low": 0.9 - interval / 2, "high": 0.9 + interval / 2}
        tries._record(one, Outcome(**score, score_drop=drop, seconds=1.0))


def names(tries, rows):
    return [tries.maker.candidate(row.settings).plan.student.name() for row in rows]


def test_the_first_pack_is_the_trial_most_like_its_teacher_of_those_that_the_rows_do_not_tell_apart(of_shapes):
    tried(of_shapes, {"1x32": 0.0, "2x64": 0.4, "2x32": 0.3, "4x32": 1.5})
    assert names(of_shapes, of_shapes.rows_worth_a_pack(3)) == ["2x64", "1x32", "2x32"]


@pytest.mark.parametrize(("interval", "first"), [(0.01, "2x32"), (0.04, "2x64"), (0.4, "2x64")])
def test_how_far_apart_trials_must_lie_follows_from_the_rows_that_judged_them(of_shapes, interval, first):
    tried(of_shapes, {"2x32": 0.0, "2x64": 0.9, "4x64": 2.1}, interval)  # the last one is 2 points apart, which no noise excuses
    assert names(of_shapes, of_shapes.rows_worth_a_pack(1)) == [first]


@pytest.mark.parametrize(("metric", "score", "points"), [("accuracy", 0.5, 1.0), ("perplexity", 20.0, 0.05)])
def test_a_standard_error_is_in_points_of_the_score(metric, score, points):
    outcome = Outcome(metric=metric, score=score, low=score - 0.0196, high=score + 0.0196, seconds=1.0)
    assert outcome.standard_error == pytest.approx(points)
    assert Outcome(seconds=1.0).standard_error is None


def test_what_loses_twice_what_it_may_is_worth_no_pack(of_shapes):
    tried(of_shapes, {"1x32": 4.5, "2x64": 0.4, "2x32": 3.9})
    assert sorted(names(of_shapes, of_shapes.rows_worth_a_pack(8))) == ["2x32", "2x64"]


def test_a_budget_that_allows_no_loss_leaves_out_what_is_useless_too(of_shapes):
    base = of_shapes.maker.space.base
    base = base.model_copy(update={"budget": base.budget.model_copy(update={"score_drop": 0.0})})
    of_shapes.maker = replace(of_shapes.maker, space=replace(of_shapes.maker.space, base=base))
    tried(of_shapes, {"1x32": 9.0, "2x64": 0.0})
    assert names(of_shapes, of_shapes.rows_worth_a_pack(8)) == ["2x64"]


def test_where_all_lose_too_much_the_best_are_packed_all_the_same(of_shapes):
    tried(of_shapes, {"1x32": 9.0, "2x64": 8.0})
    assert names(of_shapes, of_shapes.rows_worth_a_pack(8)) == ["2x64", "1x32"]


def asked(tries, number, kind, prune_ffn):
    settings = {"prune_ffn": prune_ffn}
    return Asked(number, kind, "", tries.drawing.fixed(settings), tries.maker.candidate(settings), 0)


def test_siblings_and_failures_do_not_say_how_long_a_training_takes(tries):
    tries._record(asked(tries, 0, "first", 0.0), Outcome(score=0.9, score_drop=1.0, seconds=8.0))
    tries._record(asked(tries, 1, "first", 0.25), Outcome(seconds=0.1, failure="no such thing"))
    tries._record(asked(tries, 2, "sibling", 0.5), Outcome(score=0.9, score_drop=1.0, seconds=0.5))
    assert [each.rest_s for each in tries.clock.trials] == [8.0]


def test_what_the_packs_need_is_not_given_to_longer_trials_and_siblings(tries):
    tries._record(asked(tries, 0, "first", 0.0), Outcome(score=0.9, score_drop=1.0, seconds=8.0))
    tries.second_rung(reserved_s=60.0)
    tries.siblings(8, reserved_s=60.0)
    assert not tries.longer and len(tries.rows) == 1


def test_where_the_time_is_short_fewer_packs_are_built():
    options = pack_options(6, 5, [None, 4, 1])
    assert options[:2] == [(6, None), (5, None)] and options[-1] == (1, 1)
    assert pack_options(1, 1, [None]) == [(1, None)]


def test_failures_alone_do_not_go_on_for_ever():
    running = Clock(1.0)
    running.started -= 59
    assert not running.goes_on(1, 0.0)


def test_a_generation_that_lost_all_its_machines_is_not_recorded(tries):
    lost = Outcome(seconds=0.0, failure="the machines ended", lost=True)
    both = [asked(tries, 0, "first", 0.0), asked(tries, 1, "first", 0.5)]
    tries.pool = Answers([lost, lost])
    with pytest.raises(EdgepackError, match="lost all its machines"):
        tries._run(both)
    assert tries.rows == []
    tries.pool = Answers([lost, Outcome(score=0.9, score_drop=1.0, seconds=1.0)])
    tries._run(both)
    assert [row.number for row in tries.rows] == [1], "the other trial keeps what it has found"


def test_a_trial_whose_machines_ended_runs_again_and_is_given_up_at_the_second_time(tries, capsys):
    lost = Outcome(seconds=0.0, failure="the machines ended", lost=True)
    good = Outcome(score=0.9, score_drop=1.0, seconds=1.0)
    tries.pool = Answers([lost, good, good])
    tries.generation(3)
    assert [row.number for row in tries.rows] == [1, 2] and "trial 1 is not finished" in capsys.readouterr().err
    tries.pool = Answers([good])
    tries.generation(3)
    assert [row.outcome.failure for row in tries.rows] == [None] * 3, "it ran once more, and nothing is missing"
    tries.losses[3] = 1
    tries.pool = Answers([lost])
    assert not tries._run([asked(tries, 3, "first", 0.5)]) and tries.rows[-1].outcome.failure == "the machines ended"


def test_a_lost_sibling_is_promised_to_the_next_start_for_siblings_run_once(tries, capsys):
    tries.pool = Answers([Outcome(seconds=0.0, failure="the machines ended", lost=True)])
    tries._run([asked(tries, 0, "sibling", 0.5)])
    assert "It runs again when the same command is started again" in capsys.readouterr().err


class Answers:
    """A pool whose outcomes are known."""

    def __init__(self, outcomes):
        self.known = outcomes

    def outcomes(self, tasks, goes_on):
        return enumerate(self.known)


def test_a_full_disk_is_said_where_optuna_hides_it():
    hidden = RuntimeError("an exception is raised during the commit")
    hidden.__cause__ = OperationalError("database or disk is full")
    with pytest.raises(EdgepackError, match="the disk is full"), disk_full_is_said():
        raise hidden
    with pytest.raises(ValueError, match="another"), disk_full_is_said():
        raise ValueError("another")
