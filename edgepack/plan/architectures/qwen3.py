"""Qwen 3: LLaMA with norms within each head."""

from edgepack.plan.architectures._llama_layer import LLAMA_LAYER, TINY_GROUPED
from edgepack.plan.family import Family

FAMILY = Family(
    "qwen3",
    **LLAMA_LAYER,
    qkv_biases=False,
    head_norms=True,
    only={"attention_bias": False, "use_sliding_window": False},
    tiny=TINY_GROUPED | {"head_dim": 16},
)
