"""Takes whole layers out, and attention sublayers out of layers that stay."""

import torch
from torch import nn

from edgepack.compress.activations import collect_activations
from edgepack.compress.context import StageContext
from edgepack.compress.importance import best
from edgepack.model.dropped_attention import drop_attention
from edgepack.model.structure import family_of_model
from edgepack.model.surgery import keep_layers
from edgepack.plan.steps import DropAttention, PruneLayers


def prune_layers(model: nn.Module, step: PruneLayers, context: StageContext) -> nn.Module:
    """Keeps the layers listed, or those with the highest block influence. Men 2024, "ShortGPT"."""
    keep_layers(model, list(step.keep) or _most_influential(model, step.count, context))
    return model


def _most_influential(model: nn.Module, count: int, context: StageContext) -> list[int]:
    family = family_of_model(model)
    if family.shared_layers:
        return list(range(count))
    influence = collect_activations(model, context.features).influence
    if family.first_layer_stays:
        influence[0] = torch.inf
    return best(influence, count)


def skip_attention(model: nn.Module, step: DropAttention, context: StageContext) -> nn.Module:
    """Drops the attention of the layers listed; their FFNs stay. He 2024, "What matters in transformers?"."""
    drop_attention(model, step.layers)
    return model
