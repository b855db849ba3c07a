"""Losses have the values that a hand computes, gradients, and never see padding."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.core.errors import EdgepackError
from edgepack.model.losses import hidden_loss, relation_heads, relation_loss
from edgepack.plan.training_settings import Training, training_for
from edgepack.tasks import task_named
from edgepack.tasks.common.losses import IGNORED
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features
from edgepack.tasks.feature_extraction import principal_axes
from edgepack.tasks.text_generation import top_logits

CLASSES, TAGGING, QA, TEXTS, NEXT = (
    task_named(name)
    for name in ("text-classification", "token-classification", "question-answering", "feature-extraction", "text-generation")
)


def mask_of(*lengths):
    return {"attention_mask": torch.tensor([[1] * n + [0] * (max(lengths) - n) for n in lengths])}


def test_hard_labels_by_hand():
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])
    assert CLASSES.label_loss(logits, mask_of(1, 1), torch.tensor([0, 1])).item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert CLASSES.label_loss(logits, mask_of(1, 1), torch.tensor([IGNORED, 1])).item() == pytest.approx(math.log(4 / 3) / 2)
    tags = torch.zeros(1, 3, 4)
    assert TAGGING.label_loss(tags, mask_of(3), torch.tensor([[IGNORED, 2, IGNORED]])).item() == pytest.approx(math.log(4))
    assert QA.label_loss(torch.zeros(1, 5, 2), mask_of(5), torch.tensor([[1, 2]])).item() == pytest.approx(math.log(5))


def test_soft_targets_by_hand():
    student, teacher = torch.zeros(1, 2), torch.tensor([[0.0, 2 * math.log(3)]])  # softened by 2: 1/4 and 3/4 against a half each
    expected = 4 * (0.25 * math.log(0.5) + 0.75 * math.log(1.5))
    assert CLASSES.soft_loss(student, mask_of(1), teacher, 2.0).item() == pytest.approx(expected, abs=1e-6)
    each, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    assert TEXTS.soft_loss(each, mask_of(1), other, 1.0).item() == pytest.approx(1 - 2**-0.5, abs=1e-6)


def test_a_student_that_gives_its_teachers_logits_loses_nothing():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 100)
    remaining = torch.stack([top_logits(row) for row in logits])
    assert remaining.shape == (2, 4, 64)
    assert NEXT.soft_loss(logits, mask_of(4, 4), remaining, 1.0).item() == pytest.approx(0, abs=1e-5)
    assert NEXT.soft_loss(torch.zeros_like(logits), mask_of(4, 4), remaining, 1.0).item() > 0.1


def test_labels_become_positions():
    item = Features([0] * 5, [0] * 5, 0, words=(None, 0, 0, 1, None), offsets=(None, (0, 3), (4, 8), (9, 12), None))
    tagged = TAGGING.hard_targets([item], [Row("", words=("a", "b"), tags=("O", "B-X"))], {"O": 0, "B-X": 1})
    assert tagged[0].tolist() == [IGNORED, 0, IGNORED, 1, IGNORED]
    result = QA.hard_targets([item], [Row("", answers=(("quick fox", 4),))], {})
    assert result[0].tolist() == [IGNORED, IGNORED]  # it ends outside of this window
    assert QA.hard_targets([item], [Row("", answers=(("uick fox", 4),))], {})[0].tolist() == [2, 3]
    assert NEXT.hard_targets([Features([5, 6, 7], [0] * 3, 0)], [], {})[0].tolist() == [6, 7, IGNORED]


def random_case(task, lengths, draw):
    longest, labels = max(lengths), {QA: 2, NEXT: 40}.get(task, 3)
    outputs = torch.tensor(draw.normal(size=(len(lengths), longest, labels)), dtype=torch.float32)
    soft = torch.tensor(draw.normal(size=(len(lengths), longest, labels)), dtype=torch.float32)
    soft = torch.stack([top_logits(row) for row in soft]) if task is NEXT else soft
    hard = torch.tensor([[draw.integers(0, 3) if at < n else IGNORED for at in range(longest)] for n in lengths])
    if task is QA:
        hard = torch.tensor([[draw.integers(0, n), draw.integers(0, n)] for n in lengths])
    return outputs, soft, hard


def garbled(tensor, lengths, more):
    """The same rows with `more` columns, and anything at all where there is no token."""
    whole = torch.full((tensor.shape[0], tensor.shape[1] + more, *tensor.shape[2:]), 7.0)
    for row, n in enumerate(lengths):
        whole[row, :n] = tensor[row, :n]
    return whole


@settings(max_examples=30)
@given(st.sampled_from([TAGGING, QA, NEXT]), st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 4), st.integers(0, 99))
def test_padding_never_changes_a_loss(task, lengths, more, seed):
    outputs, soft, hard = random_case(task, lengths, np.random.default_rng(seed))
    batch, longer = mask_of(*lengths), {"attention_mask": torch.nn.functional.pad(mask_of(*lengths)["attention_mask"], (0, more))}
    wide_hard = hard if task is QA else torch.nn.functional.pad(hard, (0, more), value=IGNORED)
    wide, wide_soft = garbled(outputs, lengths, more), garbled(soft, lengths, more)
    assert torch.allclose(task.soft_loss(outputs, batch, soft, 2.0), task.soft_loss(wide, longer, wide_soft, 2.0), atol=1e-5)
    assert torch.allclose(task.label_loss(outputs, batch, hard), task.label_loss(wide, longer, wide_hard), atol=1e-5)
    halves = [  # the mean over rows: what two processes compute
        task.soft_loss(outputs[at : at + 1], mask_of(n) | {"attention_mask": batch["attention_mask"][at : at + 1]}, soft[at : at + 1], 2.0)
        for at, n in enumerate(lengths)
    ]
    assert torch.allclose(torch.stack(halves).mean(), task.soft_loss(outputs, batch, soft, 2.0), atol=1e-5)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(1, 4), st.integers(0, 99))
def test_padding_never_changes_hidden_states_and_relations(lengths, more, seed):
    draw = np.random.default_rng(seed)
    ours, theirs = (torch.tensor(draw.normal(size=(len(lengths), max(lengths), 8)), dtype=torch.float32) for _ in range(2))
    mask = mask_of(*lengths)["attention_mask"]
    longer = torch.nn.functional.pad(mask, (0, more))
    wide, wider = garbled(ours, lengths, more), garbled(theirs, lengths, more)
    plain, padded = (hidden_loss([a, a], [b] * 3, [0, 2], None, c) for a, b, c in ((ours, theirs, mask), (wide, wider, longer)))
    assert torch.allclose(plain, padded, atol=1e-5)
    assert torch.allclose(relation_loss([ours], [theirs], 2, mask), relation_loss([wide], [wider], 2, longer), atol=1e-5)


def test_relations_compare_widths_that_differ_and_are_zero_for_the_same():
    torch.manual_seed(0)
    ours, theirs = torch.randn(2, 3, 8, requires_grad=True), torch.randn(2, 3, 12)
    heads = relation_heads([8], [12], 12)
    assert heads == 4
    loss = relation_loss([ours], [theirs], heads, mask_of(3, 2)["attention_mask"])
    loss.backward()
    assert loss.item() > 0 and ours.grad[0].abs().sum() > 0 and ours.grad[1, 2].abs().sum() == 0
    assert relation_loss([theirs], [theirs], heads, mask_of(3, 2)["attention_mask"]).item() == pytest.approx(0, abs=1e-6)


def test_hidden_states_are_held_against_those_that_they_stand_for():
    states = [torch.full((1, 2, 4), float(layer)) for layer in range(5)]
    assert hidden_loss([states[0], states[2], states[4]], states, [0, 2, 4], None, torch.ones(1, 2)).item() == 0
    assert hidden_loss([states[0], states[1], states[4]], states, [0, 2, 4], None, torch.ones(1, 2)).item() == pytest.approx(1 / 12)


def test_fewer_axes_keep_the_cosines_of_embeddings_that_lie_in_a_plane():
    draw = np.random.default_rng(0)
    flat = (draw.normal(size=(50, 4)) @ draw.normal(size=(4, 16))).astype(np.float32)
    narrow = flat @ principal_axes(flat, 4)
    assert narrow.shape == (50, 4)
    assert np.allclose(narrow @ narrow.T, flat @ flat.T, rtol=1e-3, atol=1e-3)


def test_weights_that_cannot_teach_are_refused():
    with pytest.raises(EdgepackError, match="every weight of the loss is 0"):
        training_for("text-classification", Training(soft_weight=0, hidden_weight=0))
    with pytest.raises(EdgepackError, match="feature-extraction have no labels"):
        training_for("feature-extraction", Training(hard_weight=1))
    assert training_for("token-classification", Training(hard_weight=0.5)).soft_weight == 1
