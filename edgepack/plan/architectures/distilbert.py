"""DistilBERT: half of BERT's layers, without token types and pooler."""

from edgepack.plan.family import Family

FAMILY = Family(
    "distilbert",
    layers="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_output="attention.out_lin",
    attention="attention",
    ffn_in=("ffn.lin1",),
    ffn_out="ffn.lin2",
    attention_counts={"attention.n_heads": "heads", "attention.dim": "width"},
    config_layers="n_layers",
    config_hidden="dim",
    config_heads="n_heads",
    config_ffn="hidden_dim",
)
