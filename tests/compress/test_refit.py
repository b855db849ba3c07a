"""After refit a model is nearer to the whole one than after the cut alone, and computes the same where the cut was redundant."""

import copy

import numpy as np
import pytest
import torch
from models_shared import context_for
from small import FAMILY_TASKS, make_model

from edgepack.compress.pruning import prune_heads
from edgepack.compress.refit import refit, unrepairable
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.structure import ffns_of, head_dim_of, inputs_of, layers_of, matrix_of
from edgepack.model.surgery import cut_ffn
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.steps import PruneHeads
from edgepack.tasks import task_named
from edgepack.tasks.common.task import Features


def sample(rows=32, shorter=0):
    ids = torch.randint(5, 300, (rows, 11), generator=torch.Generator().manual_seed(2)).tolist()
    lengths = [11 - index % (shorter + 1) for index in range(rows)]
    return [Features(row[:length], [0] * length, index) for index, (row, length) in enumerate(zip(ids, lengths, strict=True))]


def outputs_seen(model, projection, features, task):
    """[tokens, inputs] and [tokens, outputs] of a projection over the sample."""
    records = []
    handle = projection.register_forward_hook(
        lambda module, inputs, output: records.append((inputs[0].flatten(0, -2).cpu(), output.flatten(0, -2).cpu()))
    )
    for length in {len(item.ids) for item in features}:  # nothing is padded
        run_model(model, task_named(task), [item for item in features if len(item.ids) == length], "")
    handle.remove()
    return tuple(torch.cat(parts) for parts in zip(*records, strict=True))


@pytest.mark.parametrize("unit", ["heads", "ffn"])
@pytest.mark.parametrize(("family", "task"), FAMILY_TASKS)
def test_in_every_family_the_outputs_come_nearer_to_what_they_were(tmp_path, family, task, unit):
    model, row = make_model(tmp_path, family, task), FAMILIES[family]
    owners = layers_of(model) if unit == "heads" else ffns_of(model)
    projections = [owner.get_submodule(row.attention_output if unit == "heads" else row.ffn_out) for owner in owners]
    size = head_dim_of(model) if unit == "heads" else 1
    keep = [range(inputs_of(each) // size // 2) for each in projections]
    features = sample()
    before, whole = outputs_seen(model, projections[0], features, task)
    remaining = before.clone()
    remaining[:, len(keep[0]) * size :] = 0
    plain = projections[0](remaining)
    refit(model, unit, keep, features)
    apart, plainly_apart = ((result - whole).square().mean().item() for result in (projections[0](remaining), plain))
    assert apart < 0.9 * plainly_apart


@pytest.mark.parametrize("bias", [True, False])
def test_what_refit_cannot_repair_is_what_least_squares_leave(bias):
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(400, 12, generator=draw, dtype=torch.double) @ torch.randn(12, 12, generator=draw, dtype=torch.double) + 1
    projection = torch.nn.Linear(12, 5, bias=bias, dtype=torch.double)
    ones = torch.cat([inputs, torch.ones(400, 1, dtype=torch.double)], dim=1)
    ridge = 1e-2 * (inputs.square().sum() / 12)
    lost = unrepairable(projection, ones.T @ ones, 3)
    for unit in range(4):
        others = [place for place in range(12) if place // 3 != unit]
        kept = torch.cat([inputs[:, others], *([ones[:, -1:]] if bias else [])], dim=1)
        part = inputs[:, unit * 3 : unit * 3 + 3]
        penalty = torch.full((kept.shape[1],), float(ridge), dtype=torch.double)
        penalty[len(others) :] = 0.0
        weight = projection.weight[:, unit * 3 : unit * 3 + 3]
        repair = torch.linalg.solve(kept.T @ kept + penalty.diag(), kept.T @ part) @ weight.T
        error = (part @ weight.T - kept @ repair).square().sum() + (penalty[:, None] * repair.square()).sum()
        error += float(ridge) * weight.square().sum()  # what the ridge holds the unit's weights by
        assert float(lost[unit]) == pytest.approx(float(error))


def test_redundant_neurons_are_taken_over_by_their_twins(teacher_folder, data_folder, tmp_path):
    model, context = load_checkpoint(teacher_folder), context_for(teacher_folder, data_folder, tmp_path)
    for layer in layers_of(model):
        with torch.no_grad():
            layer.intermediate.dense.weight[64:] = layer.intermediate.dense.weight[:64]
            layer.intermediate.dense.bias[64:] = layer.intermediate.dense.bias[:64]
    keep, logits = [range(64)] * len(layers_of(model)), []
    for wish in (False, True):
        cut = copy.deepcopy(model)
        if wish:
            refit(cut, "ffn", keep, context.features)
        cut_ffn(cut, keep)
        logits.append(torch.tensor(np.stack(run_model(cut, context.task, context.features[:64], ""))))
    whole = torch.tensor(np.stack(run_model(model, context.task, context.features[:64], "")))
    assert (logits[1] - whole).abs().max() < 0.1 * (logits[0] - whole).abs().max()


def test_a_layer_that_keeps_no_head_puts_out_its_mean(tmp_path):
    model, features = make_model(tmp_path), sample(shorter=6)
    projection = layers_of(model)[1].attention.output.dense
    _, whole = outputs_seen(model, projection, features, "text-classification")
    refit(model, "heads", [range(4), [], range(4), range(4)], features)
    assert torch.allclose(projection.bias, whole.mean(dim=0), atol=1e-4)
    assert torch.equal(matrix_of(projection), matrix_of(make_model(tmp_path).bert.encoder.layer[1].attention.output.dense))


def test_pruning_heads_with_refit_keeps_more_of_the_teacher(teacher_folder, data_folder, tmp_path):
    context = context_for(teacher_folder, data_folder, tmp_path)
    whole = torch.tensor(np.stack(run_model(load_checkpoint(teacher_folder), context.task, context.features, "")))
    apart = []
    for wish in (False, True):
        step = PruneHeads(fraction=0.5, scope="model", refit=wish, why="test")
        cut = prune_heads(load_checkpoint(teacher_folder), step, context)
        apart.append((torch.tensor(np.stack(run_model(cut, context.task, context.features, ""))) - whole).square().mean().item())
    assert apart[1] < 0.7 * apart[0]
