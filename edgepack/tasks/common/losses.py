"""Losses of outputs in torch, each a mean over rows of a mean over a row's real tokens. torch is imported where it computes.

Padding never changes such a loss, and the mean over two half batches is that of the whole, so that two processes compute what
one process does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

IGNORED = -100  # a hard target that is not known or not counted


def logits_of(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """What most tasks' graphs compute: [rows, labels] or [rows, tokens, labels]."""
    return model(**batch).logits


def real_tokens(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """[rows, tokens]: True where there is no padding."""
    return batch["attention_mask"].bool()


def divergence(outputs: torch.Tensor, soft: torch.Tensor, temperature: float) -> torch.Tensor:
    """Kullback-Leibler divergence of softened distributions over the last axis, times T squared (Hinton 2015)."""
    import torch

    log_student = torch.log_softmax(outputs.float() / temperature, dim=-1)
    log_teacher = torch.log_softmax(soft.float() / temperature, dim=-1)
    apart = torch.nn.functional.kl_div(log_student, log_teacher, reduction="none", log_target=True)
    return temperature**2 * apart.sum(dim=-1)


def cross_entropy(outputs: torch.Tensor, hard: torch.Tensor) -> torch.Tensor:
    """[rows, n, classes] and [rows, n] to [rows, n]; 0 where the target is IGNORED."""
    from torch.nn import functional

    return functional.cross_entropy(outputs.float().flatten(0, 1), hard.flatten(), ignore_index=IGNORED, reduction="none").view(hard.shape)


def known_mean(outputs: torch.Tensor, hard: torch.Tensor) -> torch.Tensor:
    """Cross entropy of outputs [rows, n, classes] against classes [rows, n], over those that are known."""
    return rows_mean(cross_entropy(outputs, hard), hard != IGNORED)


def rows_mean(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """values, counted: [rows, n]. A row without anything counted adds 0."""
    counted = counted.to(values.dtype)
    return ((values * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)).mean()
