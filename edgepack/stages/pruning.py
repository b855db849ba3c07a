"""Prunes attention heads: importance from gradients, then the least important are really cut out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from edgepack.errors import EdgepackError
from edgepack.model.evaluation import pad_id_of, padded, takes_types, use_all_cores
from edgepack.model.surgery import cut_heads, family_of_model, head_dim_of, layer_shapes, layers_of
from edgepack.progress import bar
from edgepack.stages.context import StageContext
from edgepack.steps import PruneHeads

_IMPORTANCE_ROWS = 512
_BATCH_ROWS = 32


def prune_heads(model: nn.Module, step: PruneHeads, context: StageContext) -> nn.Module:
    """Cuts `step.fraction` of the heads out of the model, the least important first; a layer keeps at least one."""
    importance = head_importance(model, context)
    cut_heads(model, heads_to_keep(importance, step.fraction, step.scope))
    return model


def head_importance(model: nn.Module, context: StageContext) -> list[torch.Tensor]:
    """The mean |d loss / d gate| of a gate of 1 on each head's output, [heads] by layer, scaled to norm 1 in each layer.

    Michel, Levy and Neubig 2019, "Are sixteen heads really better than one?". The loss is the cross entropy against the
    labels, over the first rows of the train split.
    """
    if context.task.name != "text-classification":
        raise EdgepackError(f"heads cannot be pruned for {context.task.name} yet", "use --prune-heads 0")
    use_all_cores()
    model.eval()
    features, rows = context.features[:_IMPORTANCE_ROWS], context.rows
    sums = [torch.zeros(shape.heads) for shape in layer_shapes(model)]
    with bar("head importance", len(features)) as progress:
        for at in range(0, len(features), _BATCH_ROWS):
            group = features[at : at + _BATCH_ROWS]
            batch = padded(group, pad_id_of(model), takes_types(model))
            truth = torch.tensor([context.labels[rows[item.row].label or ""] for item in group])
            with head_gates(model, len(group)) as gates:
                loss = nn.functional.cross_entropy(model(**batch).logits, truth, reduction="sum")
                gradients = torch.autograd.grad(loss, gates)
            sums = [total + gradient.abs().sum(dim=0) for total, gradient in zip(sums, gradients, strict=True)]
            progress.advance(len(group))
    return [total / total.norm().clamp(min=1e-12) for total in sums]


@contextmanager
def head_gates(model: nn.Module, rows: int) -> Iterator[list[torch.Tensor]]:
    """Gates of 1, [rows, heads] by layer, each multiplied onto a head's output while the block runs."""
    family, size = family_of_model(model), head_dim_of(model)
    gates = [torch.ones(rows, shape.heads, requires_grad=True) for shape in layer_shapes(model)]

    def gated(gate: torch.Tensor):
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            heads = inputs[0].unflatten(-1, (-1, size))  # [rows, tokens, heads, head_dim]
            return ((heads * gate[:, None, :, None]).flatten(-2), *inputs[1:])

        return hook

    handles = [
        layer.get_submodule(family.attention_output).register_forward_pre_hook(gated(gate))
        for layer, gate in zip(layers_of(model), gates, strict=True)
    ]
    try:
        yield gates
    finally:
        for handle in handles:
            handle.remove()


def heads_to_keep(importance: Sequence[torch.Tensor], fraction: float, scope: str) -> list[list[int]]:
    """Indices of the heads to keep by layer: the same number everywhere (`layer`), or the most important anywhere (`model`)."""
    if scope == "layer":
        counts = [len(scores) - round(len(scores) * fraction) for scores in importance]
        return [
            sorted(scores.argsort(descending=True, stable=True)[:count].tolist()) for scores, count in zip(importance, counts, strict=True)
        ]
    total = sum(len(scores) for scores in importance)
    ranked = sorted(
        ((float(score), layer, head) for layer, scores in enumerate(importance) for head, score in enumerate(scores)),
        key=lambda entry: entry[0],
    )
    keep = [set(range(len(scores))) for scores in importance]
    left_to_cut = round(total * fraction)
    for _, layer, head in ranked:
        if left_to_cut and len(keep[layer]) > 1:
            keep[layer].remove(head)
            left_to_cut -= 1
    return [sorted(heads) for heads in keep]
