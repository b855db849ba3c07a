"""Each measure of importance finds what was made unimportant; a die finds nothing."""

import copy

import pytest
import torch
from models_shared import batch, context_for
from small import FAMILY_TASKS, HEADS, INTENTS, make_model

from edgepack.compress.activations import collect_activations
from edgepack.compress.context import StageContext
from edgepack.compress.importance import gates, head_importance, neuron_importance
from edgepack.compress.layers import prune_layers
from edgepack.compress.pruning import prune_ffn
from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.structure import count_params, kv_groups_of, layer_shapes, layers_of, matrix_of, projections_of
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.steps import PruneFFN, PruneLayers
from edgepack.tasks import task_named
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features

USELESS_HEAD, USELESS_NEURONS = 2, range(40, 60)


@pytest.fixture
def context(teacher_folder, data_folder, tmp_path):
    return context_for(teacher_folder, data_folder, tmp_path)


@pytest.fixture
def crippled(teacher_folder):
    """Layer 1 has a head and twenty neurons that put out nothing and count for nothing."""
    model = load_checkpoint(teacher_folder)
    layer = layers_of(model)[1]
    rows = slice(USELESS_HEAD * 16, USELESS_HEAD * 16 + 16)
    with torch.no_grad():
        for name in ("query", "key", "value"):
            part = layer.attention.self.get_submodule(name)
            part.weight[rows], part.bias[rows] = 0, 0
        layer.attention.output.dense.weight[:, rows] = 0
        layer.intermediate.dense.weight[list(USELESS_NEURONS)] = 0
        layer.intermediate.dense.bias[list(USELESS_NEURONS)] = 0
        layer.output.dense.weight[:, list(USELESS_NEURONS)] = 0
    return model


@pytest.mark.parametrize("measure", ["gradient", "activation", "magnitude", "remainder"])
def test_what_counts_for_nothing_is_the_least_important(crippled, context, measure):
    heads, neurons = (find(crippled, context, measure) for find in (head_importance, neuron_importance))
    assert heads[1].argmin() == USELESS_HEAD and heads[1][USELESS_HEAD] < 1e-6
    assert set(neurons[1].argsort()[: len(USELESS_NEURONS)].tolist()) == set(USELESS_NEURONS)
    assert [len(row) for row in neurons] == [shape.ffn for shape in layer_shapes(crippled)]


@pytest.mark.parametrize("measure", ["gradient", "activation", "magnitude", "remainder"])
@pytest.mark.parametrize(("family", "task"), FAMILY_TASKS)
def test_in_every_family_a_head_without_weights_is_the_least_important(tmp_path, family, task, measure):
    model, row = make_model(tmp_path, family, task), FAMILIES[family]
    layer, paths = layers_of(model)[0], (row.query, row.key, row.value)
    useless = range(HEADS - kv_groups_of(model), HEADS)  # the last, or those that share the last key
    with torch.no_grad():
        for path, rows in projections_of(model, layer):
            part = matrix_of(layer.get_submodule(path))[rows]
            part[len(part) * useless[0] // HEADS :] = 0
        for path in paths:
            if (bias := layer.get_submodule(path).bias) is not None:
                bias.zero_()
        matrix_of(layer.get_submodule(row.attention_output))[:, useless[0] * 16 :] = 0
    features = [Features([2, *range(5 + index, 20), 3], [0] * (17 - index), index) for index in range(6)]
    rows = [Row("", label=INTENTS[index % 4]) for index in range(6)]
    labels = {name: index for index, name in enumerate(INTENTS)}
    scores = head_importance(model, StageContext(task_named(task), rows, features, [], labels, tmp_path, 0), measure)
    assert scores[0].argsort()[: len(useless)].sort().values.tolist() == list(useless)
    assert scores[0][useless].max() < 1e-6


def test_a_die_is_the_same_for_the_same_seed_and_looks_at_nothing(crippled, context):
    first, again = (head_importance(crippled, context, "random") for _ in range(2))
    assert all(torch.equal(actual, other) for actual, other in zip(first, again, strict=True))
    assert first[1][USELESS_HEAD] > 1e-6


def test_scores_are_of_norm_one_in_each_layer(crippled, context):
    for measure in ("gradient", "activation", "magnitude", "random"):
        assert all(row.norm() == pytest.approx(1) for row in head_importance(crippled, context, measure))


@pytest.mark.parametrize("scope", ["layer", "model"])
def test_cut_neurons_are_those_that_count_for_nothing(crippled, context, scope):
    before = count_params(crippled)
    expected = copy.deepcopy(crippled)
    step = PruneFFN(fraction=0.125, scope=scope, importance="gradient", why="test")
    cut = prune_ffn(crippled, step, context)
    widths = [shape.ffn for shape in layer_shapes(cut)]
    assert all(width % 16 == 0 for width in widths) and count_params(cut) < before
    assert scope == "model" or widths == [112] * 4
    with torch.no_grad():
        change = (cut(**batch()).logits - expected(**batch()).logits).abs().max()
    assert change < 0.5  # of logits that lie several units apart


def test_a_layer_that_changes_nothing_is_the_first_to_go(teacher_folder, context):
    model = load_checkpoint(teacher_folder)
    idle = layers_of(model)[2]
    with torch.no_grad():
        for part in (idle.attention.output, idle.output):
            part.dense.weight.zero_()
            part.dense.bias.zero_()
    influence = collect_activations(model, context.features).influence
    assert influence.argmin() == 2
    remaining = [layers_of(model)[index] for index in (0, 1, 3)]
    pruned = prune_layers(model, PruneLayers(count=3, keep=(), why="test"), context)
    assert list(layers_of(pruned)) == remaining


def test_listed_layers_stay(teacher_folder, context):
    model = load_checkpoint(teacher_folder)
    remaining = [layers_of(model)[index] for index in (0, 3)]
    assert list(layers_of(prune_layers(model, PruneLayers(count=2, keep=(0, 3), why="test"), context))) == remaining


def test_gates_of_one_change_nothing(teacher_folder):
    model = load_checkpoint(teacher_folder)
    with torch.no_grad():
        plain = model(**batch()).logits
        for unit in ("heads", "ffn"):
            with gates(model, 3, unit):
                assert torch.equal(model(**batch()).logits, plain)


def test_a_gradient_of_a_task_without_a_loss_is_refused(teacher_folder, context):
    from dataclasses import replace

    with pytest.raises(EdgepackError, match="feature-extraction"):
        head_importance(load_checkpoint(teacher_folder), replace(context, task=task_named("feature-extraction")), "gradient")
