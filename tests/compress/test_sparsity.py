"""Zeroed weights are the smallest, stay zero through recovery, and make the coded file smaller."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models_shared import context_for
from small import make_model

from edgepack.compress.distillation import distill
from edgepack.compress.need import RANGE, Lesson, fitting_rate
from edgepack.compress.sparsity import coded_mb, held_zeros, prune_weights, weight_matrices, zero_share
from edgepack.model.checkpoint import load_checkpoint
from edgepack.plan.steps import Distill, PruneWeights


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


@settings(max_examples=10)
@given(st.floats(0, 0.99))
def test_the_smallest_weights_of_all_layers_are_zero(model, fraction):
    import copy

    pruned = prune_weights(copy.deepcopy(model), PruneWeights(fraction=fraction, why="test"), None)
    assert zero_share(pruned) == pytest.approx(fraction, abs=1e-4)
    zeroed, remaining = [], []
    for before, after in zip(weight_matrices(model), weight_matrices(pruned), strict=True):
        zeroed.append(before[after == 0].abs())
        remaining.append(before[after != 0].abs())
    assert not len(torch.cat(zeroed)) or torch.cat(zeroed).max() <= torch.cat(remaining).min()


def test_zeros_stay_through_recovery_and_the_rest_learns(teacher_folder, data_folder, tmp_path):
    from dataclasses import replace

    from edgepack.model.evaluation import run_model

    context = context_for(teacher_folder, data_folder, tmp_path)
    teacher = load_checkpoint(teacher_folder)
    context = replace(context, teacher_outputs=run_model(teacher, context.task, context.features, ""))
    pruned = prune_weights(load_checkpoint(teacher_folder), PruneWeights(fraction=0.6, why="test"), context)
    zeros = [matrix == 0 for matrix in weight_matrices(pruned)]
    before = [matrix.detach().clone() for matrix in weight_matrices(pruned)]
    step = Distill(layers=4, hidden=64, epochs=1, batch_rows=32, learning_rate=1e-3, temperature=2.0, hold_zeros=True, why="test")
    recovered = distill(pruned, step, context)
    for mask, old, new in zip(zeros, before, weight_matrices(recovered), strict=True):
        assert not new[mask].any()
        assert not torch.equal(new, old)


def test_the_test_of_learning_rates_holds_zeros_too(teacher_folder, data_folder, tmp_path):
    """The copies that it trains are of the student that is trained afterwards, not of a dense one."""
    context = context_for(teacher_folder, data_folder, tmp_path)
    pruned = prune_weights(load_checkpoint(teacher_folder), PruneWeights(fraction=0.6, why="test"), context)
    shares = []

    def judge(model):
        shares.append(zero_share(model))
        return 0.0

    def loss(model, batch, targets):
        return model(**batch).logits.square().mean()

    with held_zeros(pruned):
        fitting_rate(pruned, 16, loss, Lesson(context.features, [{"soft": np.zeros(4)} for _ in context.features], judge), context)
    assert shares == [pytest.approx(0.6, abs=1e-3)] * len(RANGE)


def test_without_holding_zeros_come_back(teacher_folder, data_folder, tmp_path):
    from dataclasses import replace

    from edgepack.model.evaluation import run_model

    context = context_for(teacher_folder, data_folder, tmp_path)
    model = load_checkpoint(teacher_folder)
    context = replace(context, teacher_outputs=run_model(model, context.task, context.features, ""))
    prune_weights(model, PruneWeights(fraction=0.6, why="test"), context)
    step = Distill(layers=4, hidden=64, epochs=1, batch_rows=32, learning_rate=1e-3, temperature=2.0, why="test")
    assert zero_share(distill(model, step, context)) < 0.1


def test_the_coded_size_falls_with_every_zero(model):
    import copy

    sizes = [coded_mb(prune_weights(copy.deepcopy(model), PruneWeights(fraction=share, why="test"), None)) for share in (0.0, 0.5, 0.9)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[0] < sum(matrix.numel() for matrix in weight_matrices(model)) / 1e6  # at most a byte a weight
