"""The gate looks at as few held-out rows as decide: what it says after few rows is what all of them say."""

import csv
from dataclasses import replace
from math import comb

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from small import INTENTS, commands, make_data

from edgepack.model.material import Material, gather
from edgepack.model.quality import PairedDrop, paired_drop
from edgepack.pack.manifest import read_manifest
from edgepack.pack.runnable import RUNNABLE_FILE
from edgepack.pipeline.build import build, plan_formats
from edgepack.pipeline.held_out import judge_beside
from edgepack.pipeline.looks import drop_range, looks_at, mean_decides, unseen_rows
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.quantize.schemes import Candidate
from edgepack.tasks import task_named
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features

PROFILE, DEV_ROWS = load_profile("raspberry-pi"), 515


@pytest.mark.parametrize(("rows", "looks"), [(0, (0,)), (200, (200,)), (374, (374,)), (375, (250, 375)), (1000, (250, 500, 1000))])
def test_few_rows_are_looked_at_once(rows, looks):
    assert looks_at(rows) == looks


@pytest.mark.parametrize(("rows", "seen", "risk"), [(872, 250, 0.025), (872, 500, 0.025), (1000, 500, 0.025), (375, 250, 0.05)])
def test_a_kind_of_row_that_was_not_seen_may_be_as_frequent_as_chance_allows(rows, seen, risk):
    def missed(count):
        return comb(rows - count, seen) / comb(rows, seen)

    count = unseen_rows(rows, seen, risk)
    assert missed(count) > risk >= missed(count + 1)


def test_a_paired_drop_is_what_counting_gives():
    """Of four rows both models answer two alike; of the others the file loses both. A resample of a row n times loses 25 n points by it."""
    task, truth = task_named("text-classification"), np.array([0, 1, 0, 1])
    rows, features = [Row("", text="x", label=str(label)) for label in truth], [Features([1], [0], index) for index in range(4)]
    plain, narrow = np.eye(2)[[0, 1, 0, 0]], np.eye(2)[[1, 0, 0, 0]]
    drop = paired_drop(task, narrow, plain, features, rows, {"0": 0, "1": 1})
    assert drop.points == pytest.approx(50.0)
    shares = np.unique(np.round(drop.resampled / 25, 6), return_counts=True)
    expected = 1000 * np.array([comb(4, times) / 16 for times in range(5)])  # how often four draws hit the two rows
    assert list(shares[0]) == [0, 1, 2, 3, 4] and np.abs(shares[1] - expected).max() < 60
    assert not paired_drop(task, plain, plain, features, rows, {"0": 0, "1": 1}).resampled.any()


def test_rows_without_any_difference_prove_no_more_than_their_number():
    """250 rows without a loss leave up to 12 of 1000 that may be lost; 500 leave 5: half a point."""
    alike = PairedDrop(0.0, np.zeros(1000))
    assert drop_range(alike, (250, 500, 1000), 250) == (-1.2, 1.2)
    assert drop_range(alike, (250, 500, 1000), 500) == (-0.5, 0.5)
    assert drop_range(alike, (250, 500, 1000), 1000) == (0.0, 0.0)


def test_a_mean_near_its_limit_is_not_decided():
    values = np.random.default_rng(0).normal(0.99, 0.01, 250)
    assert mean_decides(values, 1000, 0.98, (250, 500, 1000)) and mean_decides(values, 1000, 0.999, (250, 500, 1000))
    assert not mean_decides(values, 1000, float(values.mean()), (250, 500, 1000))
    assert mean_decides(values, 250, float(values.mean()), (250,)), "all of them were seen"


def _labelled(random, rows, lost, gained):
    """Labels, what a float model answers (nine of ten right), and what a file that loses and gains such shares of all rows answers."""
    truth, right, chance = random.integers(0, 2, rows), random.random(rows) < 0.9, random.random(rows)
    plain = np.where(right, truth, 1 - truth)
    return truth, plain, np.where(np.where(right, chance < lost / 0.9, chance < gained / 0.1), 1 - plain, plain)


