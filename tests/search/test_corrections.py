"""What a target has measured corrects the costs of all trials, and the predictions by which later candidates are allowed."""

from dataclasses import replace

import pytest

from edgepack.measure.machines.targets import Target
from edgepack.plan.profile import Budget, load_profile
from edgepack.search import packs
from edgepack.search.candidates import Factors, Maker
from edgepack.search.clock import Clock
from edgepack.search.finals import Final
from edgepack.search.packs import _corrected
from edgepack.search.pool import Here
from edgepack.search.rows import Asked, record
from edgepack.search.rungs import materials_of, rungs_of
from edgepack.search.space import Dimension, Space
from edgepack.search.study import open_study, quiet_optuna
from edgepack.search.trials import Bench, Outcome
from edgepack.search.tries import Tries
from edgepack.search.wish import SearchWish

PI = load_profile("raspberry-pi")
SHARES = (0.0, 0.25, 0.5)


@pytest.fixture
def tries(tiny, tmp_path):
    """Three trials that have ended, with a budget of latency that all of them keep to, the slowest by a hundredth."""
    materials = materials_of(tiny)
    shape = materials.whole.source.shape(materials.whole.task.name)
    maker = Maker(Space(tiny, shape, (Dimension("prune_ffn", SHARES),)), PI, materials)
    slowest_ms = maker.candidate({"prune_ffn": 0.0}).prediction.latency_ms
    tight = tiny.model_copy(update={"budget": Budget(score_drop=100.0, latency_ms=slowest_ms * 1.01)})
    maker = replace(maker, space=replace(maker.space, base=tight))
    bench = Bench(materials, PI, tmp_path)
    with quiet_optuna():
        study = open_study(tmp_path / "study.sqlite3", 3, "tpe", 0, 4)
        running = Tries(study, maker, bench, Here(bench), rungs_of(tiny, materials.whole.data), Clock(None), SearchWish(trials=8))
        for number, share in enumerate(SHARES):
            settings = {"prune_ffn": share}
            outcome = Outcome(score=0.9, score_drop=1.0 + number, seconds=1.0, file_mb=0.5)
            record(study, Asked(number, "first", "", running.drawing.fixed(settings), maker.candidate(settings), 0), outcome)
        running._read()
        yield running


def test_a_correction_reaches_old_trials_and_later_candidates_and_a_search_that_goes_on(tries):
    before = [row.costs for row in tries.rows]
    assert tries.drawing.allowed({"prune_ffn": 0.0}) is not None
    tries.correct(Factors(latency_ms=1.05, file_mb=2.0))
    assert [row.costs["latency_ms"] for row in tries.rows] == pytest.approx([1.05 * costs["latency_ms"] for costs in before])
    assert [row.costs["file_mb"] for row in tries.rows] == [0.5] * 3, "a file that was written is not predicted"
    assert tries.drawing.allowed({"prune_ffn": 0.0}) is None, "one that the target would find too slow is not tried again"
    plain = replace(tries.maker, factors=Factors())
    again = Tries(tries.study, plain, tries.bench, tries.pool, tries.rungs, tries.clock, tries.wish)
    assert again.maker.factors.latency_ms == 1.05 and [row.costs for row in again.rows] == [row.costs for row in tries.rows]


def test_a_candidate_over_a_limit_by_far_less_than_predictions_are_off_is_allowed_as_the_planner_allows_it(tries):
    limit_ms = tries.maker.budget.latency_ms
    for over, is_allowed in ((1.02, True), (1.05, False)):
        whole = replace(tries.maker, factors=Factors(latency_ms=1.01 * over)).candidate({"prune_ffn": 0.0})
        assert whole.prediction.latency_ms == pytest.approx(limit_ms * over) and whole.is_allowed is is_allowed


def test_a_pack_that_the_target_would_find_too_slow_gives_way_to_the_next_best(tries, monkeypatch, capsys):
    waiting = [Final(1, 0, "", tries.maker.candidate({"prune_ffn": 0.0})), Final(2, 2, "", tries.maker.candidate({"prune_ffn": 0.5}))]
    assert _corrected(tries, [], waiting) == waiting, "nothing was measured"
    monkeypatch.setattr(packs, "factors_of", lambda built: Factors(latency_ms=1.06))
    kept = _corrected(tries, [], waiting)
    assert [(final.number, final.trial) for final in kept] == [(1, 1), (2, 2)]
    assert "trial 1 is not built: by what the target measured it would break latency (" in capsys.readouterr().err


def test_a_search_that_goes_on_builds_nothing_that_an_earlier_measurement_rules_out(tries, monkeypatch):
    waiting = [Final(1, 0, "", tries.maker.candidate({"prune_ffn": 0.0})), Final(2, 2, "", tries.maker.candidate({"prune_ffn": 0.5}))]
    tries.correct(Factors(latency_ms=1.06))
    assert [final.trial for final in _corrected(tries, [], waiting)] == [1, 2], "before any pack of this run"
    monkeypatch.setattr(packs, "factors_of", lambda built: Factors(latency_ms=1.06))
    assert [final.trial for final in _corrected(tries, [], waiting)] == [1, 2], "the factors are those that were noted"
    assert _corrected(tries, [], waiting, ready={1}) == waiting, "a pack that is there costs nothing"


def test_another_machine_under_the_same_name_is_not_corrected_by_the_first_ones_figures(tries):
    def asked_of(address):
        wish = tries.wish.model_copy(update={"target": Target(name="board", address=address)})
        return Tries(tries.study, replace(tries.maker, factors=Factors()), tries.bench, tries.pool, tries.rungs, tries.clock, wish)

    asked_of("ssh://pi@first").correct(Factors(latency_ms=1.05))
    assert asked_of("ssh://pi@first").maker.factors.latency_ms == 1.05
    assert asked_of("ssh://pi@second").maker.factors == Factors()
