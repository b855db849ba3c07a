"""Mistral: LLaMA whose layers may see a window of tokens alone."""

from edgepack.plan.architectures._llama_layer import LLAMA_LAYER, TINY_GROUPED
from edgepack.plan.family import Family

FAMILY = Family(
    "mistral",
    **LLAMA_LAYER,
    qkv_biases=False,
    only={"layer_types": None},
    config_window="sliding_window",
    tiny=TINY_GROUPED | {"sliding_window": 8},
)
