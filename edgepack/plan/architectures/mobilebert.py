"""MobileBERT: a bottleneck in each layer, several FFNs, embeddings of three neighbouring tokens."""

from edgepack.plan.architectures._bert_layer import BERT_LAYER
from edgepack.plan.family import Family

FAMILY = Family(
    "mobilebert",
    **BERT_LAYER,
    pooler=True,
    more_ffns="ffn",
    config_bottleneck="intra_bottleneck_size",
    config_ffns="num_feedforward_networks",
    only={"use_bottleneck": True, "use_bottleneck_attention": False, "key_query_shared_bottleneck": True, "trigram_input": True},
    projected_embeddings=3,
    tiny={"hidden_size": 96, "embedding_size": 32, "intra_bottleneck_size": 64, "num_feedforward_networks": 3},
)