def _verdicts(truth, plain, narrow, limit):
    """Rows seen until the gate decides, its verdict, and that of all rows by counting."""
    task, looks = task_named("text-classification"), looks_at(len(truth))
    rows, features = [Row("", text="x", label=str(label)) for label in truth], [Features([1], [0], index) for index in range(len(truth))]
    of_all = round(100 * float(np.mean(plain == truth) - np.mean(narrow == truth)), 6) <= limit
    for seen in looks:
        drop = paired_drop(task, np.eye(2)[narrow[:seen]], np.eye(2)[plain[:seen]], features[:seen], rows[:seen], {"0": 0, "1": 1})
        low, high = drop_range(drop, looks, seen)
        if not low <= limit < high or seen == len(truth):
            return seen, round(low, 6) <= limit, of_all


@pytest.mark.parametrize(
    ("limit", "lost", "gained", "seen_at_most"),
    [(2.0, 0.002, 0.002, 300), (0.5, 0.06, 0.01, 450), (1.0, 0.06, 0.01, 450), (1.0, 0.02, 0.01, 1000), (0.5, 0.008, 0.003, 1000)],
)
def test_few_rows_decide_as_all_rows_do_19_times_of_20(limit, lost, gained, seen_at_most):
    random = np.random.default_rng(7)
    verdicts = [_verdicts(*_labelled(random, 1000, lost, gained), limit) for _ in range(60)]
    assert sum(early != of_all for _, early, of_all in verdicts) <= 3
    assert np.mean([seen for seen, _, _ in verdicts]) <= seen_at_most


@pytest.fixture(scope="module")
def recipe(teacher_folder, tmp_path_factory):
    data = make_data(tmp_path_factory.mktemp("looks"), {"train": 64, "test": 40})
    rows = [row for row in commands()["train"] if row[1] in INTENTS]
    with (data / "dev.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "intent"), *rows])
    stated = {"model": str(teacher_folder), "data": str(data), "student": "same", "prune_heads": 0.0, "precision": "int8"}
    return Recipe.read(stated | {"budget": {"score_drop": 4.0}, "sensitive": 0}, "the test")


@pytest.fixture(scope="module")
def fresh_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("fresh-cache")


@pytest.fixture(scope="module")
def pack(recipe, fresh_cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("looked") / "pack"
    build(recipe, PROFILE, out, fresh_cache, None)
    return out


@pytest.fixture(scope="module")
def exported(pack, fresh_cache):
    """The folder of the fp32 export that the pack was made from."""
    folders = [path.parent for path in fresh_cache.rglob(RUNNABLE_FILE)]
    return max(folders, key=lambda folder: sum(path.stat().st_size for path in folder.glob("model.onnx*")))


@pytest.fixture
def judge(exported, recipe):
    return judge_beside(exported, gather(recipe), plan_formats(recipe, PROFILE)[0])


def file_with(change, exported, folder):
    """The export's file with its head changed, as a candidate that was written into the folder."""
    folder.mkdir()
    (folder / RUNNABLE_FILE).write_bytes((exported / RUNNABLE_FILE).read_bytes())
    model = onnx.load(exported / "model.onnx")
    head = next(each for each in model.graph.initializer if sorted(each.dims)[0] == len(INTENTS) and len(each.dims) == 2)
    head.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(head)).astype(np.float32), head.name))
    onnx.save(model, folder / "model.onnx")
    return folder, Candidate("changed", "int8", lambda place: None, {}, in_float=None)


def slightly_broken(head, share=0.46):
    """A head in which each class is mixed with the next one, so that some texts are answered otherwise."""
    return (1 - share) * head + share * np.roll(head, 1, axis=head.shape.index(len(INTENTS)))


