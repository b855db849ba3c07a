"""One row per architecture: which config keys tell its shape, and where its heads, FFN, layers and embeddings are.

Strings only, so that a plan can read a model's shape without torch; edgepack/model and edgepack/stages follow the paths.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgepack.errors import EdgepackError


@dataclass(frozen=True)
class Family:
    """Paths of modules are relative to one layer; `layers` is relative to the model's base (`model.base_model`)."""

    model_type: str
    layers: str
    query: str
    key: str
    value: str
    attention_output: str
    attention: str  # the module that computes attention, with its output projection inside or beside it
    ffn_in: tuple[str, ...]  # two for gated FFNs (gate, up)
    ffn_out: str
    norms_per_layer: int
    biases: bool
    attention_counts: Mapping[str, str] = field(default_factory=dict)  # attribute -> "heads" or "width", kept true after cutting
    config_layers: str = "num_hidden_layers"
    config_hidden: str = "hidden_size"
    config_heads: str = "num_attention_heads"
    config_ffn: str = "intermediate_size"
    reserved_positions: int = 0  # rows of the position table before the first token's
    causal: bool = False


_BERT_LAYER: dict[str, Any] = {
    "layers": "encoder.layer",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention": "attention.self",
    "ffn_in": ("intermediate.dense",),
    "ffn_out": "output.dense",
    "norms_per_layer": 2,
    "biases": True,
    "attention_counts": {
        "attention.self.num_attention_heads": "heads",
        "attention.self.all_head_size": "width",
    },
}

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        Family("bert", **_BERT_LAYER),
        Family("roberta", **_BERT_LAYER, reserved_positions=2),
        Family("xlm-roberta", **_BERT_LAYER, reserved_positions=2),
        Family("electra", **_BERT_LAYER),
        Family(
            "distilbert",
            layers="transformer.layer",
            query="attention.q_lin",
            key="attention.k_lin",
            value="attention.v_lin",
            attention_output="attention.out_lin",
            attention="attention",
            ffn_in=("ffn.lin1",),
            ffn_out="ffn.lin2",
            norms_per_layer=2,
            biases=True,
            attention_counts={"attention.n_heads": "heads", "attention.dim": "width"},
            config_layers="n_layers",
            config_hidden="dim",
            config_heads="n_heads",
            config_ffn="hidden_dim",
        ),
        Family(
            "llama",
            layers="layers",
            query="self_attn.q_proj",
            key="self_attn.k_proj",
            value="self_attn.v_proj",
            attention_output="self_attn.o_proj",
            attention="self_attn",
            ffn_in=("mlp.gate_proj", "mlp.up_proj"),
            ffn_out="mlp.down_proj",
            norms_per_layer=2,
            biases=False,
            causal=True,
        ),
    )
}


def family_of(config: Mapping[str, Any], place: str) -> Family:
    """The row for a model's config.json; an unknown architecture is an error that says what a row needs."""
    model_type = config.get("model_type")
    if model_type in FAMILIES:
        return FAMILIES[model_type]
    raise EdgepackError(
        f"unknown model family in {place}: model_type {model_type!r} (known: {', '.join(sorted(FAMILIES))})",
        "add a row to edgepack/families.py: the paths of its layers, attention, projections and FFN, and its config keys",
    )
