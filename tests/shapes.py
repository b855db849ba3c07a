"""Shapes of known models, for tests of plans."""

from edgepack.plan.shape import LayerShape, ModelShape

MINILM = ModelShape(
    model_type="bert", task="text-classification", layers=(LayerShape(heads=12, ffn=1536),) * 6, hidden=384, head_dim=32, kv_groups=1,
    vocab=30522, positions=512, token_types=2, embedding=384, labels=2,
)  # fmt: skip
POTION = ModelShape(  # model2vec's table of 7.6 million numbers
    model_type="static-embedding", task="feature-extraction", layers=(), hidden=256, head_dim=256, kv_groups=1, vocab=29528,
    positions=1_000_000, token_types=0, embedding=256, labels=0, cut_by_dimensions=True,
)  # fmt: skip
