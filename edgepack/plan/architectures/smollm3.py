"""SmolLM3: LLaMA in which every fourth layer turns no positions."""

from edgepack.plan.architectures._llama_layer import LLAMA_LAYER, TINY_GROUPED
from edgepack.plan.family import Family

FAMILY = Family(
    "smollm3",
    **LLAMA_LAYER,
    qkv_biases=False,
    rotation_switch="use_rope",
    config_by_layer=("layer_types", "no_rope_layers"),
    only={"attention_bias": False, "mlp_bias": False, "use_sliding_window": False},
    tiny=TINY_GROUPED | {"no_rope_layer_interval": 2, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0},
)
