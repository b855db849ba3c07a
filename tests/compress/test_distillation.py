"""A student starts from its teacher's weights, learns its outputs, and a killed training ends in the same bytes."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import FAMILY_TASKS, FFN, HIDDEN, LAYERS, make_model

from edgepack.compress.context import StageContext
from edgepack.compress.distillation import distill, turned
from edgepack.compress.hidden_states import fitted_projection, recording
from edgepack.compress.student_init import make_student
from edgepack.core.errors import EdgepackError
from edgepack.model.batches import batch_order
from edgepack.model.checkpoint import load_checkpoint, save_checkpoint
from edgepack.model.dropped_attention import drop_attention
from edgepack.model.evaluation import padded, run_model
from edgepack.model.losses import hidden_loss
from edgepack.model.source import find_model
from edgepack.model.structure import count_params, depth_of, depths_in, layer_shapes, layers_of
from edgepack.model.surgery import keep_layers
from edgepack.model.training import train
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.cuts import heads_do_not_fit
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import LayerShape
from edgepack.plan.steps import Distill
from edgepack.plan.student import shrink
from edgepack.plan.training_settings import Training
from edgepack.tasks import task_named
from edgepack.tasks.common.task import Features

TASK = task_named("text-classification")


@pytest.fixture(scope="module")
def material(teacher_folder, data_folder):
    from edgepack.model.material import gather
    from edgepack.plan.recipe import Recipe

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


def outputs_of(model, task):
    return run_model(model, task_named(task), some_features(), "")


@pytest.mark.parametrize(("family", "task"), FAMILY_TASKS)
def test_a_student_of_full_size_is_its_teacher(tmp_path, family, task):
    model = make_model(tmp_path, family, task)
    expected = outputs_of(model, task)
    student = make_student(model, LAYERS, getattr(model.config, FAMILIES[family].config_hidden), some_features())
    assert all((actual == other).all() for actual, other in zip(outputs_of(student, task), expected, strict=True))


@pytest.mark.parametrize(("family", "task"), FAMILY_TASKS)
def test_a_narrow_student_is_made_of_its_teachers_weights_and_reloads(tmp_path, family, task):
    model = make_model(tmp_path / "whole", family, task)
    known = {round(float(value), 5) for value in model.get_input_embeddings().weight.flatten()}
    half = getattr(model.config, FAMILIES[family].config_hidden) // 2
    predicted = shrink(find_model(str(tmp_path / "whole")).shape(task), 2, half)
    student = make_student(model, 2, half, some_features())
    assert layer_shapes(student) == [LayerShape(heads=2, ffn=FFN // 2)] * len(layers_of(student)) == list(predicted.stored_layers)
    narrow = student.get_input_embeddings().weight
    if not FAMILIES[family].fits_layers or narrow.shape == model.get_input_embeddings().weight.shape:  # dimensions are chosen, or all stay
        assert {round(float(value), 5) for value in narrow.flatten()} <= known
    assert depth_of(student) == 2 and count_params(student) == predicted.params
    save_checkpoint(student, tmp_path / "narrow")
    expected = outputs_of(student, task)
    again = outputs_of(load_checkpoint(tmp_path / "narrow"), task)
    assert all(np.isfinite(actual).all() and (actual == other).all() for actual, other in zip(again, expected, strict=True))


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


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [1, 20, 55])
def test_a_training_that_was_cut_off_goes_on_to_the_same_bytes(material, tmp_path, kill_at):
    """The real kill -9 stands in test_pipeline.py; here the moment is exact. A checkpoint is left half-written, others damaged."""

    def loss_that_dies(model, batch, targets):
        nonlocal steps
        steps += 1
        if steps == kill_at and not survived:
            raise Killed
        return TASK.soft_loss(model(**batch).logits, batch, targets, 2.0)

    def run(folder):
        model = make_student(load_checkpoint(material.source), 2, HIDDEN, material.train)
        targets = np.stack(whole.teacher_outputs)
        return train(model, whole.features, targets, loss_that_dies, Training(epochs=8, learning_rate=1e-3), folder, 0, "")[0]

    whole = context(material, tmp_path, rows=500)
    steps, survived = 0, True
    unbroken = run(tmp_path / "unbroken").state_dict()
    steps, survived = 0, False
    with pytest.raises(Killed):
        run(tmp_path / "broken")
    checkpoints = sorted((tmp_path / "broken").glob("checkpoint-*"))
    if checkpoints:
        shutil.copytree(checkpoints[-1], tmp_path / "broken" / "checkpoint-9999", ignore=shutil.ignore_patterns("edgepack-complete.json"))
        for number, name in ((9998, "optimizer.pt"), (9997, "edgepack-complete.json"), (9996, "model.safetensors")):
            damaged = shutil.copytree(checkpoints[-1], tmp_path / "broken" / f"checkpoint-{number}") / name
            damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x7f")
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


def of_task(folder, name, width=HIDDEN):
    """A random teacher, and everything that distilling it on random ids needs."""
    from edgepack.tasks.common.rows import Row

    family = "llama" if name == "text-generation" else "bert"
    teacher = make_model(folder, family, name)
    task, features = task_named(name), some_features(96)
    reduced = task.kept_outputs
    outputs = run_model(teacher, task, features, "", reduced)
    rows = [Row("", text="x", label="call")] * 96
    more = {"load_teacher": lambda: load_checkpoint(folder, name)}
    return teacher, StageContext(task, rows, features, outputs, {"call": 1}, folder / "resume", 0, **more)


def distance(model, context):
    """The soft loss over all rows."""
    from edgepack.compress.distillation import targets_of
    from edgepack.model.batches import collate

    targets = [target["soft"] for target in targets_of(step(), context, model)]
    batch = collate(list(zip(context.features, targets, strict=True)), 0, context.task.name != "text-generation")
    soft = batch.pop("targets")
    with torch.inference_mode():
        return context.task.soft_loss(context.task.forward(model, batch), batch, soft, 2.0).item()


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("text-classification", HIDDEN),
        ("token-classification", HIDDEN),
        ("question-answering", 32),
        ("feature-extraction", HIDDEN),
        ("feature-extraction", 32),
        ("text-generation", HIDDEN),
    ],
)
def test_a_student_of_every_task_comes_nearer_to_its_teacher(tmp_path, name, hidden):
    _, context = of_task(tmp_path, name)
    untrained = make_student(load_checkpoint(tmp_path, name), 2, hidden, context.features)
    student = distill(load_checkpoint(tmp_path, name), step(hidden=hidden, epochs=8), context)
    assert distance(student, context) < 0.8 * distance(untrained, context)


@given(st.integers(2, 6), st.integers(0, 100))
def test_turned_outputs_keep_their_angles_and_come_as_near_as_they_can(width, seed):
    draw = np.random.default_rng(seed)
    outputs = draw.normal(size=(20, width)).astype(np.float32)
    rotation, _ = np.linalg.qr(draw.normal(size=(width, width)))
    result = np.stack(turned(list(outputs), list(outputs), list(outputs @ rotation)))
    assert np.allclose(result, outputs @ rotation, atol=1e-4)
    assert np.allclose(result @ result.T, outputs @ outputs.T, atol=1e-4)


@pytest.mark.parametrize("hidden", [HIDDEN, 32])
def test_hidden_states_and_relations_teach_beside_a_live_teacher(tmp_path, hidden):
    _, context = of_task(tmp_path, "text-classification")
    weights = {"soft_weight": 0.0, "hidden_weight": 1.0, "relation_weight": 1.0, "hard_weight": 0.1}
    student = distill(load_checkpoint(tmp_path, "text-classification"), step(hidden=hidden, epochs=2, **weights), context)
    assert not [key for key in student.state_dict() if "projection" in key]
    start = make_student(load_checkpoint(tmp_path, "text-classification"), 2, hidden, context.features)
    changed = [name for name, weight in student.state_dict().items() if not torch.equal(weight, start.state_dict()[name])]
    assert any("attention" in name for name in changed)


@pytest.mark.parametrize(("layers", "skipped"), [(4, [3]), (2, [3]), (3, [3]), (2, [2, 3]), (2, [1, 3]), (4, [0])])
def test_the_plan_refuses_the_narrow_students_of_uneven_heads_that_cannot_be_made(tmp_path, layers, skipped):
    """MPNet's layers share a table with a column for each head."""
    make_model(tmp_path, "mpnet")
    model = load_checkpoint(tmp_path, "text-classification")
    whole = find_model(str(tmp_path)).shape("text-classification")
    drop_attention(model, skipped)
    uneven = whole.resized(tuple(layer_shapes(model)), HIDDEN)
    recipe = Recipe(model="m", data="d", student=f"{layers}x32")
    try:
        heads_do_not_fit(recipe, uneven, shrink(uneven, layers, 32), 0.0)
    except EdgepackError:
        with pytest.raises(EdgepackError, match="different numbers of heads"):
            make_student(model, layers, 32, some_features())
    else:
        assert make_student(model, layers, 32, some_features()).config.hidden_size == 32


