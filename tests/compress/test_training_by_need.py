"""Without epochs a training lasts as long as it helps: its course, texts and learning rate, and what the ladder says of it."""

import itertools
import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import HIDDEN, make_data, make_model
from torch.optim.optimizer import register_optimizer_step_post_hook

from edgepack.compress.context import StageContext
from edgepack.compress.distillation import distill
from edgepack.compress.need import Lesson, distance_judge, fitting_rate, lessons
from edgepack.compress.stretching import special_tokens_of, stretched
from edgepack.compress.student_init import make_student
from edgepack.core.deadline import TimeIsUp, deadline
from edgepack.core.errors import EdgepackError
from edgepack.model.best_checkpoint import is_best_intact, keep_best, load_best
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.course import RANGE, SHORT_RATE, Course, best_rate, most_steps
from edgepack.model.evaluation import run_model
from edgepack.model.material import gather
from edgepack.model.quality import judge_outputs
from edgepack.model.training import train
from edgepack.pipeline.build import build
from edgepack.pipeline.scoring import summary
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Distill
from edgepack.plan.training_settings import Training
from edgepack.tasks import task_named
from edgepack.tasks.common.task import Features

TASK = task_named("text-classification")


@pytest.fixture(scope="module")
def material(teacher_folder, data_folder):
    return gather(Recipe(model=str(teacher_folder), data=str(data_folder)))


def follow(most, distance):
    """The course of a training whose distance to the teacher is distance(step)."""
    course, step = Course(most), 0
    while step < course.last:
        step += 1
        if (step % course.check_steps == 0 or step >= course.last) and course.should_fall(step, distance(step)):
            course.fall(step)
    return course, step


def test_a_training_that_brings_nothing_more_ends_early_at_falling_rates():
    course, steps = follow(1000, lambda step: max(0.5, 2.0 - step / 100))
    assert 200 < steps < 500 and not course.climbing
    middle = (course.falls_from + steps) // 2
    assert course.rate(steps) == 0 < course.rate(middle) < course.rate(course.falls_from) < course.rate(100) == 0.9


def test_a_training_that_still_brings_something_takes_every_step_and_says_so():
    course, steps = follow(1000, lambda step: 100 / step)
    assert steps == 1000 and course.climbing and course.rate(1000) == 0


def test_without_anything_to_check_by_the_most_steps_are_taken():
    course, steps = follow(500, lambda step: None)
    assert steps == 500 and not course.climbing


