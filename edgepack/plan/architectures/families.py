"""One row per architecture: which config keys tell its shape, and where its heads, FFN, layers and embeddings are.

Strings only, so that a plan can read a model's shape without torch; edgepack/model and edgepack/stages follow the paths.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgepack.core.errors import EdgepackError


@dataclass(frozen=True)
class Family:
    """Paths of modules are relative to one layer; `layers` is relative to the model's base (`model.base_model`).

    A path that stands several times (query, key and value, or both ways into a gated FFN) is one matrix with the parts stacked.
    """

    model_type: str
    layers: str
    query: str
    key: str
    value: str
    attention_output: str
    attention: str  # the module that computes attention, with its output projection inside or beside it
    ffn_in: tuple[str, ...]  # two for gated FFNs (gate, up)
    ffn_out: str
    attention_counts: Mapping[str, str] = field(default_factory=dict)  # attribute -> "heads" or "width", kept true after cutting
    attention_norm: str = ""  # a norm inside the attention module, behind the residual (ALBERT)
    more_ffns: str = ""  # further FFNs of a layer, in front of its own and with the same paths (MobileBERT)
    shared_layers: bool = False  # one layer's weights run as often as the config states (ALBERT)
    first_layer_stays: bool = False  # the first layer is built unlike the others (ModernBERT)
    causal: bool = False
    pooler: bool = False  # the base model has one, which embeddings do not need

    config_layers: str = "num_hidden_layers"
    config_hidden: str = "hidden_size"
    config_heads: str = "num_attention_heads"
    config_ffn: str = "intermediate_size"
    config_positions: str = "max_position_embeddings"
    config_bottleneck: str = ""  # width inside a layer, where it is not the hidden one
    config_ffns: str = ""  # FFNs in a layer, where there may be several
    only: Mapping[str, Any] = field(default_factory=dict)  # settings that this row stands for; another value is refused

    # What parameters are made of, beside matrices.
    reserved_positions: int = 0  # rows of the position table before the first token's
    position_table: bool = True
    tied_unless_stated: bool = True  # a decoder's head shares the embeddings
    qkv_biases: bool = True
    output_biases: bool = True  # of attention's output and of the FFN
    norm_biases: bool = True
    head_norms: bool = False  # queries and keys are normalised within each head
    embedding_norm: bool = True
    final_norm: bool = False
    dense_head: str = "classification"  # a hidden x hidden matrix before the task's own: for classification, or `always`
    projected_embeddings: int = 0  # neighbouring tokens whose embeddings are projected together; 0: one, only where widths differ


_BERT_LAYER: dict[str, Any] = {
    "layers": "encoder.layer",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention": "attention.self",
    "ffn_in": ("intermediate.dense",),
    "ffn_out": "output.dense",
    "attention_counts": {
        "attention.self.num_attention_heads": "heads",
        "attention.self.all_head_size": "width",
    },
}

_LLAMA: dict[str, Any] = {
    "layers": "layers",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "attention_output": "self_attn.o_proj",
    "attention": "self_attn",
    "ffn_in": ("mlp.gate_proj", "mlp.up_proj"),
    "ffn_out": "mlp.down_proj",
    "causal": True,
    "position_table": False,
    "tied_unless_stated": False,
    "output_biases": False,
    "norm_biases": False,
    "embedding_norm": False,
    "final_norm": True,
}

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        Family("bert", **_BERT_LAYER, pooler=True),
        Family("roberta", **_BERT_LAYER, pooler=True, reserved_positions=2),
        Family("xlm-roberta", **_BERT_LAYER, pooler=True, reserved_positions=2),
        Family("electra", **_BERT_LAYER),
        Family(
            "mobilebert",
            **_BERT_LAYER,
            pooler=True,
            more_ffns="ffn",
            config_bottleneck="intra_bottleneck_size",
            config_ffns="num_feedforward_networks",
            only={"use_bottleneck": True, "use_bottleneck_attention": False, "key_query_shared_bottleneck": True, "trigram_input": True},
            projected_embeddings=3,
        ),
        Family(
            "albert",
            layers="encoder.albert_layer_groups.0.albert_layers",
            query="attention.query",
            key="attention.key",
            value="attention.value",
            attention_output="attention.dense",
            attention="attention",
            ffn_in=("ffn",),
            ffn_out="ffn_output",
            attention_counts={"attention.num_attention_heads": "heads", "attention.all_head_size": "width"},
            attention_norm="LayerNorm",
            shared_layers=True,
            pooler=True,
            only={"num_hidden_groups": 1, "inner_group_num": 1},
            projected_embeddings=1,
        ),
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
            attention_counts={"attention.n_heads": "heads", "attention.dim": "width"},
            config_layers="n_layers",
            config_hidden="dim",
            config_heads="n_heads",
            config_ffn="hidden_dim",
        ),
        Family(
            "modernbert",
            layers="layers",
            query="attn.Wqkv",
            key="attn.Wqkv",
            value="attn.Wqkv",
            attention_output="attn.Wo",
            attention="attn",
            ffn_in=("mlp.Wi", "mlp.Wi"),
            ffn_out="mlp.Wo",
            first_layer_stays=True,
            only={"attention_bias": False, "mlp_bias": False, "norm_bias": False, "classifier_bias": False},
            position_table=False,
            qkv_biases=False,
            output_biases=False,
            norm_biases=False,
            final_norm=True,
            dense_head="always",
        ),
        Family(
            "gpt2",
            layers="h",
            query="attn.c_attn",
            key="attn.c_attn",
            value="attn.c_attn",
            attention_output="attn.c_proj",
            attention="attn",
            ffn_in=("mlp.c_fc",),
            ffn_out="mlp.c_proj",
            attention_counts={"attn.num_heads": "heads", "attn.split_size": "width"},
            causal=True,
            config_layers="n_layer",
            config_hidden="n_embd",
            config_heads="n_head",
            config_ffn="n_inner",
            config_positions="n_positions",
            only={"add_cross_attention": False, "scale_attn_by_inverse_layer_idx": False},
            embedding_norm=False,
            final_norm=True,
        ),
        Family("llama", **_LLAMA, qkv_biases=False, only={"attention_bias": False, "mlp_bias": False}),
        Family("qwen2", **_LLAMA, only={"use_sliding_window": False}),
        Family("qwen3", **_LLAMA, qkv_biases=False, head_norms=True, only={"attention_bias": False, "use_sliding_window": False}),
    )
}


def family_of(config: Mapping[str, Any], place: str) -> Family:
    """The row for a model's config.json; an unknown architecture is an error that says what a row needs."""
    model_type = config.get("model_type")
    if model_type not in FAMILIES:
        raise EdgepackError(
            f"unknown model family in {place}: model_type {model_type!r} (known: {', '.join(sorted(FAMILIES))})",
            "add a row to edgepack/plan/architectures: the paths of its layers, attention, projections and FFN, and its config keys",
        )
    family = FAMILIES[model_type]
    for name, value in family.only.items():
        if config.get(name, value) != value:
            raise EdgepackError(
                f"a {model_type} of another build in {place}: {name} is {config[name]!r}",
                f"edgepack knows {model_type} with {name} = {value!r}; another build needs a row of its own in edgepack/plan/architectures",
            )
    return family
