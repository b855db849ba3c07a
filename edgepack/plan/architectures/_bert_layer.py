"""The layer that BERT and its descendants share."""

from typing import Any

BERT_LAYER: dict[str, Any] = {
    "layers": "encoder.layer",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention": "attention.self",
    "ffn_in": ("intermediate.dense",),
    "ffn_out": "output.dense",
    "attention_counts": {
        "attention.self.num_attention_heads": "heads",
        "attention.self.all_head_size": "width",
    },
}
