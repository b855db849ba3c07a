"""Losses of what happens inside a model, whatever its task: hidden states and attention relations.

Each is a mean over rows of a mean over a row's real tokens: see edgepack.tasks.common.losses.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edgepack.tasks.common.losses import rows_mean


def hidden_loss(
    student: Sequence[torch.Tensor],
    teacher: Sequence[torch.Tensor],
    depths: Sequence[int],
    projection: nn.Module | None,
    mask: torch.Tensor,
) -> torch.Tensor:
    """Squared error of hidden states [rows, tokens, width] as a share of the teacher's square: mean over rows and layers, embeddings first.

    depths: for each state of the student the teacher's that it is held against (structure.py, `depths_in`). `projection` maps the student's
    width (TinyBERT, Jiao 2020).
    """
    real = mask.bool()
    losses = []
    for states, depth in zip(student, depths, strict=True):
        ours = projection(states) if projection is not None else states
        target = teacher[depth].float()
        apart, whole = (_row_sums(each, real) for each in ((ours.float() - target).square(), target.square()))
        losses.append((apart / whole.clamp_min(1e-12)).mean())
    return torch.stack(losses).mean()


def _row_sums(values: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """[rows]: over the width and the real tokens of [rows, tokens, width]."""
    return values.sum(dim=-1).masked_fill(~real, 0.0).sum(dim=-1)


def relation_loss(student: Sequence[torch.Tensor], teacher: Sequence[torch.Tensor], heads: int, mask: torch.Tensor) -> torch.Tensor:
    """Divergence of the relations among a layer's queries, keys and values, each [rows, tokens, width].

    MiniLMv2 (Wang 2021): each is split into the same number of relation heads, whatever attention heads were left, and
    softmax(x x' / sqrt(d)) of teacher and student are compared for each real token.
    """
    real = mask.bool()
    losses = []
    for ours, target in zip(student, teacher, strict=True):
        log_ours, log_target = (_log_relations(states, heads, real) for states in (ours, target))
        apart = functional.kl_div(log_ours, log_target, reduction="none", log_target=True)
        apart = apart.masked_fill(~real[:, None, None, :], 0.0).sum(dim=-1).mean(dim=1)  # [rows, tokens]
        losses.append(rows_mean(apart, real))
    return torch.stack(losses).mean()


def relation_heads(student: Sequence[int], teacher: Sequence[int], most: int) -> int:
    """The largest number of relation heads up to `most` that divides every width."""
    divisor = int(np.gcd.reduce([*student, *teacher]))
    return max(count for count in range(1, most + 1) if divisor % count == 0)


def _log_relations(states: torch.Tensor, heads: int, real: torch.Tensor) -> torch.Tensor:
    split = states.float().unflatten(-1, (heads, -1)).transpose(1, 2)  # [rows, heads, tokens, width / heads]
    scores = split @ split.transpose(-1, -2) / split.shape[-1] ** 0.5
    return torch.log_softmax(scores.masked_fill(~real[:, None, None, :], -1e9), dim=-1)