def test_a_pack_that_loses_little_is_judged_by_few_texts_and_says_so(pack):
    attempt = read_manifest(pack).ladder[-1].attempts[-1]
    assert (attempt.texts, attempt.of_texts, attempt.passed) == (250, DEV_ROWS, True)
    assert attempt.score.rows == attempt.float_score.rows == 250
    assert attempt.drop_low <= attempt.score_drop <= attempt.drop_high <= attempt.limit
    words = f"on 250 of {DEV_ROWS} held-out texts (on all of them {attempt.drop_low:+.2f} to {attempt.drop_high:+.2f})"
    assert words in attempt.verdict() and words in (pack / "report.md").read_text()


def test_a_file_that_loses_much_fails_after_few_texts_and_nothing_more_is_computed(judge, exported, tmp_path):
    attempt = judge.judge(*file_with(np.negative, exported, tmp_path / "bad"))
    assert (attempt.texts, attempt.of_texts, attempt.passed) == (250, DEV_ROWS, False) and attempt.drop_low > 4.0
    assert len(judge.export._outputs) == 250
    whole = judge.judge(*file_with(np.negative, exported, tmp_path / "again"), by_all_rows=True)
    assert (whole.texts, whole.of_texts, whole.drop_low, whole.passed) == (DEV_ROWS, None, None, False)
    assert attempt.drop_low <= whole.score_drop <= attempt.drop_high


def test_a_file_at_the_limit_is_judged_by_all_texts_and_those_beside_it_too(judge, exported, tmp_path):
    near, bad = file_with(slightly_broken, exported, tmp_path / "near"), file_with(np.negative, exported, tmp_path / "bad")
    lost = judge.judge(*near, by_all_rows=True).score_drop
    assert lost > 0
    budget = judge.plan.budget.model_copy(update={"score_drop": lost - 0.01})
    strict = replace(judge, plan=judge.plan.model_copy(update={"budget": budget}))
    attempts = [strict.judge(*bad), strict.judge(*near)]
    assert [attempt.texts for attempt in attempts] == [250, DEV_ROWS] and not any(attempt.passed for attempt in attempts)
    equal = strict.on_equal_rows(attempts, [bad[0], near[0]])
    assert [attempt.texts for attempt in equal] == [DEV_ROWS] * 2 and equal[1] is attempts[1]
    assert equal[0].of_texts is None and equal[0].score.rows == DEV_ROWS and equal[0].score_drop > lost


def test_vectors_near_the_least_mean_cosine_are_judged_by_all_texts(judge, exported, tmp_path, monkeypatch):
    near = file_with(slightly_broken, exported, tmp_path / "near")
    loose = replace(judge, plan=judge.plan.model_copy(update={"budget": judge.plan.budget.model_copy(update={"score_drop": 90.0})}))
    mean = loose.judge(*near, by_all_rows=True).cosine_bound
    for least, texts in ((0.1, 250), (mean, DEV_ROWS)):
        monkeypatch.setattr(Material, "least_mean_cosine", property(lambda material, least=least: least))
        assert loose.judge(*near).texts == texts


def test_without_a_limit_all_texts_are_judged(exported, recipe):
    plan = plan_formats(recipe, PROFILE)[0]
    endless = plan.model_copy(update={"budget": plan.budget.model_copy(update={"score_drop": None})})
    assert judge_beside(exported, gather(recipe), endless).looks == (DEV_ROWS,)


@pytest.mark.slow
def test_the_points_of_a_curve_are_judged_by_the_same_texts(recipe, fresh_cache, tmp_path):
    build(recipe.model_copy(update={"bits": 4.0, "sensitive": None}), PROFILE, tmp_path / "pack", fresh_cache, None)
    attempts = next(row.attempts for row in read_manifest(tmp_path / "pack").ladder if row.attempts)
    assert len(attempts) > 2 and {attempt.texts for attempt in attempts} == {DEV_ROWS}
