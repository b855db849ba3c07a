"""StaticEmbedding of sentence-transformers (model2vec): a table of tokens' vectors and nothing behind it, neither layers nor heads."""

from edgepack.plan.family import Family

FAMILY = Family(
    "static-embedding",
    is_table=True,
    layers="layers",
    query="",
    key="",
    value="",
    attention_output="",
    attention="",
    ffn_in=(),
    ffn_out="",
    position_table=False,
    token_types=False,
    embedding_norm=False,
    fixed_lengths_end=2048,
)
