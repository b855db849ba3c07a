"""XLM-RoBERTa: RoBERTa for many languages (multilingual E5, BGE M3)."""

from edgepack.plan.architectures._bert_layer import BERT_LAYER
from edgepack.plan.family import Family

FAMILY = Family(
    "xlm-roberta",
    **BERT_LAYER,
    pooler=True,
    positions_from_padding=True,
    tiny={"max_position_embeddings": 98, "type_vocab_size": 1, "pad_token_id": 0},
)
