"""How long packs are trained and how many there are, by the time that is left."""

from dataclasses import replace

import pytest

from edgepack.plan.profile import load_profile
from edgepack.search.candidates import Maker
from edgepack.search.clock import Clock, Spent
from edgepack.search.finals import Final
from edgepack.search.lengths import Lengths
from edgepack.search.pool import Here
from edgepack.search.rungs import materials_of, rungs_of
from edgepack.search.space import Dimension, Space
from edgepack.search.study import open_study, quiet_optuna
from edgepack.search.trials import Bench
from edgepack.search.tries import Tries
from edgepack.search.wish import SearchWish

PI = load_profile("raspberry-pi")
SHARES = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75)


@pytest.fixture
def lengths(tiny, tmp_path):
    """Full trainings have 64 steps and short ones 8; a short one takes 8 seconds, and the rest of a trial none."""
    recipe = tiny.model_copy(update={"training": tiny.training.model_copy(update={"epochs": None})})
    materials = materials_of(recipe)
    shape = materials.whole.source.shape(materials.whole.task.name)
    maker = Maker(Space(recipe, shape, (Dimension("prune_ffn", SHARES),)), PI, materials)
    bench = Bench(materials, PI, tmp_path)
    with quiet_optuna():
        study = open_study(tmp_path / "study.sqlite3", 3, "tpe", 0, 4)
        rungs = tuple(replace(rung, rows=8, epochs=8 * 3**rung.index) for rung in rungs_of(recipe, materials.whole.data))
        yield Lengths(Tries(study, maker, bench, Here(bench), rungs, Clock(None), SearchWish()))


def finals_of(lengths, shares=SHARES):
    maker = lengths.tries.maker
    return [Final(number, number, "", maker.candidate({"prune_ffn": share})) for number, share in enumerate(shares, 1)]


def with_left(lengths, seconds, step_s=1.0):
    """The clock with so many seconds left; a full training step of any student takes `step_s`."""
    clock = Clock(1000.0, trials=[Spent(1.0, 1e-9, 0.0)], full_times=[1.0])
    clock.started -= 1000 * 60 - seconds
    lengths.tries.clock = clock
    lengths.tries.work = lambda plan, texts: 1e9 * step_s * texts / lengths.tries.maker.space.base.training.batch_rows
    return lengths


def steps_of(finals):
    return [final.candidate.recipe.training.training_steps for final in finals]


def test_with_time_enough_all_are_trained_as_long_as_they_need(lengths):
    assert steps_of(with_left(lengths, 1e6).selection(finals_of(lengths))) == [None] * 6


def test_where_the_time_is_short_trainings_are_halved_and_five_packs_stay(lengths):
    most, half = (full := lengths.options())[0], full[1]
    assert most is None
    finals = with_left(lengths, half * 5 / 0.9 + 1).selection(finals_of(lengths))
    assert steps_of(finals) == [half] * 5


def test_where_there_is_time_for_one_student_its_other_files_fill_up_to_five(lengths):
    shortest = lengths.options()[-1]
    finals = with_left(lengths, shortest / 0.9 + 1).selection(finals_of(lengths))
    assert len(finals) == 5 and len({final.number for final in finals}) == 5
    assert len({final.candidate.signature for final in finals}) == 5
    assert {final.candidate.plan.student.name() for final in finals} == {finals[0].candidate.plan.student.name()}
    assert set(steps_of(finals)) == {shortest}


def test_what_the_user_fixed_or_narrowed_is_no_other_file(lengths):
    space = replace(lengths.tries.maker.space, wished=frozenset({"embedding_bits", "bits", "codec", "precision"}))
    lengths.tries.maker = replace(lengths.tries.maker, space=space)
    assert len(with_left(lengths, lengths.options()[-1] / 0.9 + 1).selection(finals_of(lengths))) == 1