@given(st.integers(1, 200_000), st.integers(1, 128), st.sampled_from([1.0, 0.5, 0.25]))
def test_few_texts_are_read_often_and_many_once(texts, batch_rows, share):
    steps = most_steps(texts, batch_rows, share)
    a_pass = -(-texts // batch_rows)
    assert steps >= 10 and (steps >= round(1500 * share) or share < 1)
    assert steps <= max(4000, a_pass) and (a_pass <= 4000 or steps == max(10, round(a_pass * share)))


def test_the_rate_that_comes_nearest_is_taken_and_never_one_that_breaks():
    low, middle, high = RANGE
    assert best_rate({low: 1.0, middle: 0.35, high: 0.1}) == high
    assert best_rate({low: 1.0, middle: 0.99, high: float("inf")}) == low
    assert best_rate({low: 1.0, middle: 0.37, high: 0.35}) == middle  # an early lead of a high rate says little
    assert best_rate({low: 0.30, middle: 0.19, high: 0.25}) == low
    assert best_rate({low: float("inf"), middle: 0.4, high: 0.39}) == middle


def test_few_texts_become_many_that_are_parts_of_them_or_have_masks(material):
    special = special_tokens_of(TASK, material.tokenizer)
    few = material.train[:20]
    more = stretched(few, special, with_labels=False, seed=0)
    assert len(more) > 5 * len(few) and more == stretched(few, special, with_labels=False, seed=0)
    assert len({tuple(item.ids) for item in [*few, *more]}) == len({tuple(item.ids) for item in few}) + len(more)
    for item in more:
        whole = few[item.row].ids
        assert item.ids[0] == whole[0] and item.ids[-1] == whole[-1] and len(item.ids) == len(item.type_ids)
        is_masked = special.mask in item.ids
        assert len(item.ids) == len(whole) if is_masked else "-".join(map(str, item.ids[1:-1])) in "-".join(map(str, whole[1:-1]))
    assert all(len(item.ids) == len(few[item.row].ids) for item in stretched(few, special, with_labels=True, seed=0))


def test_many_texts_pairs_and_running_text_are_left_as_they_are(material):
    special = special_tokens_of(TASK, material.tokenizer)
    assert stretched(material.train[:1] * 5000, special, with_labels=False, seed=0) == []
    cls, sep = material.train[0].ids[0], material.train[0].ids[-1]
    pair = Features([cls, 10, 11, 12, sep, 13, 14, 15, sep], [0, 0, 0, 0, 0, 1, 1, 1, 1], 0)
    assert all(special.mask in item.ids for item in stretched([pair], special, with_labels=False, seed=0))
    assert special_tokens_of(task_named("text-generation"), material.tokenizer) is None


def context(material, folder, rows):
    teacher = load_checkpoint(material.source)
    features = material.train[:rows]
    return StageContext(
        TASK, material.rows("train")[:rows], features, run_model(teacher, TASK, features, ""), material.labels, folder, 0,
        lambda: load_checkpoint(material.source), material.rows("dev"), material.dev, special_tokens_of(TASK, material.tokenizer),
    )  # fmt: skip


def step(**more):
    return Distill(**({"layers": 2, "hidden": HIDDEN, "batch_rows": 32, "temperature": 2.0, "share": 0.2, "why": ""} | more))


def distance(model, material):
    """Mean KL divergence to the teacher on the test split: accuracy of so few texts tells two good students apart by chance alone."""
    theirs, ours = (
        torch.log_softmax(torch.tensor(np.stack(run_model(each, TASK, material.test, ""))), -1)
        for each in (load_checkpoint(material.source), model)
    )
    return torch.nn.functional.kl_div(ours, theirs, log_target=True, reduction="batchmean").item()


@pytest.mark.slow
def test_few_rows_teach_more_by_need_than_in_five_epochs(material, tmp_path):
    whole = context(material, tmp_path / "need", 40)
    student = distill(load_checkpoint(material.source), step(layers=1), whole)  # a narrower one begins fitted, where few steps are enough
    five = replace(whole, folder=tmp_path / "epochs", special=None, details={})
    other = distill(load_checkpoint(material.source), step(layers=1, epochs=5, learning_rate=1e-4), five)
    near, far = distance(student, material), distance(other, material)
    print(f"distance: {near:.3f} by need, {far:.3f} in five epochs")
    assert near < 0.5 * far
    assert whole.details["texts"] > 200 and whole.details["steps"] <= 300 and whole.details["learning_rate"] in RANGE
    assert five.details.keys() == {"training_precision", "steps", "texts"}, "no rate was searched for, and no text was added"


def test_stated_epochs_stretch_nothing_and_test_no_rates(material, tmp_path):
    distill(load_checkpoint(material.source), step(epochs=1, learning_rate=1e-3), context(material, tmp_path, 40))
    assert not (tmp_path / "rates.json").exists() and not (tmp_path / "asked.npz").exists()


class Killed(BaseException):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [5, 35, 85])
def test_a_training_by_need_that_was_cut_off_goes_on_to_the_same_bytes(material, tmp_path, kill_at):
    steps = 0

    def loss(model, batch, targets):
        nonlocal steps
        steps += torch.is_grad_enabled()
        if steps == kill_at and dies:
            raise Killed
        return TASK.soft_loss(model(**batch).logits, batch, targets, 2.0)

    def run(folder):
        model = make_student(load_checkpoint(material.source), 2, HIDDEN, material.train)
        judge = distance_judge(loss, whole.features[:50], whole.teacher_outputs[:50])
        training = Training(learning_rate=1e-3)
        return train(model, whole.features, np.stack(whole.teacher_outputs), loss, training, folder, 0, "", judge, Course(100))[0]

    whole, dies = context(material, tmp_path, 200), False
    unbroken = run(tmp_path / "unbroken").state_dict()
    steps, dies = 0, True
    with pytest.raises(Killed):
        run(tmp_path / "broken")
    dies, steps = False, 0
    resumed = run(tmp_path / "broken").state_dict()
    assert kill_at == 5 or steps < 100
    assert all(torch.equal(resumed[name], unbroken[name]) for name in unbroken)


