"""Qwen 2: LLaMA with biases for query, key and value."""

from edgepack.plan.architectures._llama_layer import LLAMA_LAYER, TINY_GROUPED
from edgepack.plan.family import Family

FAMILY = Family(
    "qwen2",
    **LLAMA_LAYER,
    only={"use_sliding_window": False},
    tiny=TINY_GROUPED,
)
