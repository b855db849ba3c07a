"""Every task that the folder holds keeps the promises of its record: shapes, decisions, metrics, losses, and how it is found."""

from importlib import import_module
from typing import get_args

import numpy as np
import pytest
import torch
import transformers
from small import CONFIGS, make_model
from transformers import AutoTokenizer

from edgepack.core.errors import EdgepackError
from edgepack.model.batches import collate
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import padded, run_model
from edgepack.model.material import gather
from edgepack.model.quality import judge_outputs
from edgepack.plan.recipe import Importance, Recipe
from edgepack.plan.shape import read_shape, task_of
from edgepack.plan.training_settings import Training, training_for
from edgepack.ship.load import device_module
from edgepack.tasks import all_tasks, task_named, task_names
from edgepack.tasks.common.rows import Record, Row

TEXTS = ("turn on the light", "play some music", "it is warm here", "call my mother now please")
TAGS = ("O", "B-X", "I-X", "O")
LABELS = {"no": 0, "yes": 1, "O": 0, "B-X": 1, "I-X": 2}
MAX_LENGTH = 32


def records():
    """With every field that a task may ask for."""
    for index, text in enumerate(TEXTS):
        words = text.split()[:4]
        yield Record(
            {
                "text": text, "label": ("no", "yes")[index % 2], "words": words, "tags": TAGS[: len(words)],
                "question": "what is it?", "context": text, "answers": [(words[1], text.index(words[1]))],
            },
            f"test:{index + 1}",
        )  # fmt: skip


def rows_of(task):
    every = list(records())
    columns = task.columns(every[0], every, {})
    return [task.row(record.place, {key: record.values[name] for key, name in columns.items()}, None) for record in every]


@pytest.fixture(scope="module", params=task_names())
def case(request, tmp_path_factory):
    """A task with rows, features, a tiny model and its outputs."""
    task, folder = task_named(request.param), tmp_path_factory.mktemp("model")
    make_model(folder, "qwen3" if task.decodes else "bert", task.name, ("no", "yes", "more"))
    rows = rows_of(task)
    features = task.encode(AutoTokenizer.from_pretrained(folder), rows, MAX_LENGTH)
    model = load_checkpoint(folder, task.name)
    return task, rows, features, model, run_model(model, task, features, "")


@pytest.mark.parametrize("task", all_tasks(), ids=repr)
def test_a_task_is_found_by_its_name_and_by_its_models(task):
    assert task_named(task.name) is task and Recipe(task=task.name).task == task.name
    assert hasattr(transformers, task.auto_class)
    for ending in task.architectures:
        assert task_of({"architectures": [f"Bert{ending}"]}, "config.json") == task.name
    config = CONFIGS["qwen3" if task.decodes else "bert"]().to_dict() | {"id2label": {"0": "a", "1": "b", "2": "c"}}
    shape = read_shape(config, task.name, None, "config.json")
    assert shape.labels == (3 if task.names_labels else task.head_outputs) and shape.decodes == task.decodes


def test_an_unknown_task_is_refused_with_the_nearest_name():
    with pytest.raises(EdgepackError, match="did you mean 'text-generation'"):
        task_named("text-generator")
    with pytest.raises(EdgepackError, match="did you mean 'text-generation'"):
        Recipe.read({"task": "text-generator"}, "test")


@pytest.mark.parametrize("task", all_tasks(), ids=repr)
def test_facts_are_such_as_their_readers_take(task):
    assert task.default_importance in get_args(Importance)
    assert set(task.loss_weights) == {name for name in Training.model_fields if name.endswith("_weight")}
    assert any(task.loss_weights.values()) and training_for(task.name, Training())
    assert (task.hard_targets is None) == (task.label_loss is None)
    assert task.hard_targets is not None or task.default_importance != "gradient"
    assert all(text for _, text in task.example)


def test_rows_become_token_ids_that_lead_back_to_them(case):
    task, rows, features, _, _ = case
    assert features and all(0 < len(item.ids) <= MAX_LENGTH and len(item.ids) == len(item.type_ids) for item in features)
    if not task.joins_rows:
        assert {item.row for item in features} == set(range(len(rows)))
        assert all(task.shown(row) for row in rows)
    assert task.texts(rows)
    task.check_rows("test", {"train": rows})


@pytest.mark.parametrize("task", task_names())
def test_a_limit_that_nothing_can_be_cut_to_is_refused_before_work(task, tmp_path):
    """A tokenizer cuts nothing where its own tokens alone are more than the limit."""
    make_model(tmp_path, "qwen3" if task_named(task).decodes else "bert", task)
    assert gather(Recipe(model=str(tmp_path), task=task, max_length=16)).max_length == 16
    with pytest.raises(EdgepackError, match=r"--max-length"):
        gather(Recipe(model=str(tmp_path), task=task, max_length=1))


def test_a_pair_that_cannot_be_cut_to_the_limit_is_named(tmp_path):
    make_model(tmp_path / "model", labels=("no", "yes"))
    rows = ["turn on the light,,no", "turn on the light,play some music,yes"]
    (tmp_path / "data.csv").write_text("\n".join(["text,text_pair,label", *rows * 20, ""]))
    with pytest.raises(EdgepackError, match=r"data.csv:\d+: 11 tokens, and the limit is 2"):
        _ = gather(Recipe(model=str(tmp_path / "model"), data=str(tmp_path / "data.csv"), max_length=2)).train