def cut_off_at(step, material, folder, best_folder):
    """The weights of a training whose first check is its best one, unbroken; then one that is cut off at this step, and a way to go on."""
    steps, dies = 0, False

    def loss(model, batch, targets):
        nonlocal steps
        steps += 1
        if steps == step and dies:
            raise Killed
        return TASK.soft_loss(model(**batch).logits, batch, targets, 2.0)

    def run(folder, scores):
        model = make_student(load_checkpoint(material.source), 1, 32, material.train)
        training = Training(learning_rate=1e-3, batch_rows=2)
        outputs = np.stack(whole.teacher_outputs)
        worse_each_time = lambda _: -float(next(scores))  # noqa: E731
        trained, _ = train(model, whole.features, outputs, loss, training, folder, 0, "", worse_each_time, Course(60))
        return trained.state_dict()

    whole = context(material, folder, 20)
    unbroken, scores = run(folder, itertools.count()), itertools.count()
    steps, dies = 0, True
    with pytest.raises(Killed):
        run(best_folder, scores)
    dies = False
    return unbroken, lambda: run(best_folder, scores)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1000] ^= 64
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["a bit of the weights", "no hash", "no record", "weights without their name"])
def test_best_weights_that_are_damaged_are_not_used(material, tmp_path, capsys, damage):
    """The training begins anew, or goes on where a kill only left the name to give; either way it ends in the unbroken one's weights."""
    place = tmp_path / "broken"
    unbroken, go_on = cut_off_at(35, material, tmp_path / "unbroken", place)
    assert [path.name for path in place.glob("checkpoint-*")] == ["checkpoint-30"]
    if damage == "a bit of the weights":
        flip_a_bit(place / "best.safetensors")
    elif damage == "no hash":
        (place / "best.json").write_text(json.dumps({"score": json.loads((place / "best.json").read_text())["score"]}))
    elif damage == "no record":
        (place / "best.json").unlink()
    else:
        (place / "best.safetensors").rename(place / "best.safetensors.partial")
    resumed = go_on()
    assert all(torch.equal(resumed[name], unbroken[name]) for name in unbroken)
    assert ("the training begins anew" in capsys.readouterr().err) == (damage != "weights without their name")


def test_a_score_that_is_no_number_keeps_no_weights(material, tmp_path):
    model = load_checkpoint(material.source)
    keep_best(tmp_path, model, float("nan"))
    assert not any(tmp_path.iterdir())
    keep_best(tmp_path, model, 1.0)
    keep_best(tmp_path, model, float("inf"))
    assert json.loads((tmp_path / "best.json").read_text())["score"] == 1.0 and is_best_intact(tmp_path)


def test_best_weights_that_are_damaged_while_a_training_runs_are_refused(material, tmp_path):
    model = load_checkpoint(material.source)
    keep_best(tmp_path, model, 1.0)
    flip_a_bit(tmp_path / "best.safetensors")
    with pytest.raises(EdgepackError, match="the best weights of the training were damaged"):
        load_best(tmp_path, model)


