"""A model's shape, read from its config alone: what size, memory and latency follow from. No torch, no weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.core.showing import shown
from edgepack.plan.architectures import FAMILIES, family_of
from edgepack.plan.family import Family
from edgepack.tasks import all_tasks, task_named
from edgepack.tasks.common.labels import label_names

# More than any model has: beyond them a config is a mistake, and a plan for it would take hours.
_MOST_LAYERS, _MOST_HEADS, _MOST_WIDTH, _MOST_ROWS = 512, 512, 200_000, 50_000_000


class LayerShape(Frozen):
    """How many heads and FFN neurons a layer has."""

    heads: int
    ffn: int


class ModelShape(Frozen):
    """Widths and counts of a transformer; `layers` may differ from each other after pruning."""

    model_type: str
    task: str
    layers: tuple[LayerShape, ...]
    hidden: int
    head_dim: int
    kv_groups: int  # query heads that share one key and value head
    vocab: int
    positions: int
    token_types: int
    embedding: int  # width of the token table (ELECTRA's differs from hidden)
    labels: int
    tied: bool = True  # a decoder's head is the token table
    bottleneck: int | None = None  # width inside a layer, where it is not `hidden`
    ffns: int = 1  # FFNs in a layer, each `LayerShape.ffn` wide
    distance_rows: int = 0  # of a table of distances as wide as `hidden`, with a norm of its own
    vocabulary_head: bool = False  # every token's logits over the vocabulary are computed, by an encoder's head for masked words
    factorized: float = 0.0  # share of the weights of linear layers and the token table that two smaller products save
    factor_work: float = 1.0  # multiplications a weight of such products
    bias_rows: int = 0  # of a table with a column a head, which all layers share
    cut_by_dimensions: bool = False  # a text's vector is the mean of table rows, so fewer numbers of it are fewer columns

    @property
    def family(self) -> Family:
        return FAMILIES[self.model_type]

    @property
    def decodes(self) -> bool:
        """Whether it is run token by token, with a cache of keys and values."""
        return task_named(self.task).decodes

    @property
    def stored_layers(self) -> tuple[LayerShape, ...]:
        """The layers that have weights of their own."""
        return self.layers[:1] if self.family.shared_layers else self.layers

    @property
    def params(self) -> int:
        """Parameters, computed from the shape; a built model's are counted."""
        missing_norm = self._norm(self.hidden) if self.family.first_layer_stays else 0
        layers = sum(self.layer_params(layer) for layer in self.stored_layers) - missing_norm
        bias_table = self.bias_rows * (self.hidden // self.head_dim)
        bias_table += self.distance_rows * self.hidden + self._norm(self.hidden) * bool(self.distance_rows)
        return self.embedding_params + layers + bias_table + self._head_params

    @property
    def token_table(self) -> int:
        """Weights of the table of tokens, which a decoder's head reads too: that one is never factored."""
        whole = self.vocab * self.embedding
        return whole if self.family.causal else round(whole * (1 - self.factorized))

    @property
    def embedding_params(self) -> int:
        family = self.family
        tables = self.token_table
        other_width = self.hidden if self.bottleneck else self.embedding  # of the tables beside the tokens', and the norm
        tables += (self.positions * family.position_table + self.token_types) * other_width
        together = family.projected_embeddings or int(self.embedding != self.hidden)
        projection = (together * self.embedding + 1) * self.hidden if together else 0
        return tables + self._norm(other_width) * family.embedding_norm + projection

    def linear_weights(self, layer: LayerShape) -> int:
        """Weights of a layer's matrix products: its multiply-accumulates for one token."""
        inside, width = self.bottleneck or self.hidden, layer.heads * self.head_dim
        kv_width = width // self.kv_groups
        attention = inside * 2 * width + (inside + self.hidden) * kv_width
        ffns = self.ffns * inside * layer.ffn * (len(self.family.ffn_in) + 1)
        return round((attention + ffns) * (1 - self.factorized)) + self.ways_in_and_out

    @property
    def ways_in_and_out(self) -> int:
        """Weights of the products into a layer's bottleneck and out of it, which are never factored; 0 where there is none."""
        return 3 * self.hidden * self.bottleneck if self.bottleneck else 0

    @property
    def vocabulary_head_weights(self) -> int:
        """Of an encoder's head for masked words: its multiply-accumulates for one token."""
        return (self.hidden + self.vocab) * self._words_width if self.vocabulary_head else 0

    @property
    def _words_width(self) -> int:
        return self.hidden if self.bottleneck else self.embedding

    def layer_params(self, layer: LayerShape) -> int:
        family, inside, width = self.family, self.bottleneck or self.hidden, layer.heads * self.head_dim
        biases = family.qkv_biases * (width + 2 * (width // self.kv_groups))
        biases += family.output_biases * (inside + self.ffns * (layer.ffn + inside))
        norms = (family.layer_norms - 1 + self.ffns) * self._norm(inside) + 2 * self.head_dim * (family.head_norms and layer.heads > 0)
        if self.bottleneck:  # two ways in, one way out, each with a norm
            biases += 2 * inside + self.hidden
            norms += 2 * self._norm(inside) + self._norm(self.hidden)
        return self.linear_weights(layer) + biases + norms

    def _norm(self, width: int) -> int:
        return width * (2 if self.family.norm_biases else 1)

    @property
    def _head_params(self) -> int:
        family, hidden = self.family, self.hidden
        final_norm = self._norm(hidden) * family.final_norm
        if family.causal:
            return final_norm + (self.vocab * hidden if self.decodes and not self.tied else 0)
        if family.dense_head == "always":
            dense = hidden * hidden + self._norm(hidden) if self.labels else 0
        else:
            dense = hidden * (hidden + 1) if task_named(self.task).dense_head else 0
        words = self.vocabulary_head_weights + self._words_width + self._norm(self._words_width) + self.vocab
        return final_norm + dense + words * self.vocabulary_head + self.labels * (hidden + 1)

    def resized(self, layers: tuple[LayerShape, ...], hidden: int) -> "ModelShape":
        embedding = hidden if self.embedding == self.hidden else self.embedding
        return self.model_copy(update={"layers": layers, "hidden": hidden, "embedding": embedding})

    def name(self) -> str:
        """Depth x width as the user writes it: `3x384`."""
        return f"{len(self.layers)}x{self.hidden}"


def task_of(config: Mapping[str, Any], place: str) -> str:
    """The task that the model's head was made for, by the class name in its config."""
    names = config.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise EdgepackError(f"wrong value in {place} architectures: {shown(names)}", 'it is a list, such as ["BertForMaskedLM"]')
    heads = sorted(((ending, task.name) for task in all_tasks() for ending in task.architectures), key=lambda head: -len(head[0]))
    for name in names:
        for ending, task in heads:  # the longest first: `LMHeadModel` is a `Model` too
            if name.endswith(ending) and not name.endswith("ForPreTraining"):
                return task
    raise EdgepackError(
        f"no task can be read from {place}: architectures {names!r}",
        "edgepack builds fine-tuned models: name the task with --task, or fine-tune a head first",
    )


def read_shape(config: Mapping[str, Any], task: str, stored_rows: list[dict[str, int]] | None, place: str) -> ModelShape:
    """The shape that a config.json states; `stored_rows` is a pruned checkpoint's own list of heads and FFN widths by layer."""
    family = family_of(config, place)
    if task_named(task).decodes and family.config_bidirectional and config.get(family.config_bidirectional):
        raise EdgepackError(
            f"{place} states {family.config_bidirectional} = true: such a {family.model_type} sees whole texts and cannot write them",
            "use --task feature-extraction",
        )
    stated = _Stated(config, family, place)
    count = stated.number(family.config_layers, 0 if family.is_table else 1, _MOST_LAYERS)
    heads = stated.number(family.config_heads, 1, _MOST_HEADS)
    hidden = stated.number(family.config_hidden, 1, _MOST_WIDTH)
    ffn = stated.number(family.config_ffn, 1, 8 * _MOST_WIDTH, 4 * hidden)  # GPT-2 leaves it open
    bottleneck = stated.number(family.config_bottleneck, 1, _MOST_WIDTH, None) if family.config_bottleneck else None
    head_dim = stated.number("head_dim", 1, _MOST_WIDTH, (bottleneck or hidden) // heads)
    unequal = config.get("head_dim") is None and (bottleneck or hidden) % heads
    if head_dim < 1 or unequal or hidden // head_dim > _MOST_HEADS:
        raise EdgepackError(f"{place} states {heads} heads for a width of {hidden}: {family.config_heads}", "save the model again")
    kv_heads = stated.number("num_key_value_heads", 1, heads, heads)
    return ModelShape(
        model_type=family.model_type,
        task=task,
        layers=_layers(family, count, LayerShape(heads=heads, ffn=ffn), stored_rows, place),
        hidden=hidden,
        head_dim=head_dim,
        kv_groups=heads // kv_heads,
        vocab=stated.number("vocab_size", 1, _MOST_ROWS),
        positions=stated.number(family.config_positions, 1, _MOST_ROWS),
        token_types=stated.number("type_vocab_size", 0, _MOST_WIDTH, 0) * family.token_types,
        embedding=stated.number("embedding_size", 1, _MOST_WIDTH, hidden),
        labels=_labels(config, task, place),
        tied=stated.switch("tie_word_embeddings", family.tied_unless_stated),
        bottleneck=bottleneck,
        distance_rows=2 * stated.number(family.config_distances, 0, _MOST_ROWS) if family.config_distances else 0,
        bias_rows=stated.number(family.config_bias_rows, 0, _MOST_ROWS) if family.config_bias_rows else 0,
        ffns=stated.number(family.config_ffns, 1, _MOST_LAYERS, 1) if family.config_ffns else 1,
    )


_NEEDED = object()


@dataclass(frozen=True)
class _Stated:
    """A config.json, asked for one key after the other. EdgepackError names the key whose value no model can have."""

    config: Mapping[str, Any]
    family: Family
    place: str

    def number(self, key: str, least: int, most: int, otherwise: Any = _NEEDED) -> Any:
        """otherwise: what stands for a key that is absent or null."""
        value = self.config.get(key)
        if value is None and otherwise is not _NEEDED:
            return otherwise
        if key not in self.config:
            raise EdgepackError(f"missing key in {self.place}: {key!r}", f"a {self.family.model_type} config states it")
        if type(value) is not int or not least <= value <= most:
            raise EdgepackError(
                f"wrong value in {self.place} {key}: {shown(value)}", f"a {self.family.model_type} has an integer from {least} to {most:,}"
            )
        return value

    def switch(self, key: str, otherwise: bool) -> bool:
        value = self.config.get(key, otherwise)
        if not isinstance(value, bool):
            raise EdgepackError(f"wrong value in {self.place} {key}: {shown(value)}", "it is true or false")
        return value


def _layers(family: Family, count: int, whole: LayerShape, stored_rows: list[dict[str, int]] | None, place: str) -> tuple[LayerShape, ...]:
    if stored_rows is None:
        return (whole,) * count
    rows = tuple(LayerShape.read(row, place) for row in stored_rows)
    stored = 1 if family.shared_layers else count
    if any(row.heads < 0 or row.heads > whole.heads or row.ffn < 0 or row.ffn > whole.ffn for row in rows):
        raise EdgepackError(f"{place}: the checkpoint's list has a layer that is larger than the model's", "export the checkpoint again")
    if len(rows) != stored:
        raise EdgepackError(f"{place} states {stored} layers, the checkpoint's list {len(rows)}", "export the checkpoint again")
    return rows * count if family.shared_layers else rows


def _labels(config: Mapping[str, Any], task: str, place: str) -> int:
    stated = task_named(task).head_outputs
    return len(label_names(config, place)) if stated is None else stated
