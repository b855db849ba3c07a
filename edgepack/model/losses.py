"""Losses by task: plain functions of a model's outputs and the targets of a batch.

Each is a mean over rows of a mean over a row's real tokens: padding never changes it, and the mean over two half batches
is that of the whole, so that two processes compute what one does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edgepack.model.evaluation import forward
from edgepack.tasks.rows import Row
from edgepack.tasks.tasks import Features, Task

IGNORED = -100  # a hard target that is not known or not counted
TOP_LOGITS = 32  # kept of a vocabulary's: the rest is one class of its own

Batch = dict[str, torch.Tensor]


def task_loss(model: nn.Module, task: Task, batch: Batch, hard: torch.Tensor) -> torch.Tensor:
    """Cross entropy against hard labels; `hard` as `hard_targets` makes it, [rows, ...]. The gradient that importance needs."""
    return label_loss(task, forward(model, task, batch), batch, hard)


def label_loss(task: Task, outputs: torch.Tensor, batch: Batch, hard: torch.Tensor) -> torch.Tensor:
    """outputs: what `forward` gives. hard: [rows] classes, [rows, tokens] tags or next tokens, [rows, 2] start and end."""
    match task.name:
        case "text-classification":
            return _rows_mean(_cross_entropy(outputs[:, None], hard[:, None]), hard[:, None] != IGNORED)
        case "token-classification" | "text-generation":
            return _rows_mean(_cross_entropy(outputs, hard), hard != IGNORED)
        case "question-answering":
            inside = outputs.float().masked_fill(~batch["attention_mask"].bool()[..., None], -1e9).transpose(1, 2)
            return _rows_mean(_cross_entropy(inside, hard), hard != IGNORED)
    raise ValueError(f"{task.name} has no labels")


def soft_loss(task: Task, outputs: torch.Tensor, batch: Batch, soft: torch.Tensor, temperature: float) -> torch.Tensor:
    """How far the student is from its teacher's outputs, 0 for a perfect one.

    Kullback-Leibler divergence of softened distributions, times T squared (Hinton 2015): over classes; over tags for each
    real token; over real tokens for start and end; over the teacher's likeliest next tokens and one class for all others, at
    temperature 1. Embeddings: 1 - cosine.
    """
    mask = batch["attention_mask"].bool()
    match task.name:
        case "text-classification":
            return _divergence(outputs, soft, temperature).mean()
        case "token-classification":
            return _rows_mean(_divergence(outputs, soft, temperature), mask)
        case "question-answering":
            outputs, soft = (each.float().masked_fill(~mask[..., None], -1e9).transpose(1, 2) for each in (outputs, soft))
            return _divergence(outputs, soft, temperature).mean()
        case "feature-extraction":
            return (1 - functional.cosine_similarity(outputs.float(), soft.float(), dim=-1)).mean()
        case _:
            return _rows_mean(_next_token_divergence(outputs, soft), mask)


def hidden_loss(
    student: Sequence[torch.Tensor], teacher: Sequence[torch.Tensor], projection: nn.Module | None, mask: torch.Tensor
) -> torch.Tensor:
    """Mean squared error of hidden states [rows, tokens, width], embeddings first, over real tokens and layers.

    Student layer i of n is held against teacher layer i * N // n; `projection` maps the student's width (TinyBERT, Jiao 2020).
    """
    last, last_teacher = len(student) - 1, len(teacher) - 1
    losses = []
    for index, states in enumerate(student):
        own = projection(states) if projection is not None else states
        target = teacher[index * last_teacher // last]
        losses.append(_rows_mean((own.float() - target.float()).square().mean(dim=-1), mask.bool()))
    return torch.stack(losses).mean()


def relation_loss(student: Sequence[torch.Tensor], teacher: Sequence[torch.Tensor], heads: int, mask: torch.Tensor) -> torch.Tensor:
    """Divergence of the relations among a layer's queries, keys and values, each [rows, tokens, width].

    MiniLMv2 (Wang 2021): each is split into the same number of relation heads, whatever attention heads were left, and
    softmax(x x' / sqrt(d)) of teacher and student are compared for each real token.
    """
    real = mask.bool()
    losses = []
    for own, target in zip(student, teacher, strict=True):
        log_own, log_target = (_log_relations(states, heads, real) for states in (own, target))
        apart = functional.kl_div(log_own, log_target, reduction="none", log_target=True)
        apart = apart.masked_fill(~real[:, None, None, :], 0.0).sum(dim=-1).mean(dim=1)  # [rows, tokens]
        losses.append(_rows_mean(apart, real))
    return torch.stack(losses).mean()


def relation_heads(student: Sequence[int], teacher: Sequence[int], most: int) -> int:
    """The largest number of relation heads up to `most` that divides every width."""
    divisor = int(np.gcd.reduce([*student, *teacher]))
    return max(count for count in range(1, most + 1) if divisor % count == 0)


def hard_targets(task: Task, features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int]) -> list[Any] | None:
    """Labels for each of the features as `label_loss` takes them; IGNORED where a row has none. None: the task has no labels."""
    match task.name:
        case "text-classification":
            return [np.int64(IGNORED if (label := rows[item.row].label) is None else labels[label]) for item in features]
        case "token-classification":
            return [_first_token_tags(item, rows[item.row], labels) for item in features]
        case "question-answering":
            return [_answer_positions(item, rows[item.row]) for item in features]
        case "text-generation":
            return [np.array([*item.ids[1:], IGNORED], dtype=np.int64) for item in features]
    return None


def top_logits(logits: torch.Tensor) -> torch.Tensor:
    """[tokens, vocabulary] logits as [tokens, 2 k]: log probabilities of the k likeliest, then their ids."""
    best = torch.log_softmax(logits.float(), dim=-1).topk(min(TOP_LOGITS, logits.shape[-1]), dim=-1)
    return torch.cat([best.values, best.indices.float()], dim=-1)


def _divergence(outputs: torch.Tensor, soft: torch.Tensor, temperature: float) -> torch.Tensor:
    log_student = torch.log_softmax(outputs.float() / temperature, dim=-1)
    log_teacher = torch.log_softmax(soft.float() / temperature, dim=-1)
    return temperature**2 * functional.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(dim=-1)


def _next_token_divergence(outputs: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    log_teacher, ids = soft.float().chunk(2, dim=-1)
    log_student = torch.log_softmax(outputs.float(), dim=-1).gather(-1, ids.long())
    both = [torch.cat([known, _log_rest(known)], dim=-1) for known in (log_student, log_teacher)]
    return functional.kl_div(both[0], both[1], reduction="none", log_target=True).sum(dim=-1)


def _log_rest(known: torch.Tensor) -> torch.Tensor:
    return (1 - known.exp().sum(dim=-1, keepdim=True)).clamp(min=1e-6).log()


def _cross_entropy(outputs: torch.Tensor, hard: torch.Tensor) -> torch.Tensor:
    """[rows, n, classes] and [rows, n] to [rows, n]."""
    return functional.cross_entropy(outputs.float().flatten(0, 1), hard.flatten(), ignore_index=IGNORED, reduction="none").view(hard.shape)


def _rows_mean(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """values, counted: [rows, n]. A row without anything counted adds 0."""
    counted = counted.to(values.dtype)
    return ((values * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)).mean()


def _log_relations(states: torch.Tensor, heads: int, real: torch.Tensor) -> torch.Tensor:
    split = states.float().unflatten(-1, (heads, -1)).transpose(1, 2)  # [rows, heads, tokens, width / heads]
    scores = split @ split.transpose(-1, -2) / split.shape[-1] ** 0.5
    return torch.log_softmax(scores.masked_fill(~real[:, None, None, :], -1e9), dim=-1)


def _first_token_tags(item: Features, row: Row, labels: Mapping[str, int]) -> np.ndarray:
    tags = np.full(len(item.ids), IGNORED, dtype=np.int64)
    seen = set()
    for position, word in enumerate(item.words):
        if word is not None and word not in seen and row.tags:
            seen.add(word)
            tags[position] = labels[row.tags[word]]
    return tags


def _answer_positions(item: Features, row: Row) -> np.ndarray:
    """First and last token of the first answer that lies whole in this window; IGNORED twice where none does."""
    for text, opening in row.answers:
        closing = opening + len(text)
        held = [at for at, span in enumerate(item.offsets) if span and span[0] < closing and span[1] > opening]
        if held and item.offsets[held[0]][0] <= opening and item.offsets[held[-1]][1] >= closing:
            return np.array([held[0], held[-1]])
    return np.array([IGNORED, IGNORED])
