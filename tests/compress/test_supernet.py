"""A shared model: a part of it computes what the model computes that is really cut to that part, and training makes parts better."""

import random

import pytest
import torch
from small import make_data, make_model

from edgepack.compress.context import StageContext
from edgepack.compress.importance import best, head_importance, neuron_importance
from edgepack.compress.supernet import RANKED_BY, SHARES, Part, draw_part, only_part, train_shared
from edgepack.model.data import load_data
from edgepack.model.evaluation import run_model
from edgepack.model.structure import kv_groups_of
from edgepack.model.surgery import cut_ffn, cut_heads, keep_layers
from edgepack.plan.cuts import kept_heads, kept_neurons
from edgepack.plan.steps import Distill
from edgepack.tasks import task_named

TASK = task_named("text-classification")


def context_of(model, folder):
    from transformers import AutoTokenizer

    rows = load_data(str(make_data(folder / "data", {"train": 64, "dev": 8, "test": 8})), TASK.name).splits["train"]
    features = TASK.encode(AutoTokenizer.from_pretrained(folder / "model"), rows, 64)
    outputs = run_model(model, TASK, features, "teacher")
    labels = {name: index for index, name in model.config.id2label.items()}
    return StageContext(TASK, rows, features, outputs, labels, folder / "resume", 0)


@pytest.mark.parametrize("family", ["bert", "modernbert", "distilbert"])
def test_a_part_computes_what_a_cut_model_computes(tmp_path, family):
    model = make_model(tmp_path / "model", family)
    context = context_of(model, tmp_path)
    heads, neurons = head_importance(model, context, RANKED_BY), neuron_importance(model, context, RANKED_BY)
    part, group = Part((0, 2), 0.5, 0.5), kv_groups_of(model)
    with only_part(model, part, heads, neurons):
        expected = run_model(model, TASK, context.features[:8], "part")
    cut_heads(model, [best(row, max(group, kept_heads(len(row), part.heads, group)), group) for row in heads])
    cut_ffn(model, [best(row, kept_neurons(len(row), part.ffn)) for row in neurons])
    keep_layers(model, list(part.layers))
    found = run_model(model, TASK, context.features[:8], "cut")
    assert all(abs(a - b).max() < 1e-4 for a, b in zip(expected, found, strict=True))


def test_after_the_block_the_model_is_whole_again(tmp_path):
    model = make_model(tmp_path / "model")
    context = context_of(model, tmp_path)
    scores = head_importance(model, context, RANKED_BY), neuron_importance(model, context, RANKED_BY)
    with only_part(model, Part((0,), 0.5, 0.75), *scores):
        part = run_model(model, TASK, context.features[:4], "part")
    whole = run_model(model, TASK, context.features[:4], "whole")
    assert all(abs(a - b).max() < 1e-4 for a, b in zip(whole, context.teacher_outputs[:4], strict=True))
    assert any(abs(a - b).max() > 1e-3 for a, b in zip(part, whole, strict=True))


def test_parts_are_drawn_in_all_depths_and_shares():
    parts = {draw_part(random.Random(number), 6, False) for number in range(400)}
    assert {len(part.layers) for part in parts} == {2, 3, 4, 5, 6}
    assert {part.ffn for part in parts} == set(SHARES) and all(part.layers[0] == 0 for part in parts)
    assert {len(draw_part(random.Random(number), 6, True).layers) for number in range(50)} == {6}, "shared layers all run"


@pytest.mark.slow
def test_training_brings_the_parts_nearer_to_the_teacher(tmp_path):
    torch.manual_seed(0)
    model = make_model(tmp_path / "model")
    context = context_of(model, tmp_path)
    step = Distill(layers=4, hidden=64, epochs=30, batch_rows=16, learning_rate=5e-4, temperature=2.0, why="")
    ranks = head_importance(model, context, RANKED_BY), neuron_importance(model, context, RANKED_BY)
    part = Part((0, 2), 0.5, 0.5)

    def distance():
        with only_part(model, part, *ranks), torch.no_grad():
            outputs = run_model(model, TASK, context.features, "part")
        return sum(float(abs(a - b).mean()) for a, b in zip(outputs, context.teacher_outputs, strict=True))

    before = distance()
    train_shared(model, step, context)
    assert distance() < 0.9 * before
