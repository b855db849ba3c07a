"""A student starts from its teacher's weights, learns its outputs, and a killed training ends in the same bytes."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import ENCODERS, FFN, HIDDEN, LAYERS, make_model

from edgepack.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.surgery import count_params, layer_shapes, layers_of
from edgepack.model.tasks import TASKS, Features
from edgepack.model.training import batch_order, train
from edgepack.recipe import Training
from edgepack.shape import LayerShape
from edgepack.stages.context import StageContext
from edgepack.stages.distillation import distill, soft_target_loss
from edgepack.stages.student_init import make_student
from edgepack.steps import Distill

TASK = TASKS["text-classification"]


@pytest.fixture(scope="module")
def material(teacher_folder, data_folder):
    from edgepack.model.material import gather
    from edgepack.recipe import Recipe

    return gather(Recipe(model=str(teacher_folder), data=str(data_folder)))


def some_features(count=8):
    draw = np.random.default_rng(0)
    return [
        Features([2, *draw.integers(5, 300, size=n).tolist(), 3], [0] * (n + 2), i) for i, n in enumerate(draw.integers(1, 12, size=count))
    ]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.integers(1, 40), st.integers(1, 4), st.integers(0, 5))
def test_an_epoch_holds_no_row_twice_and_fills_its_batches(lengths, batch_rows, epochs, seed):
    order = batch_order(lengths, batch_rows, epochs, seed)
    rows = min(batch_rows, len(lengths))
    each = len(lengths) // rows * rows
    assert len(order) == each * epochs
    for epoch in range(epochs):
        part = order[epoch * each : (epoch + 1) * each]
        assert len(set(part.tolist())) == each
    assert (order == batch_order(lengths, batch_rows, epochs, seed)).all()


def test_batches_hold_texts_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 100, size=2000)
    batches = lengths[batch_order(lengths, 32, 1, 0)].reshape(-1, 32)
    assert np.mean(batches.max(axis=1) - batches.min(axis=1)) < 20


@pytest.mark.parametrize("family", ENCODERS)
def test_a_student_of_full_size_is_its_teacher(tmp_path, family):
    model = make_model(tmp_path, family)
    expected = run_model(model, TASK, some_features(), "")
    student = make_student(model, LAYERS, HIDDEN, some_features())
    assert all((own == other).all() for own, other in zip(run_model(student, TASK, some_features(), ""), expected, strict=True))


@pytest.mark.parametrize("family", ENCODERS)
def test_a_narrow_student_is_made_of_its_teachers_weights(tmp_path, family):
    model = make_model(tmp_path, family)
    known = {round(float(value), 5) for value in model.state_dict()[next(n for n in model.state_dict() if "word_emb" in n)].flatten()}
    student = make_student(model, 2, 32, some_features())
    assert layer_shapes(student) == [LayerShape(heads=2, ffn=FFN // 2)] * 2
    words = student.state_dict()[next(n for n in student.state_dict() if "word_emb" in n)]
    assert {round(float(value), 5) for value in words.flatten()} <= known
    assert len(layers_of(student)) == 2 and all(np.isfinite(o).all() for o in run_model(student, TASK, some_features(), ""))


def test_the_loss_is_zero_for_a_perfect_student_and_grows_with_the_distance():
    teacher = torch.tensor([[2.0, -1.0, 0.5]])
    losses = [
        soft_target_loss(teacher + shift, teacher, 2.0).item() for shift in (0, torch.tensor([[0.5, 0, 0]]), torch.tensor([[3.0, 0, 0]]))
    ]
    assert losses[0] == pytest.approx(0, abs=1e-6) and losses[0] < losses[1] < losses[2]


def context(material, folder, rows=None):
    teacher = load_checkpoint(material.source)
    features = material.train[:rows]
    outputs = run_model(teacher, TASK, features, "")
    return StageContext(TASK, material.rows("train")[:rows], features, outputs, material.labels, folder, 0)


def step(**more):
    return Distill(
        **({"layers": 2, "hidden": HIDDEN, "epochs": 6, "batch_rows": 32, "learning_rate": 1e-3, "temperature": 2.0, "why": ""} | more)
    )


def accuracy(model, material):
    outputs = run_model(model, TASK, material.test, "")
    return np.mean([o.argmax() == material.labels[row.label] for o, row in zip(outputs, material.rows("test"), strict=True)])


def test_a_student_learns_what_its_teacher_knows(material, tmp_path):
    teacher = load_checkpoint(material.source)
    student = distill(load_checkpoint(material.source), step(), context(material, tmp_path))
    assert count_params(student) < count_params(teacher)
    assert accuracy(teacher, material) > 0.7
    assert accuracy(student, material) > accuracy(teacher, material) - 0.05


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kill_at", [1, 20, 55])
def test_a_training_that_was_cut_off_goes_on_to_the_same_bytes(material, tmp_path, kill_at):
    """The real kill -9 stands in test_pipeline.py; here the moment is exact, and one checkpoint is left half-written."""

    def loss_that_dies(model, batch, targets):
        nonlocal steps
        steps += 1
        if steps == kill_at and not survived:
            raise Killed
        return soft_target_loss(model(**batch).logits, targets, 2.0)

    def run(folder):
        model = make_student(load_checkpoint(material.source), 2, HIDDEN, material.train)
        targets = np.stack(whole.teacher_outputs)
        return train(model, whole.features, targets, loss_that_dies, Training(epochs=8, learning_rate=1e-3), folder, 0, "")

    whole = context(material, tmp_path, rows=500)
    steps, survived = 0, True
    unbroken = run(tmp_path / "unbroken").state_dict()
    steps, survived = 0, False
    with pytest.raises(Killed):
        run(tmp_path / "broken")
    checkpoints = sorted((tmp_path / "broken").glob("checkpoint-*"))
    if checkpoints:
        shutil.copytree(checkpoints[-1], tmp_path / "broken" / "checkpoint-9999", ignore=shutil.ignore_patterns("edgepack-complete.json"))
    survived, steps = True, 0
    resumed = run(tmp_path / "broken").state_dict()
    assert kill_at == 1 or steps < len(whole.features) // 32 * 8
    assert all(torch.equal(resumed[name], unbroken[name]) for name in unbroken)


def test_a_loss_that_is_no_number_stops_and_names_the_step(material, tmp_path):
    model = load_checkpoint(material.source)

    def broken(model, batch, targets):
        return model(**batch).logits.sum() * float("nan")

    with pytest.raises(EdgepackError, match="the loss is nan at step 1"):
        train(model, material.train[:64], np.zeros((64, 4)), broken, Training(epochs=1), tmp_path, 0, "")
