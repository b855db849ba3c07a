"""A narrow student begins near its teacher: its layers are fitted, not only copied."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from small import FAMILY_TASKS, make_model

from edgepack.compress import student_init
from edgepack.compress.layer_fitting import main_axes
from edgepack.compress.observing import observe
from edgepack.compress.student_init import make_student
from edgepack.model.evaluation import padded, takes_types
from edgepack.plan.architectures import FAMILIES
from edgepack.tasks.common.task import Features

FITTED = [(family, task) for family, task in FAMILY_TASKS if FAMILIES[family].fits_layers]


def texts(count, seed):
    draw = np.random.default_rng(seed)
    lengths = draw.integers(3, 12, size=count)
    return [Features([2, *draw.integers(5, 300, size=n).tolist(), 3], [0] * (n + 2), row) for row, n in enumerate(lengths)]


def error(student, teacher, features):
    """Of the logits, squared, over their variance."""
    batch = padded(features, 0, takes_types(teacher))
    with torch.inference_mode():
        ours, theirs = (model(**batch).logits for model in (student, teacher))
    if theirs.dim() == 3:
        ours, theirs = (logits[batch["attention_mask"].bool()] for logits in (ours, theirs))
    return float((ours - theirs).square().mean() / theirs.var())


@pytest.mark.parametrize(("family", "task"), FITTED)
@pytest.mark.parametrize("layers", [4, 2])
def test_a_fitted_student_is_nearer_to_its_teacher_than_one_of_chosen_dimensions(tmp_path, monkeypatch, family, task, layers):
    teacher = make_model(tmp_path, family, task)
    half = getattr(teacher.config, FAMILIES[family].config_hidden) // 2
    fitted = make_student(copy.deepcopy(teacher), layers, half, texts(300, 0))
    monkeypatch.setattr(student_init, "family_of_model", lambda model: replace(FAMILIES[family], shared_layers=True))
    chosen = make_student(copy.deepcopy(teacher), layers, half, texts(300, 0))
    ours, other = (error(each, teacher, texts(60, 1)) for each in (fitted, chosen))
    assert ours < 0.9 * other


@pytest.mark.parametrize("width", [8, 33])
def test_axes_are_orthonormal_and_their_coordinates_have_no_mean(tmp_path, width):
    teacher = make_model(tmp_path, "bert", "text-classification")
    observation = observe(teacher, texts(100, 0))
    axes = main_axes(observation, width).double()
    kept = axes @ axes.T  # of rank width - 1: a projection
    assert torch.allclose(kept @ kept, kept, atol=1e-5) and round(float(kept.trace())) == width - 1
    assert torch.allclose(axes.sum(dim=1), torch.zeros(len(axes), dtype=torch.double), atol=1e-5)
    states = torch.cat([each[batch.real] for each, batch in zip(observation.last, observation.batches, strict=True)]).double()
    chosen = torch.eye(len(axes), dtype=torch.double)[:, states.square().sum(0).topk(width).indices]
    assert (states @ axes).square().sum() > (states @ chosen).square().sum()


def test_a_teacher_that_was_run_is_as_it_was(tmp_path):
    teacher = make_model(tmp_path, "llama", "text-generation")
    before = {name: weight.clone() for name, weight in teacher.state_dict().items()}
    observe(teacher, texts(20, 0))
    assert teacher.config.use_cache and not any(module._forward_hooks or module._forward_pre_hooks for module in teacher.modules())
    assert all(torch.equal(weight, before[name]) for name, weight in teacher.state_dict().items())


def test_what_shares_its_layers_or_has_a_bottleneck_is_not_fitted():
    assert {family for family, _ in FAMILY_TASKS} - {family for family, _ in FITTED} == {"albert", "mobilebert"}


def test_the_same_texts_give_the_same_student(tmp_path):
    teacher = make_model(tmp_path, "bert", "text-classification")
    first, second = (make_student(copy.deepcopy(teacher), 2, 32, texts(50, 0)).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