def test_what_the_teacher_answered_is_asked_again_only_where_it_is_damaged(material, tmp_path, capsys):
    asked = 0

    def load():
        nonlocal asked
        asked += 1
        time.sleep(0.2)
        return load_checkpoint(material.source)

    whole = replace(context(material, tmp_path, 10), load_teacher=load)
    first, again = lessons(step(), whole), lessons(step(), whole)
    assert asked == 1 and first.seconds == again.seconds >= 0.2
    flip_a_bit(tmp_path / "asked.npz")
    mended = lessons(step(), whole)
    assert asked == 2 and all(np.array_equal(one, other) for one, other in zip(mended.dev_outputs, first.dev_outputs, strict=True))
    assert "asked.npz" in capsys.readouterr().err
    (tmp_path / "asked.npz").write_bytes(b"PK")
    lessons(step(), whole)
    assert asked == 3


def test_a_test_of_rates_is_repeated_only_where_its_result_is_damaged(material, tmp_path):
    tries = 0

    def loss(model, batch, targets):
        nonlocal tries
        tries += 1
        factor = float("nan") if tries % 75 == 60 else 1.0  # the highest rate breaks
        return TASK.soft_loss(model(**batch).logits, batch, targets, 2.0) * factor

    whole = context(material, tmp_path, 8)
    student = make_student(load_checkpoint(material.source), 1, 32, material.train)
    lesson = Lesson(whole.features, np.stack(whole.teacher_outputs), lambda model: -1.0)
    rate, seconds = fitting_rate(student, 8, loss, lesson, whole)
    assert rate in RANGE[:2] and seconds > 0 and tries == 60
    assert fitting_rate(student, 8, loss, lesson, whole) == (rate, seconds) and tries == 60
    (tmp_path / "rates.json").write_text('{"rate": 0.5}')
    tries = 0
    assert fitting_rate(student, 8, loss, lesson, whole)[0] == rate and tries == 60


def test_texts_of_the_dev_split_have_their_own_labels(material, tmp_path):
    """More dev rows than train rows: a dev text's label is not that of the train row with its number."""
    whole = context(material, tmp_path, 8)
    lesson = lessons(step(hard_weight=0.5), whole)
    targets = TASK.hard_targets(lesson.dev, lesson.context.rows, whole.labels)
    assert [int(target) for target in targets] == [
        whole.labels[whole.dev_rows[item.row].label] for item in whole.dev_features[: len(targets)]
    ]
    assert len(targets) > 8
    distill(load_checkpoint(material.source), step(layers=1, hidden=32, hard_weight=0.5, share=0.01, learning_rate=1e-3), whole)
    assert whole.details["steps"] == 15


def test_tags_of_the_dev_split_are_those_of_its_rows(tmp_path):
    make_model(tmp_path / "model", task="token-classification", labels=("O", "B-PER"))
    data = tmp_path / "data"
    data.mkdir()
    for split, rows in (("train", 4), ("dev", 12), ("test", 4)):
        (data / f"{split}.conll").write_text("\n\n".join("call O\nmy O\nmother B-PER\n" + "now O\n" * number for number in range(rows)))
    material = gather(Recipe(model=str(tmp_path / "model"), data=str(data), task="token-classification"))
    task, few = material.task, material.train
    teacher = load_checkpoint(material.source, task.name)
    whole = StageContext(
        task, material.rows("train"), few, run_model(teacher, task, few, ""), material.labels, tmp_path / "run", 0,
        lambda: load_checkpoint(material.source, task.name), material.rows("dev"), material.dev,
        special_tokens_of(task, material.tokenizer),
    )  # fmt: skip
    distill(load_checkpoint(material.source, task.name), step(layers=1, hidden=32, hard_weight=0.5, share=0.01, learning_rate=1e-3), whole)
    assert whole.details["steps"] == 15


def test_the_time_that_a_teacher_takes_to_answer_is_a_part_of_the_minutes(material, tmp_path):
    """Of 6 seconds it takes 4: the training gets its least time, of which 2 seconds are kept for its end."""
    ends = []

    def slow():
        time.sleep(4)
        return load_checkpoint(material.source)

    whole = replace(context(material, tmp_path, 300), load_teacher=slow)
    hook = register_optimizer_step_post_hook(lambda *_: ends.append(time.monotonic()))
    try:
        distill(load_checkpoint(material.source), step(minutes=0.1, share=1.0, learning_rate=1e-3), whole)
    finally:
        hook.remove()
    assert ends and ends[-1] - ends[0] < 2


