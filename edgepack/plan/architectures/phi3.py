"""Phi-3 and Phi-4 mini: LLaMA with query, key and value in one matrix, gate and up in another."""

from edgepack.plan.architectures._llama_layer import LLAMA_LAYER, TINY_GROUPED
from edgepack.plan.family import Family

FAMILY = Family(
    "phi3",
    **LLAMA_LAYER
    | {
        "query": "self_attn.qkv_proj",
        "key": "self_attn.qkv_proj",
        "value": "self_attn.qkv_proj",
        "ffn_in": ("mlp.gate_up_proj", "mlp.gate_up_proj"),
    },
    attention_counts={"self_attn.num_key_value_heads": "kv_heads"},
    heads_from_config=True,
    qkv_biases=False,
    config_window="sliding_window",
    tiny=TINY_GROUPED | {"sliding_window": 8, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0},
)
