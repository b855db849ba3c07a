"""The layer that Gemma 2 and 3 share."""

from typing import Any

from edgepack.plan.architectures._llama_layer import LLAMA_LAYER, TINY_GROUPED

GEMMA_LAYER: dict[str, Any] = LLAMA_LAYER | {
    "norm_before_ffn": "pre_feedforward_layernorm",
    "norm_offset": 1.0,
    "layer_norms": 4,
    "qkv_biases": False,
    "tied_unless_stated": True,
    "config_window": "sliding_window",
    "config_logit_cap": "final_logit_softcapping",
    "config_bidirectional": "use_bidirectional_attention",
    "only": {"attention_bias": False},
}
TINY_GEMMA: dict[str, Any] = TINY_GROUPED | {
    "head_dim": 16,
    "query_pre_attn_scalar": 24,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}