def test_a_text_alone_becomes_a_row_or_is_refused(case):
    task, _, _, _, _ = case
    for text in ("", " ", "naïve café", "a" * 300):
        row = task.row_of_text(text)
        assert row is None or text in (row.text, row.context, " ".join(row.words))
    assert task.row_of_text("plain words") is not None
    if task.unlabelled_row is not None:
        assert task.texts([task.unlabelled_row(Row("", text="plain words"))])


def test_outputs_have_the_shapes_of_the_record_and_padding_changes_nothing(case):
    task, _, features, model, outputs = case
    batch = padded(features, model.config.pad_token_id or 0, not task.decodes)
    with torch.inference_mode():
        computed = task.forward(model, batch)
    assert computed.shape[:2] == ((len(features), batch["input_ids"].shape[1]) if task.per_token else (len(features), computed.shape[1]))
    assert computed.dim() == (3 if task.per_token else 2)
    if task.head_outputs != 0:
        assert computed.shape[-1] == (3 if task.names_labels else task.head_outputs)
    assert len(task.outputs) == 1 or computed.shape[-1] == len(task.outputs)
    alone = [run_model(model, task, [item], "")[0] for item in features]
    assert all(task.gap(np.abs(task.comparable(ours) - task.comparable(other))) < 1e-4 for ours, other in zip(outputs, alone, strict=True))


def test_there_is_a_decision_a_row_and_the_teacher_loses_nothing_against_itself(case):
    task, rows, features, _, outputs = case
    decisions = task.decide(outputs, features, rows)
    assert len(decisions) == (len(features) if task.joins_rows or decisions[0] is None else len(rows))
    quality = judge_outputs(task, outputs, features, rows, LABELS, outputs)
    assert quality.score is not None and quality.score.metric == task.metric
    assert quality.score.drop_from(quality.score) == 0
    worse = quality.score.model_copy(update={"value": quality.score.value + (0.1 if task.lower_is_better else -0.1)})
    assert quality.score.lower_is_better == task.lower_is_better and worse.drop_from(quality.score) > 0
    assert quality.flip_share == (None if decisions[0] is None else 0)
    assert all(group.kind == task.class_kind for group in quality.groups)
    assert task.needs_teacher == (judge_outputs(task, outputs, features, rows, LABELS, None).score is None)


def test_two_files_of_a_model_are_compared_by_what_rounding_does_not_make_jump(case):
    task, rows, features, _, outputs = case
    assert (task.choices is None) == (task.decide(outputs, features, rows)[0] is None)
    for output in outputs:
        assert task.gap(np.abs(task.comparable(output) - task.comparable(output.copy()))) == 0
        assert task.gap(np.abs(task.comparable(output) - task.comparable(output + 1))) == pytest.approx(1)
        assert task.choices is None or np.array_equal(task.choices(output), task.choices(output.copy()))


def test_a_perfect_student_loses_nothing_and_another_loses_something(case):
    task, _, features, model, _ = case
    soft = [{"soft": output} for output in run_model(model, task, features, "", task.kept_outputs)]
    batch = collate(list(zip(features, soft, strict=True)), model.config.pad_token_id or 0, not task.decodes)
    targets = batch.pop("targets")["soft"]
    with torch.no_grad():
        outputs = task.forward(model, batch)
        assert task.soft_loss(outputs, batch, targets, 2.0).item() == pytest.approx(0, abs=1e-4)
        noise = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0))
        assert task.soft_loss(outputs + noise, batch, targets, 2.0).item() > 1e-3


def test_labels_teach_where_the_task_has_them(case):
    task, rows, features, model, _ = case
    if task.hard_targets is None:
        return
    hard = task.hard_targets(features, rows, LABELS)
    assert len(hard) == len(features)
    batch = collate(list(zip(features, hard, strict=True)), model.config.pad_token_id or 0, not task.decodes)
    targets = batch.pop("targets")
    outputs = task.forward(model, batch).detach().requires_grad_()
    loss = task.label_loss(outputs, batch, targets)
    loss.backward()
    assert loss.item() > 0 and outputs.grad.abs().sum() > 0
    better = (outputs - 0.1 * outputs.grad / outputs.grad.norm()).detach()
    assert task.label_loss(better, batch, targets).item() < loss.item()


def test_outputs_follow_the_pieces_where_a_vocabulary_is_cut(case):
    task, _, features, _, outputs = case
    same = {index: index for item in features for index in item.ids}
    if task.choices is not None and task.joins_rows:
        same |= {int(index): int(index) for output in outputs for index in task.choices(output)}
    for output, aligned in zip(outputs, task.aligned(outputs, features, features, same), strict=True):
        assert np.array_equal(output, aligned)


@pytest.mark.parametrize(
    ("answers", "labels", "is_pair", "texts", "field"),
    [
        ({"multi_label": False}, 3, False, 1, "label"),
        ({"multi_label": True}, 3, False, 1, "chosen"),
        ({"multi_label": False}, 1, True, 2, "score"),
        (None, 2, True, 2, "label"),
    ],
)
def test_a_readme_asks_what_the_pack_reads_and_shows_what_it_decides(answers, labels, is_pair, texts, field):
    example, shown = task_named("text-classification").call_of(answers, labels, is_pair)
    taken = import_module(f"{device_module().__name__}.wire")._TEXTS["text-classification"]  # by a module's server
    assert [name for name, _ in example] == list(taken[:texts]) and shown == field
