"""The layer that LLaMA and its descendants share: RMS norms, rotated positions, grouped queries, a gated FFN."""

from typing import Any

LLAMA_LAYER: dict[str, Any] = {
    "layers": "layers",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "attention_output": "self_attn.o_proj",
    "attention": "self_attn",
    "ffn_in": ("mlp.gate_proj", "mlp.up_proj"),
    "ffn_out": "mlp.down_proj",
    "norm_before_attention": "input_layernorm",
    "norm_before_ffn": "post_attention_layernorm",
    "causal": True,
    "position_table": False,
    "tied_unless_stated": False,
    "output_biases": False,
    "norm_biases": False,
    "embedding_norm": False,
    "final_norm": True,
}
TINY_GROUPED: dict[str, Any] = {"num_key_value_heads": 2, "tie_word_embeddings": True}
