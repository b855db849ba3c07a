"""Shapes of known models, for tests of plans."""

from edgepack.plan.shape import LayerShape, ModelShape

MINILM = ModelShape(
    model_type="bert", task="text-classification", layers=(LayerShape(heads=12, ffn=1536),) * 6, hidden=384, head_dim=32, kv_groups=1,
    vocab=30522, positions=512, token_types=2, embedding=384, labels=2,
)  # fmt: skip
GEMMA = ModelShape(  # Gemma 3 of 270M: a width that is no multiple of its heads'
    model_type="gemma3_text", task="text-generation", layers=(LayerShape(heads=4, ffn=2048),) * 18, hidden=640, head_dim=256, kv_groups=4,
    vocab=262_144, positions=32_768, token_types=0, embedding=640, labels=0,
)  # fmt: skip
POTION = ModelShape(  # model2vec's table of 7.6 million numbers
    model_type="static-embedding", task="feature-extraction", layers=(), hidden=256, head_dim=256, kv_groups=1, vocab=29528,
    positions=1_000_000, token_types=0, embedding=256, labels=0, cut_by_dimensions=True,
)  # fmt: skip
