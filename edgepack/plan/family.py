"""The record of a model family: which config keys tell its shape, and where its heads, FFN, layers and embeddings are.

Strings and numbers only, so that a plan can read a model's shape without torch. The rooms that hold torch follow the paths.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PAD_ID = 1  # of a config that states none, where positions are counted from it
TINY = (4, 64, 4, 128, 96)  # layers, hidden width, heads, FFN neurons, positions


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
    attention_counts: Mapping[str, str] = field(default_factory=dict)  # attribute -> heads, kv_heads or width, kept true after cuts
    heads_from_config: bool = False  # attention reads its head count from the config as it runs
    export_attention: str = ""  # file in edgepack/export/attention_layers; only where transformers computes attention in the layer itself
    head_bias: str = ""  # a table with a column a head that all layers add to their scores, relative to the base (MPNet)
    tables_ahead: bool = False  # attention multiplies with tables that the export computes ahead: those products stay in float
    norm_before_attention: str = ""  # of a decoder's layer: only attention reads what it gives, so that smoothing can scale it
    norm_before_ffn: str = ""
    attention_norm: str = ""  # a norm inside the attention module, behind the residual (ALBERT)
    more_ffns: str = ""  # further FFNs of a layer, in front of its own and with the same paths (MobileBERT)
    shared_layers: bool = False  # one layer's weights run as often as the config states (ALBERT)
    first_layer_stays: bool = False  # the first layer is built unlike the others (ModernBERT)
    causal: bool = False
    is_table: bool = False  # a table of tokens' vectors without a layer: no config.json of transformers describes one
    fixed_lengths_end: int = 0  # tokens after which a file of fixed lengths ends where nothing longer is asked for; 0: at its positions
    pooler: bool = False  # the base model has one, which embeddings do not need

    config_layers: str = "num_hidden_layers"
    config_hidden: str = "hidden_size"
    config_heads: str = "num_attention_heads"
    config_ffn: str = "intermediate_size"
    config_positions: str = "max_position_embeddings"
    config_bottleneck: str = ""  # width inside a layer, where it is not the hidden one
    config_ffns: str = ""  # FFNs in a layer, where there may be several
    config_bias_rows: str = ""  # rows of `head_bias`
    config_window: str = ""  # tokens that a layer sees, itself among them; none or null: all
    config_attention_cap: str = ""  # scores s become cap * tanh(s / cap)
    config_logit_cap: str = ""  # logits likewise
    config_bidirectional: str = ""  # true where a causal family sees whole texts, for embeddings
    config_by_layer: tuple[str, ...] = ("layer_types",)  # lists with an entry a layer
    config_distances: str = ""  # half the rows of a table of distances, which all layers project (DeBERTa)
    config_widths: tuple[str, ...] = ()  # further keys that state the hidden width
    only: Mapping[str, Any] = field(default_factory=dict)  # settings that this family stands for, a tuple: one of them; others are refused
    must_state: tuple[str, ...] = ()  # keys of `only` whose absence means another value

    # What parameters are made of, beside matrices.
    positions_from_padding: bool = False  # the first token's position is the row behind the padding id's
    position_table: bool = True
    rotation_tables: int = 1  # of a decoder that rotates queries and keys: kinds of layers with angles of their own
    tied_unless_stated: bool = True  # a decoder's head shares the embeddings
    qkv_biases: bool = True
    output_biases: bool = True  # of attention's output and of the FFN
    norm_biases: bool = True
    norm_offset: float = 0.0  # what a norm adds to its weights
    layer_norms: int = 2  # of a layer with one FFN; a further FFN has one more
    token_types: bool = True  # a table of them, where the config has `type_vocab_size`
    rotation_switch: str = ""  # attribute of attention that is false where a layer turns no positions
    head_norms: bool = False  # queries and keys are normalised within each head
    embedding_norm: bool = True
    final_norm: bool = False
    dense_head: str = "classification"  # a hidden x hidden matrix before the task's own: for classification, or `always`
    projected_embeddings: int = 0  # neighbouring tokens whose embeddings are projected together; 0: one, only where widths differ

    # A tiny random model of the family, for `edgepack check-architecture` and the tests.
    tiny: Mapping[str, Any] = field(default_factory=dict)  # config settings beside, or in place of, those of TINY

    @property
    def fits_layers(self) -> bool:
        """Whether a narrower student's layers can be fitted to its teacher's: each has weights of its own and the hidden width."""
        return not (self.shared_layers or self.config_bottleneck)

    def reserved_positions(self, config: Mapping[str, Any]) -> int:
        """Rows of the position table that no token uses: those up to the padding id, where positions are counted from there."""
        return (config.get("pad_token_id", _PAD_ID) or 0) + 1 if self.positions_from_padding else 0

    def tiny_settings(self) -> dict[str, Any]:
        """Config settings of a model with four layers and four heads of 16, so that heads can be cut unevenly."""
        names = (self.config_layers, self.config_hidden, self.config_heads, self.config_ffn, self.config_positions)
        return dict(zip(names, TINY, strict=True)) | dict(self.tiny)
