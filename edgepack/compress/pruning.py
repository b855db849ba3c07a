"""Prunes attention heads and FFN neurons: the least important ones are removed from the matrices."""

from collections.abc import Sequence

from torch import nn

from edgepack.compress.context import StageContext
from edgepack.compress.importance import Scores, best, best_anywhere, head_importance, neuron_importance
from edgepack.compress.refit import refit
from edgepack.model.structure import by_ffn, kv_groups_of, layers_of
from edgepack.model.surgery import cut_ffn, cut_heads
from edgepack.plan.cuts import kept_heads, kept_neurons
from edgepack.plan.recipe import Scope
from edgepack.plan.steps import PruneFFN, PruneHeads

_LEAST_NEURONS = 1  # a layer's FFN keeps one: without any its output would be a constant


def prune_heads(model: nn.Module, step: PruneHeads, context: StageContext) -> nn.Module:
    """Cuts `step.fraction` of the heads, the same share in each layer or the least important anywhere.

    Heads that share a key and value head go together. Anywhere (`model`) a layer can lose its last head, and with it its attention.
    """
    scores = context.ranked("heads", lambda: head_importance(model, context, step.importance))
    keep = choose_heads(scores, step.fraction, step.scope, kv_groups_of(model))
    if step.refit:
        refit(model, "heads", keep, context.features)
    cut_heads(model, keep)
    return model


def choose_heads(scores: Scores, fraction: float, scope: Scope, group: int = 1) -> list[list[int]]:
    """The heads that stay, by layer."""
    if scope == "layer":
        return [best(row, kept_heads(len(row), fraction, group), group) for row in scores]
    total = sum(len(row) for row in scores)
    return best_anywhere(scores, total - kept_heads(total, fraction, group), group)


def prune_ffn(model: nn.Module, step: PruneFFN, context: StageContext) -> nn.Module:
    """Cuts `step.fraction` of the FFN neurons, of gated FFNs too: a neuron is a row of each way in and a column of the way out."""
    scores = context.ranked("ffn", lambda: neuron_importance(model, context, step.importance))
    counts = [kept_neurons(len(row), step.fraction) for row in scores]
    if step.scope == "model":
        anywhere = best_anywhere(scores, sum(len(row) for row in scores) - sum(counts), at_least=_LEAST_NEURONS)
        # Widths in a kernel's blocks; the next best neurons of a layer fill its last block.
        counts = [kept_neurons(len(row), 1 - share) for row, share in zip(scores, _shares_kept(model, scores, anywhere), strict=True)]
    keep = [best(row, count) for row, count in zip(scores, counts, strict=True)]
    if step.refit:
        refit(model, "ffn", keep, context.features)
    cut_ffn(model, keep)
    return model


def _shares_kept(model: nn.Module, scores: Scores, remaining: Sequence[Sequence[int]]) -> list[float]:
    """By FFN; those of one layer keep the same share, for a checkpoint's list has one width a layer."""
    shares = [len(neurons) / len(row) for row, neurons in zip(scores, remaining, strict=True)]
    each = len(shares) // len(layers_of(model))
    return by_ffn(model, [sum(shares[at : at + each]) / each for at in range(0, len(shares), each)])