def test_packs_that_wait_are_shortened_or_give_way_to_other_files_where_the_time_became_short(lengths):
    finals = finals_of(lengths)
    built = with_left(lengths, 1e6).again(finals, [])[:1]
    lengths.begins(built[0])
    lengths.ends(built[0])
    shortest = lengths.options()[-1]
    waiting = with_left(lengths, 4 * shortest / 0.9 + 1).again(finals[1:], built)
    assert steps_of(waiting) == [shortest] * 4
    waiting = with_left(lengths, 0.0).again(finals[1:], built)
    assert len(waiting) == 4 and steps_of(waiting) == [None] * 4, "files of the student that is there, as long as that was trained"
    assert {final.candidate.plan.student.name() for final in waiting} == {built[0].candidate.plan.student.name()}


def test_the_first_pack_is_built_however_late_it_is(lengths):
    waiting = with_left(lengths, -60.0).again(finals_of(lengths), [])
    assert steps_of(waiting)[0] == lengths.options()[-1]


def test_a_users_own_steps_are_the_most(lengths):
    base = lengths.tries.maker.space.base
    training = base.training.model_copy(update={"training_steps": 20})
    lengths.tries.maker = replace(
        lengths.tries.maker, space=replace(lengths.tries.maker.space, base=base.model_copy(update={"training": training}))
    )
    assert lengths.options()[0] == 20 and all(steps < 20 for steps in lengths.options()[1:])


def test_where_all_goes_faster_more_packs_join(lengths):
    half = lengths.options()[1]
    finals = with_left(lengths, half * 5 / 0.9 + 1).selection(finals_of(lengths))
    assert len(finals) == 5 and len(lengths.spare) == 1
    lengths.begins(finals[0])
    lengths.ends(finals[0])
    waiting = with_left(lengths, 6 * half / 0.9).again(finals[1:], finals[:1])
    assert len(waiting) == 5 and steps_of(waiting) == [half] * 5 and not lengths.spare


def test_a_file_that_failed_is_not_begun_again(lengths):
    finals = finals_of(lengths)[:1]
    lengths.ends(finals[0])
    first = with_left(lengths, 0.0).again([], finals)
    assert len(first) == 4
    lengths.begins(first[0])
    assert first[0].candidate.signature not in {final.candidate.signature for final in lengths.again([], finals)}


def test_what_waits_is_trained_longer_where_the_packs_before_took_less_time(lengths):
    most, half, shortest = lengths.options()[0], lengths.options()[1], lengths.options()[-1]
    finals = with_left(lengths, shortest * 5 / 0.9 + 1).selection(finals_of(lengths))
    lengths.begins(finals[0])
    lengths.ends(finals[0])
    assert steps_of(with_left(lengths, 5 * half / 0.9 + 1).again(finals[1:], finals[:1])) == [half] * 5
    assert steps_of(with_left(lengths, 1e6).again(finals[1:], finals[:1]))[:4] == [most] * 4


def test_packs_that_ended_too_early_are_trained_longer_in_the_time_that_is_left(lengths):
    half, shortest = lengths.options()[1], lengths.options()[-1]
    built = with_left(lengths, shortest * 5 / 0.9 + 1).selection(finals_of(lengths))
    for final in built:
        lengths.begins(final)
        lengths.ends(final)
    for done, final in enumerate(built):
        (again,) = with_left(lengths, (5 - done) * half / 0.9 + 1).lengthened(built)
        assert (again.number, again.candidate.recipe.training.training_steps) == (final.number, half)
        lengths.ends(again)
    assert with_left(lengths, half / 0.9).lengthened(built) == [], "none of them could be trained longer than that"


def test_all_files_of_a_student_are_made_again(lengths):
    shortest = lengths.options()[-1]
    built = with_left(lengths, shortest / 0.9 + 1).selection(finals_of(lengths))
    lengths.ends(built[0])
    again = with_left(lengths, 1e6).lengthened(built)
    assert [final.number for final in again] == [final.number for final in built] and steps_of(again) == [None] * 5
    assert not lengths.is_trained(again[0]), "its longer training is still to come"
    lengths.ends(again[0])
    assert lengths.lengthened(built) == [], "it was trained as long as it improved"
