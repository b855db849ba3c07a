"""Gemma 3 for text, and EmbeddingGemma: Gemma 2 without caps, with norms within heads, local and global layers turned differently."""

from edgepack.plan.architectures._gemma_layer import GEMMA_LAYER, TINY_GEMMA
from edgepack.plan.family import Family

FAMILY = Family(
    "gemma3_text",
    **GEMMA_LAYER,
    head_norms=True,
    rotation_tables=2,
    tiny=TINY_GEMMA,
)
