"""ELECTRA: BERT with embeddings of their own width."""

from edgepack.plan.architectures._bert_layer import BERT_LAYER
from edgepack.plan.family import Family

FAMILY = Family(
    "electra",
    **BERT_LAYER,
    tiny={"embedding_size": 32},
)
