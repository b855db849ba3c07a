"""DeBERTa v2 and v3: scores that go by the words and by their distance, from a table that all layers project with their own weights."""

from edgepack.plan.architectures._bert_layer import BERT_LAYER
from edgepack.plan.family import Family

FAMILY = Family(
    "deberta-v2",
    **BERT_LAYER
    | {
        "query": "attention.self.query_proj",
        "key": "attention.self.key_proj",
        "value": "attention.self.value_proj",
    },
    export_attention="disentangled",
    tables_ahead=True,
    position_table=False,
    config_distances="position_buckets",
    config_widths=("pooler_hidden_size",),
    only={
        "relative_attention": True,
        "share_att_key": True,
        "position_biased_input": False,
        "norm_rel_ebd": "layer_norm",
        "pos_att_type": ("p2c|c2p", "c2p|p2c", ["p2c", "c2p"], ["c2p", "p2c"]),
        "max_relative_positions": -1,
        "conv_kernel_size": 0,
    },
    must_state=("relative_attention", "share_att_key", "position_biased_input", "norm_rel_ebd", "pos_att_type"),
    tiny={
        "relative_attention": True,
        "share_att_key": True,
        "position_biased_input": False,
        "norm_rel_ebd": "layer_norm",
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
    },
)
