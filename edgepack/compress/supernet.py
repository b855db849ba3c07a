"""Trains one model whose parts work alone: each step distils it whole or as a random sub-network of its most important parts.

Hou 2020, "DynaBERT" (heads and neurons in order of importance), Fan 2020, "LayerDrop" (whole layers), Yu 2019 (the whole model between
its parts). A candidate is then cut out of it and needs no training to be judged.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgepack.compress.context import StageContext
from edgepack.compress.distillation import distillation_loss, targets_of, training_of
from edgepack.compress.importance import Scores, best, head_importance, neuron_importance
from edgepack.model.layer_calls import state_of
from edgepack.model.structure import family_of_model, ffns_of, has_attention, head_dim_of, kv_groups_of, layers_of
from edgepack.model.training import BatchLoss, bare, train
from edgepack.model.training_precision import in_fastest_precision
from edgepack.plan.cuts import kept_heads, kept_neurons
from edgepack.plan.steps import Distill
from edgepack.plan.student import student_layers

RANKED_BY = "activation"  # the measure by which parts are cut out of it, too; it needs no labels
SHARES = (0.0, 0.25, 0.5, 0.75)  # of heads and of neurons that a sub-network leaves out
_WHOLE = 0.3  # share of the steps that train all of it


@dataclass(frozen=True)
class Part:
    """A sub-network: which layers run, and the shares of heads and neurons that are left out of each."""

    layers: tuple[int, ...]
    heads: float
    ffn: float


def train_shared(model: nn.Module, step: Distill, context: StageContext) -> nn.Module:
    """`model` after the epochs of `step`, in its own shape. Hidden states are not compared: a part has fewer of them."""
    ranks = head_importance(model, context, RANKED_BY), neuron_importance(model, context, RANKED_BY)
    plain = in_fastest_precision(step, context.task.decodes).model_copy(update={"hidden_weight": 0.0, "relation_weight": 0.0})
    settings = training_of(plain)
    loss = _part_loss(distillation_loss(plain, context, None), *ranks, context.seed)
    targets = targets_of(plain, context, model)
    trained, _ = train(model, context.features, targets, loss, settings, context.folder, context.seed, "train the shared model")
    return trained


def _part_loss(whole: BatchLoss, heads: Scores, neurons: Scores, seed: int) -> BatchLoss:
    """The loss of a part that the batch itself draws: so a training that is stopped goes on with the same parts."""

    def loss(model: nn.Module, batch: dict[str, torch.Tensor], targets: dict[str, Any]) -> torch.Tensor:
        digest = hashlib.sha256(batch["input_ids"].cpu().numpy().tobytes() + str(seed).encode()).digest()
        part = draw_part(random.Random(digest), len(layers_of(bare(model))), bool(family_of_model(bare(model)).shared_layers))
        with only_part(bare(model), part, heads, neurons):
            return whole(model, batch, targets)

    return loss


def draw_part(drawn: random.Random, layers: int, shared_layers: bool) -> Part:
    """All of the model, or any depth with any shares."""
    if drawn.random() < _WHOLE:
        return Part(tuple(range(layers)), 0.0, 0.0)
    depth = layers if shared_layers else drawn.randint(max(1, round(layers / 3)), layers)
    return Part(tuple(student_layers(depth, layers)), drawn.choice(SHARES), drawn.choice(SHARES))


@contextmanager
def only_part(model: nn.Module, part: Part, heads: Scores, neurons: Scores) -> Iterator[None]:
    """The model computes as if it were cut to this part, while the block runs."""
    family, size, group = family_of_model(model), head_dim_of(model), kv_groups_of(model)
    with ExitStack() as stack:
        for index, layer in enumerate(layers_of(model)):
            if index not in part.layers and len(layers_of(model)) > 1:
                stack.callback(layer.register_forward_hook(_passes_by, with_kwargs=True).remove)
            elif part.heads and has_attention(model, layer):
                remaining = best(heads[index], max(group, kept_heads(len(heads[index]), part.heads, group)), group)
                mask = _mask(len(heads[index]), remaining).repeat_interleave(size)
                output = layer.get_submodule(family.attention_output)
                stack.callback(output.register_forward_pre_hook(_masked(mask)).remove)
        for ffn, scores in zip(ffns_of(model), neurons, strict=True) if part.ffn else ():
            mask = _mask(len(scores), best(scores, kept_neurons(len(scores), part.ffn)))
            stack.callback(ffn.get_submodule(family.ffn_out).register_forward_pre_hook(_masked(mask)).remove)
        yield


def _mask(count: int, remaining: list[int]) -> torch.Tensor:
    mask = torch.zeros(count)
    mask[remaining] = 1.0
    return mask


def _masked(mask: torch.Tensor) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], tuple[torch.Tensor, ...]]:
    return lambda module, inputs: (inputs[0] * mask.to(inputs[0].device), *inputs[1:])


def _passes_by(module: nn.Module, inputs: tuple[torch.Tensor, ...], named: dict[str, Any], output: Any) -> Any:
    """The layer gives what it was given."""
    states = state_of((inputs, named))
    return (states, *output[1:]) if isinstance(output, tuple) else states
