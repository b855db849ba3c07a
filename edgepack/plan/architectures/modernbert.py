"""ModernBERT: rotated positions, local and global layers, query, key and value in one matrix."""

from edgepack.plan.family import Family

FAMILY = Family(
    "modernbert",
    layers="layers",
    query="attn.Wqkv",
    key="attn.Wqkv",
    value="attn.Wqkv",
    attention_output="attn.Wo",
    attention="attn",
    ffn_in=("mlp.Wi", "mlp.Wi"),
    ffn_out="mlp.Wo",
    first_layer_stays=True,
    only={"attention_bias": False, "mlp_bias": False, "norm_bias": False, "classifier_bias": False},
    position_table=False,
    qkv_biases=False,
    output_biases=False,
    norm_biases=False,
    final_norm=True,
    dense_head="always",
    tiny={
        "local_attention": 8,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "pad_token_id": 0,
    },
)
