"""LLaMA, and what is stored as it (SmolLM, TinyLlama)."""

from edgepack.plan.architectures._llama_layer import LLAMA_LAYER, TINY_GROUPED
from edgepack.plan.family import Family

FAMILY = Family(
    "llama",
    **LLAMA_LAYER,
    qkv_biases=False,
    only={"attention_bias": False, "mlp_bias": False},
    tiny=TINY_GROUPED,
)