@pytest.mark.parametrize("family", ["bert", "modernbert", "albert"])
def test_a_narrow_student_is_held_to_its_teachers_hidden_states_from_where_it_begins(tmp_path, family):
    teacher = make_model(tmp_path, family)
    features = some_features(40)
    student = make_student(load_checkpoint(tmp_path, "text-classification"), 2, 32, features)
    projection = fitted_projection(student, teacher, features)
    batch = padded(features, 0, False)

    def distance(matrix):
        with torch.no_grad(), recording(student) as ours, recording(teacher) as theirs:
            student.eval()(**batch), teacher(**batch)
            depths = depths_in(student, teacher)
            return hidden_loss(ours.states, theirs.states, depths, lambda states: states @ matrix.T, batch["attention_mask"]).item()

    fitted = distance(projection.weight)
    torch.manual_seed(0)
    assert 0 < fitted < 1  # 1: that of no states at all
    assert all(distance(projection.weight + 0.05 * torch.randn_like(projection.weight)) > fitted for _ in range(3))
    as_wide = make_student(load_checkpoint(tmp_path, "text-classification"), 2, HIDDEN, features)
    assert fitted_projection(as_wide, teacher, features) is None


@pytest.mark.parametrize(
    ("layers", "depths"), [([0, 1], [0, 1, 4]), ([0, 1, 2], [0, 1, 2, 4]), ([1, 3], [1, 3, 4]), ([0, 2], [0, 2, 4]), ([0], [0, 4])]
)
def test_hidden_states_stand_for_what_the_next_layer_that_stays_reads(tmp_path, layers, depths):
    teacher = make_model(tmp_path)
    model = load_checkpoint(tmp_path, "text-classification")
    keep_layers(model, layers)
    assert depths_in(model, teacher) == depths
    save_checkpoint(model, tmp_path / "cut")
    again = load_checkpoint(tmp_path / "cut", "text-classification")
    assert depths_in(again, teacher) == depths
    student = make_student(again, 1, 32, some_features(40))
    assert depths_in(student, teacher) == [layers[0], 4]


