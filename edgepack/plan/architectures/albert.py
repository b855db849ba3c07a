"""ALBERT: one layer's weights run as often as the config says."""

from edgepack.plan.family import Family

FAMILY = Family(
    "albert",
    layers="encoder.albert_layer_groups.0.albert_layers",
    query="attention.query",
    key="attention.key",
    value="attention.value",
    attention_output="attention.dense",
    attention="attention",
    ffn_in=("ffn",),
    ffn_out="ffn_output",
    attention_counts={"attention.num_attention_heads": "heads", "attention.all_head_size": "width"},
    attention_norm="LayerNorm",
    shared_layers=True,
    pooler=True,
    only={"num_hidden_groups": 1, "inner_group_num": 1},
    projected_embeddings=1,
    tiny={"embedding_size": 32},
)
