"""A model's shape, read from its config alone: what size, memory and latency follow from. No torch, no weights."""

from collections.abc import Mapping
from typing import Any

from edgepack.errors import EdgepackError
from edgepack.families import FAMILIES, family_of
from edgepack.frozen import Frozen

# Which head stands on the base model; `base` is a model without one.
_HEADS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "Model": "feature-extraction",
}


class LayerShape(Frozen):
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
    embedding: int  # width of the embedding tables (ELECTRA's differs from hidden)
    labels: int

    @property
    def params(self) -> int:
        """Parameters, computed from the shape; a built model's are counted."""
        return self.embedding_params + sum(self.layer_params(layer) for layer in self.layers) + self._head_params

    @property
    def embedding_params(self) -> int:
        llama = FAMILIES[self.model_type].causal
        rows = self.vocab + (0 if llama else self.positions + self.token_types)
        norm = 0 if llama else 2 * self.embedding
        projection = (self.embedding + 1) * self.hidden if self.embedding != self.hidden else 0
        return rows * self.embedding + norm + projection

    def linear_weights(self, layer: LayerShape) -> int:
        """Weights of a layer's matrix products: its multiply-accumulates for one token."""
        width = layer.heads * self.head_dim
        attention = self.hidden * width * 2 + self.hidden * (width // self.kv_groups) * 2
        return attention + self.hidden * layer.ffn * (len(FAMILIES[self.model_type].ffn_in) + 1)

    def layer_params(self, layer: LayerShape) -> int:
        family = FAMILIES[self.model_type]
        width = layer.heads * self.head_dim
        biases = width + 2 * (width // self.kv_groups) + self.hidden + layer.ffn + self.hidden if family.biases else 0
        norm = self.hidden * (2 if family.biases else 1)
        return self.linear_weights(layer) + biases + family.norms_per_layer * norm

    @property
    def _head_params(self) -> int:
        if FAMILIES[self.model_type].causal:
            return self.hidden  # the last norm; the head is tied to the embeddings
        dense = self.hidden * (self.hidden + 1)
        has_dense = self.task == "text-classification"  # BERT's pooler, the others' inner layer
        return (dense if has_dense else 0) + self.labels * (self.hidden + 1)

    def resized(self, layers: tuple[LayerShape, ...], hidden: int) -> "ModelShape":
        embedding = hidden if self.embedding == self.hidden else self.embedding
        return self.model_copy(update={"layers": layers, "hidden": hidden, "embedding": embedding})

    def name(self) -> str:
        """Depth x width as the user writes it: `3x384`."""
        return f"{len(self.layers)}x{self.hidden}"


def task_of(config: Mapping[str, Any], place: str) -> str:
    """The task that the model's head was made for, by the class name in its config."""
    names = config.get("architectures") or []
    for name in names:
        for ending, task in _HEADS.items():
            if name.endswith(ending) and not name.endswith("ForPreTraining"):
                return task
    raise EdgepackError(
        f"no task can be read from {place}: architectures {names!r}",
        "edgepack builds fine-tuned models: name the task with --task, or fine-tune a head first",
    )


def read_shape(config: Mapping[str, Any], task: str, kept: list[dict[str, int]] | None, place: str) -> ModelShape:
    """The shape that a config.json states; `kept` is a pruned checkpoint's own list of heads and FFN widths by layer."""
    family = family_of(config, place)
    try:
        count, heads = config[family.config_layers], config[family.config_heads]
        hidden, ffn = config[family.config_hidden], config[family.config_ffn]
        vocab, positions = config["vocab_size"], config["max_position_embeddings"]
    except KeyError as missing:
        raise EdgepackError(f"missing key in {place}: {missing.args[0]!r}", f"a {family.model_type} config states it") from None
    layers = [LayerShape(heads=heads, ffn=ffn)] * count if kept is None else [LayerShape.read(row, place) for row in kept]
    if len(layers) != count:
        raise EdgepackError(f"{place} states {count} layers, the checkpoint's list {len(layers)}", "export the checkpoint again")
    return ModelShape(
        model_type=family.model_type,
        task=task,
        layers=tuple(layers),
        hidden=hidden,
        head_dim=config.get("head_dim") or hidden // heads,
        kv_groups=heads // (config.get("num_key_value_heads") or heads),
        vocab=vocab,
        positions=positions,
        token_types=config.get("type_vocab_size", 0),
        embedding=config.get("embedding_size", hidden),
        labels=_labels(config, task),
    )


def _labels(config: Mapping[str, Any], task: str) -> int:
    if task in ("feature-extraction", "text-generation"):
        return 0
    return 2 if task == "question-answering" else len(config.get("id2label") or (0, 1))
