"""GPT-2: a decoder with a position table; its matrices are Conv1D."""

from edgepack.plan.family import Family

FAMILY = Family(
    "gpt2",
    layers="h",
    query="attn.c_attn",
    key="attn.c_attn",
    value="attn.c_attn",
    attention_output="attn.c_proj",
    attention="attn",
    ffn_in=("mlp.c_fc",),
    ffn_out="mlp.c_proj",
    attention_counts={"attn.num_heads": "heads", "attn.split_size": "width"},
    causal=True,
    config_layers="n_layer",
    config_hidden="n_embd",
    config_heads="n_head",
    config_ffn="n_inner",
    config_positions="n_positions",
    only={"add_cross_attention": False, "scale_attn_by_inverse_layer_idx": False},
    embedding_norm=False,
    final_norm=True,
    norm_before_attention="ln_1",
    norm_before_ffn="ln_2",
    tiny={"bos_token_id": 2, "eos_token_id": 3},
)
