"""Shapes of known models, for tests of plans."""

from edgepack.plan.shape import LayerShape, ModelShape

MINILM = ModelShape(
    model_type="bert", task="text-classification", layers=(LayerShape(heads=12, ffn=1536),) * 6, hidden=384, head_dim=32, kv_groups=1,
    vocab=30522, positions=512, token_types=2, embedding=384, labels=2,
)  # fmt: skip
