"""BERT, and what is stored as it (MiniLM, BGE, E5 small)."""

from edgepack.plan.architectures._bert_layer import BERT_LAYER
from edgepack.plan.family import Family

FAMILY = Family(
    "bert",
    **BERT_LAYER,
    pooler=True,
)