@pytest.mark.slow
def test_a_training_ends_after_the_steps_that_are_stated(material, tmp_path):
    whole = context(material, tmp_path, 300)
    distill(load_checkpoint(material.source), step(training_steps=12, share=1.0), whole)
    assert whole.details["steps"] <= 12 and whole.details["learning_rate"] == SHORT_RATE, "it is too short for a test of rates"
    whole = context(material, tmp_path / "epochs", 300)
    distill(load_checkpoint(material.source), step(training_steps=12, epochs=50, learning_rate=1e-3), whole)
    assert whole.details["steps"] == 12


def test_a_training_whose_time_is_up_is_given_up_and_goes_on_later(material, tmp_path):
    whole = context(material, tmp_path, 300)
    with pytest.raises(TimeIsUp), deadline(time.monotonic()):
        distill(load_checkpoint(material.source), step(epochs=2, learning_rate=1e-3), whole)
    distill(load_checkpoint(material.source), step(epochs=2, learning_rate=1e-3), whole)
    assert whole.details["steps"] > 0


@pytest.mark.slow
def test_minutes_without_epochs_are_kept(material, tmp_path):
    started = time.monotonic()
    distill(load_checkpoint(material.source), step(minutes=0.1, share=1.0, learning_rate=1e-3), context(material, tmp_path, 300))
    assert time.monotonic() - started < 0.1 * 60 + 10


@pytest.mark.slow
def test_the_ladder_and_the_verdict_tell_of_a_student_at_chance(tmp_path):
    """A random teacher teaches nothing; one text a step, so few steps, that the end is still a climb."""
    make_model(tmp_path / "model")
    data = make_data(tmp_path / "data", {"train": 40, "dev": 20, "test": 60})
    recipe = Recipe(model=str(tmp_path / "model"), data=str(data), student="2x64", prune_heads=0.0, precision="fp32",
                    training=Training(epochs=1))  # fmt: skip
    report = build(recipe, load_profile("x86-server"), tmp_path / "pack", tmp_path / "cache", None)
    row = next(row for row in report.ladder if row.stage == "distill")
    assert row.score.value <= row.details["chance"]
    assert summary(row).endswith("no better than always the same answer")
    assert "no better than always the same answer" in report.doubts[0]


@pytest.mark.slow
def test_few_texts_give_a_nearer_embedding_by_need_than_in_five_epochs(teacher_folder, data_folder, tmp_path):
    """A student of half the width: how it orders texts, beside its teacher, on texts that neither training saw."""
    material = gather(Recipe(model=str(teacher_folder), data=str(data_folder), task="feature-extraction"))
    task, few, others = material.task, material.train[:40], material.test
    teacher = load_checkpoint(material.source, task.name)
    expected = run_model(teacher, task, others, "")

    def student_of(training, special):
        whole = StageContext(
            task, material.rows("train")[:40], few, run_model(teacher, task, few, ""), {}, tmp_path / f"{special is None}", 0,
            lambda: load_checkpoint(material.source, task.name), material.rows("dev"), material.dev, special,
        )  # fmt: skip
        return distill(load_checkpoint(material.source, task.name), step(layers=1, hidden=32, **training), whole)

    by_need = student_of({}, special_tokens_of(task, material.tokenizer))
    five = student_of({"epochs": 5, "learning_rate": 1e-4}, None)
    rows = material.rows("test")
    near, far = (judge_outputs(task, run_model(each, task, others, ""), others, rows, {}, expected).score.value for each in (by_need, five))
    print(f"rank correlation with the teacher: {near:.3f} by need, {far:.3f} in five epochs")
    assert near > far + 0.01
