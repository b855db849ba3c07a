"""The study of a search: what it tries follows from the seed and from earlier generations, and is kept whole."""

import subprocess
import sys
import textwrap

import pytest

from edgepack.search.study import open_study, quiet_optuna


def suggest(trial):
    return trial.suggest_float("x", 0, 1), trial.suggest_categorical("kind", ["a", "b", None])


def run(path, until, seed=0, sampler="tpe", stop_after=None):
    """Trials of a cheap function: what each has drawn."""
    with quiet_optuna():
        study = open_study(path, 2, sampler, seed, 4)
        for count in range(until - len(study.finished())):
            if count == stop_after:
                break
            number = study.next_number()
            trial = next(study.ask(number, suggest))
            x, kind = suggest(trial)
            study.record(number, trial, (x, (x - 0.5) ** 2 + (kind == "a")), {"kind": kind})
        return [(row.number, row.params, row.values) for row in study.finished()]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_study_that_goes_on_is_that_of_one_run(tmp_path, sampler):
    whole = run(tmp_path / "whole.sqlite3", 16, sampler=sampler)
    for _ in range(8):
        parts = run(tmp_path / "parts.sqlite3", 16, sampler=sampler, stop_after=3)
    assert parts == whole and len(whole) == 16


def test_another_seed_is_another_study(tmp_path):
    assert run(tmp_path / "a.sqlite3", 6, seed=1) != run(tmp_path / "b.sqlite3", 6, seed=2)


def test_no_character_of_a_path_leads_to_another_file(tmp_path):
    """In a URL, ? begins its query, # its fragment and % a character's number; optuna fills in what stands in braces."""
    names = ("cache", "cache?a", "cache?b", "cache#1", "100%", "a%20b", "a b", "{x}", "a+b", "a:b@c")
    for seed, name in enumerate(names):
        run(tmp_path / name / "study.sqlite3", 1, seed=seed)
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    assert len({str(run(tmp_path / name / "study.sqlite3", 1)) for name in names}) == len(names), "each has its own trial"


def test_draws_of_one_trial_differ(tmp_path):
    with quiet_optuna():
        study = open_study(tmp_path / "s.sqlite3", 2, "tpe", 0, 4)
        drawn = [suggest(trial) for _, trial in zip(range(20), study.ask(0, suggest), strict=False)]
    assert len(set(drawn)) > 15


def test_a_gap_that_a_killed_worker_left_is_filled_first(tmp_path):
    with quiet_optuna():
        study = open_study(tmp_path / "s.sqlite3", 2, "tpe", 0, 4)
        for number in (0, 2, 3):
            trial = next(study.ask(number, suggest))
            study.record(number, trial, (0.0, 0.0), {})
    assert study.next_number() == 1


def test_what_mattered_is_found(tmp_path):
    with quiet_optuna():
        study = open_study(tmp_path / "s.sqlite3", 2, "random", 0, 4)
        for number in range(24):
            trial = next(study.ask(number, suggest))
            x, _ = suggest(trial)
            study.record(number, trial, (x, 0.0), {})
        shares = study.importances(0)
        assert shares["x"] > 0.8 and sum(shares.values()) == pytest.approx(1)
        assert study.importances(1) == {}, "a value that never changes has no cause"


@pytest.mark.slow
def test_a_study_that_is_killed_at_any_moment_holds_whole_trials(tmp_path):
    code = textwrap.dedent(
        f"""
        import sys; sys.path.insert(0, {str(__file__.rpartition("/")[0])!r})
        from pathlib import Path
        from test_study import run
        run(Path({str(tmp_path)!r}) / "killed.sqlite3", 12)
        """
    )
    for delay in (3.0, 5.0, 7.0):
        process = subprocess.Popen([sys.executable, "-c", code])
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert run(tmp_path / "killed.sqlite3", 12) == run(tmp_path / "whole.sqlite3", 12)


def test_nsga2_breeds_from_the_trials_that_it_drew(tmp_path):
    run(tmp_path / "s.sqlite3", 12, sampler="nsga2")
    with quiet_optuna():
        study = open_study(tmp_path / "s.sqlite3", 2, "nsga2", 0, 4)
        trial = next(study.ask(12, suggest))
    assert trial.relative_params, "random draws have none"
