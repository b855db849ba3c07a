"""Gemma 2: four norms a layer that add 1 to their weights, scores and logits under a cap, every second layer with a window."""

from edgepack.plan.architectures._gemma_layer import GEMMA_LAYER, TINY_GEMMA
from edgepack.plan.family import Family

FAMILY = Family(
    "gemma2",
    **GEMMA_LAYER,
    config_attention_cap="attn_logit_softcapping",
    tiny=TINY_GEMMA,
)
