"""MPNet: BERT with positions counted from the padding id, and a table of distances that all layers add to their scores."""

from edgepack.plan.family import Family

FAMILY = Family(
    "mpnet",
    layers="encoder.layer",
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    attention_output="attention.attn.o",
    attention="attention.attn",
    ffn_in=("intermediate.dense",),
    ffn_out="output.dense",
    attention_counts={"attention.attn.num_attention_heads": "heads", "attention.attn.all_head_size": "width"},
    export_attention="biased",
    head_bias="encoder.relative_attention_bias",
    config_bias_rows="relative_attention_num_buckets",
    pooler=True,
    positions_from_padding=True,
    token_types=False,
    only={"relative_attention_num_buckets": 32, "pad_token_id": 1},  # the model's code takes these whatever the config says
    tiny={"max_position_embeddings": 98},
)
