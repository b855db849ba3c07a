"""Takes whole layers out, and attention sublayers out of layers that stay."""

from torch import nn

from edgepack.model.surgery import drop_attention, keep_layers
from edgepack.stages.activations import collect_activations
from edgepack.stages.context import StageContext
from edgepack.stages.importance import best
from edgepack.steps import DropAttention, PruneLayers


def prune_layers(model: nn.Module, step: PruneLayers, context: StageContext) -> nn.Module:
    """Keeps the layers listed, or those with the highest block influence. Men 2024, "ShortGPT"."""
    keep = list(step.keep) or best(collect_activations(model, context.features).influence, step.count)
    keep_layers(model, keep)
    return model


def skip_attention(model: nn.Module, step: DropAttention, context: StageContext) -> nn.Module:
    """Drops the attention of the layers listed; their FFNs stay. He 2024, "What matters in transformers?"."""
    drop_attention(model, step.layers)
    return model