def test_layers_that_stay_as_they_are_have_no_distance_to_their_teacher(tmp_path):
    teacher, features = make_model(tmp_path), some_features(20)
    model = load_checkpoint(tmp_path, "text-classification")
    keep_layers(model, [0, 1, 2])
    batch = padded(features, 0, False)
    with torch.no_grad(), recording(model) as ours, recording(teacher) as theirs:
        model.eval()(**batch), teacher.eval()(**batch)
    depths = depths_in(model, teacher)
    assert hidden_loss(ours.states[:-1], theirs.states, depths[:-1], None, batch["attention_mask"]).item() == 0
    assert hidden_loss(ours.states, theirs.states, depths, None, batch["attention_mask"]).item() > 0


@pytest.mark.slow
def test_a_time_limit_is_kept_with_the_best_weights(material, tmp_path):
    import dataclasses
    import time

    whole = context(material, tmp_path, rows=500)
    whole = dataclasses.replace(whole, dev_rows=material.rows("dev"), dev_features=material.dev)
    started = time.monotonic()
    student = distill(load_checkpoint(material.source), step(epochs=10000, minutes=0.15), whole)
    assert time.monotonic() - started < 0.15 * 60 + 3
    assert (tmp_path / "best.safetensors").is_file() and accuracy(student, material) > 0.7


@pytest.mark.parametrize("dev", [[0.5], [0.5, 0.5, 0.5]], ids=["one row", "equal numbers"])
def test_a_dev_split_that_defines_no_metric_judges_nothing(dev, tmp_path):
    """A correlation of one row or of equal numbers is none. The training goes on to its limit, with the weights of its end."""
    from edgepack.model.material import gather
    from edgepack.plan.recipe import Recipe

    make_model(tmp_path / "model", labels=("score",))
    (tmp_path / "data").mkdir()
    for split, numbers in (("train", [at / 40 for at in range(40)]), ("dev", dev), ("test", [0.1, 0.5, 0.9])):
        rows = "".join(f"set the heat to {round(40 * number)},{number}\n" for number in numbers)
        (tmp_path / "data" / f"{split}.csv").write_text(f"text,score\n{rows}")
    material = gather(Recipe(model=str(tmp_path / "model"), data=str(tmp_path / "data")))
    teacher = load_checkpoint(material.source)
    outputs = run_model(teacher, material.task, material.train, "")
    folder = tmp_path / "stage"
    stage = StageContext(material.task, material.rows("train"), material.train, outputs, material.labels, folder, 0)
    stage = replace(stage, dev_rows=material.rows("dev"), dev_features=material.dev)
    student = distill(teacher, step(epochs=10000, minutes=0.03), stage)
    assert depth_of(student) == 2 and all(parameter.isfinite().all() for parameter in student.parameters())
    assert not (folder / "best.safetensors").exists()


def test_no_number_keeps_the_last_good_checkpoint(material, tmp_path):
    steps = 0

    def breaks_later(model, batch, targets):
        nonlocal steps
        steps += 1
        return model(**batch).logits.square().mean() * (float("nan") if steps == 9 else 1.0)

    with pytest.raises(EdgepackError, match="the loss is nan at step 9; checkpoint-8 is the last good one"):
        model = load_checkpoint(material.source)
        train(model, material.train[:320], np.zeros((320, 4)), breaks_later, Training(epochs=2), tmp_path, 0, "")
    assert (tmp_path / "checkpoint-8" / "model.safetensors").is_file()


def test_texts_without_labels_join_in(teacher_folder, data_folder, tmp_path):
    from edgepack.model.material import gather
    from edgepack.plan.recipe import Recipe

    (tmp_path / "more.txt").write_text("turn on the light\nplay music\n")
    result = gather(Recipe(model=str(teacher_folder), data=str(data_folder), unlabelled=str(tmp_path / "more.txt")))
    assert len(result.training) == len(result.train) + 2
    assert result.training[-1].row == len(result.rows("train")) + 1
    with pytest.raises(EdgepackError, match="no file of unlabelled texts"):
        gather(Recipe(model=str(teacher_folder), data=str(data_folder), unlabelled="nowhere.txt"))
