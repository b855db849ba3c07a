"""How important each head and FFN neuron is, by one of five measures; `random` is the baseline."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from edgepack.compress.activations import collect_activations
from edgepack.compress.context import StageContext
from edgepack.compress.refit import projections_after, second_moments, unrepairable
from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar
from edgepack.model.batches import batches_with_targets
from edgepack.model.evaluation import batches_on, use_all_cores
from edgepack.model.layer_calls import first_of, hooked
from edgepack.model.structure import (
    family_of_model,
    ffns_of,
    has_attention,
    head_dim_of,
    inputs_of,
    kv_groups_of,
    layer_shapes,
    layers_of,
    matrix_of,
)
from edgepack.plan.steps import Importance
from edgepack.tasks.common.task import Features

_ROWS = 512
_STREAM_ROWS = 16

Scores = list[torch.Tensor]  # one value for each head by layer, or neuron by FFN, scaled to norm 1 in each


def head_importance(model: nn.Module, context: StageContext, measure: Importance) -> Scores:
    """Scores [heads] by layer. See `_MEASURES` for where each measure comes from."""
    return _comparable(_MEASURES[measure](model, context, "heads"), measure)


def neuron_importance(model: nn.Module, context: StageContext, measure: Importance) -> Scores:
    """Scores [neurons] by FFN, see `ffns_of`."""
    return _comparable(_MEASURES[measure](model, context, "ffn"), measure)


def _by_gradient(model: nn.Module, context: StageContext, unit: str) -> Scores:
    """The mean |d loss / d gate| of a gate of 1 on each output, over the first rows of the train split.

    Michel, Levy and Neubig 2019, "Are sixteen heads really better than one?"; for neurons the same first-order estimate
    as in Molchanov 2017. The loss is the cross entropy against the labels.
    """
    features = context.features[:_ROWS]
    task = context.task
    if task.hard_targets is None or task.label_loss is None:
        raise EdgepackError(f"{task.name} has no labels to take a gradient of", "use --importance activation")
    truth = task.hard_targets(features, context.rows, context.labels)
    use_all_cores()
    model.eval()
    sums: Scores | None = None
    with bar(f"importance of {unit}", len(features)) as progress:
        for batch, hard in batches_with_targets(model, features, truth):
            rows = len(batch["input_ids"])
            with gates(model, rows, unit) as opened:
                loss = task.label_loss(task.forward(model, batch), batch, hard) * rows
                gradients = torch.autograd.grad(loss, opened, allow_unused=True, materialize_grads=True)  # unused: no heads
                means = [gradient.abs().sum(dim=0) for gradient in gradients]
            sums = means if sums is None else [total + new for total, new in zip(sums, means, strict=True)]
            progress.advance(rows)
    return sums or []


def _by_activation(model: nn.Module, context: StageContext, unit: str) -> Scores:
    """The mean magnitude of what each puts out, over real tokens. Muralidharan 2024 (Minitron)."""
    means = collect_activations(model, context.features)
    return means.heads if unit == "heads" else means.ffn


def _by_remainder(model: nn.Module, context: StageContext, unit: str) -> Scores:
    """What refit cannot repair: see `unrepairable`. Query heads that share keys and values are judged together, and share their score.

    As a share of what passes by the layer, so that layers can be compared.
    """
    projections, group = projections_after(model, unit), kv_groups_of(model) if unit == "heads" else 1
    size = group * (head_dim_of(model) if unit == "heads" else 1)
    moments = second_moments(model, projections, context.features)
    streams = _streams(model, context.features, projections)
    scores = []
    for projection, moment, stream in zip(projections, moments, streams, strict=True):
        if projection is None or not inputs_of(projection):
            scores.append(torch.zeros(0))
            continue
        lost = unrepairable(projection, moment, size) / (stream * moment[-1, -1])
        scores.append((lost / group).repeat_interleave(group).float())
    return scores


def _streams(model: nn.Module, features: Sequence[Features], projections: Sequence[nn.Module | None]) -> list[float]:
    """By projection the mean square of the hidden states behind its layer, summed over the width."""
    squares = [1.0] * len(projections)
    layers = layers_of(model)
    each = len(projections) // len(layers)  # several FFNs may belong to a layer

    def add(index: int) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
            squares[index * each : (index + 1) * each] = [float(first_of(output).square().sum(dim=-1).mean())] * each

        return hook

    with hooked(layer.register_forward_hook(add(index)) for index, layer in enumerate(layers)), torch.inference_mode():
        for batch in batches_on(model, features[:_STREAM_ROWS]):
            model(**batch)
    return squares


def _by_magnitude(model: nn.Module, context: StageContext, unit: str) -> Scores:
    """The norm of each head's or neuron's weights, in and out. Li 2017, "Pruning filters for efficient convnets"."""
    family, size = family_of_model(model), head_dim_of(model)
    if unit == "ffn":
        return [_norms(owner, family.ffn_in, family.ffn_out, 1) for owner in ffns_of(model)]
    paths, out = (family.query,), family.attention_output
    return [_norms(layer, paths, out, size) if has_attention(model, layer) else torch.zeros(0) for layer in layers_of(model)]


def _norms(owner: nn.Module, inputs: Sequence[str], output: str, size: int) -> torch.Tensor:
    """[units], each of `size` neighbours. A matrix that holds several parts has those that count for a unit first."""
    squares = matrix_of(owner.get_submodule(output)).detach().square().sum(dim=0)
    for path in dict.fromkeys(inputs):
        rows = matrix_of(owner.get_submodule(path)).detach().square().sum(dim=1)
        for part in rows.split(len(squares))[: inputs.count(path)]:
            squares = squares + part
    return squares.unflatten(0, (-1, size)).sum(dim=1).sqrt()


def _at_random(model: nn.Module, context: StageContext, unit: str) -> Scores:
    """The baseline that every measure has to beat."""
    draw = torch.Generator().manual_seed(context.seed)
    return [torch.rand(count, generator=draw) for count in _counts(model, unit)]


def _counts(model: nn.Module, unit: str) -> list[int]:
    """Heads by layer, or neurons by FFN."""
    if unit == "heads":
        return [shape.heads for shape in layer_shapes(model)]
    return [inputs_of(owner.get_submodule(family_of_model(model).ffn_out)) for owner in ffns_of(model)]


_MEASURES: dict[Importance, Callable[[nn.Module, StageContext, str], Scores]] = {
    "gradient": _by_gradient,
    "activation": _by_activation,
    "magnitude": _by_magnitude,
    "remainder": _by_remainder,
    "random": _at_random,
}


def _comparable(scores: Scores, measure: Importance) -> Scores:
    """What is lost for good is comparable as it is; other measures are scaled to norm 1 in each layer."""
    return scores if measure == "remainder" else [_scaled(row) for row in scores]


def _scaled(scores: torch.Tensor) -> torch.Tensor:
    return scores / scores.norm().clamp(min=1e-12)


@contextmanager
def gates(model: nn.Module, rows: int, unit: str) -> Iterator[list[torch.Tensor]]:
    """Gates of 1, [rows, heads] by layer or [rows, neurons] by FFN, each multiplied onto its unit's output while the block runs."""
    family, size = family_of_model(model), head_dim_of(model)
    opened = [torch.ones(rows, count, requires_grad=True) for count in _counts(model, unit)]

    def gated(gate: torch.Tensor):
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            flat = gate.repeat_interleave(size, dim=-1) if unit == "heads" else gate
            between = [1] * (inputs[0].dim() - 2)  # some families flatten rows and tokens before the FFN
            shaped = flat.reshape(rows, *between, flat.shape[-1]) if between else flat.repeat_interleave(len(inputs[0]) // rows, dim=0)
            return (inputs[0] * shaped, *inputs[1:])

        return hook

    path, owners = (family.attention_output, layers_of(model)) if unit == "heads" else (family.ffn_out, ffns_of(model))
    gated_owners = zip(owners, opened, strict=True)
    with hooked(owner.get_submodule(path).register_forward_pre_hook(gated(gate)) for owner, gate in gated_owners):
        yield opened


def best(scores: torch.Tensor, count: int, group: int = 1) -> list[int]:
    """Indices of the `count` highest, rising; `group` neighbours stay or go together, by their sum."""
    groups = scores.view(len(scores) // group, group).sum(dim=1)
    best_groups = sorted(groups.argsort(descending=True, stable=True)[: count // group].tolist())
    return [member for index in best_groups for member in range(index * group, (index + 1) * group)]


def best_anywhere(importance: Sequence[torch.Tensor], cut: int, group: int = 1, at_least: int = 0) -> list[list[int]]:
    """Indices to keep by layer after the `cut` least important of all layers are gone; a layer keeps `at_least` at least."""
    groups = [scores.view(len(scores) // group, group).sum(dim=1) for scores in importance]
    ranked = sorted(
        ((float(score), layer, index) for layer, scores in enumerate(groups) for index, score in enumerate(scores)),
        key=lambda entry: entry[0],
    )
    keep = [set(range(len(scores))) for scores in groups]
    left = cut // group
    for _, layer, index in ranked:
        if left and len(keep[layer]) * group > at_least:
            keep[layer].remove(index)
            left -= 1
    return [[member for index in sorted(indexes) for member in range(index * group, (index + 1) * group)] for indexes in keep]
