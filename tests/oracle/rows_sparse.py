"""SparseEncoder of sentence-transformers (SPLADE): each activation and strategy, families with another head, what is refused."""

import json
from functools import partial
from pathlib import Path

import libraries
import small
import torch
import transformers
from rows_basic import TEXTS
from rows_embeddings import PROMPTED, PROMPTS, Part, row, sentence, write_json
from situation import Situation

from edgepack.model.tiny_model import enlarged

MLM = "sentence_transformers.sparse_encoder.models.MLMTransformer"
PLAIN = "sentence_transformers.base.modules.transformer.Transformer"


def splade(strategy: str = "max", activation: str = "relu", **more: object) -> Part:
    config = {"pooling_strategy": strategy, "activation_function": activation, "word_embedding_dimension": 400} | more
    return "sentence_transformers.sparse_encoder.models.SpladePooling", config


def folder_of(folder: Path, part: Part = splade(), family: str = "bert", first: str = MLM, **more: object) -> None:  # noqa: B008
    """As SparseEncoder.save_pretrained writes it: the transformer with its head for masked words, and a pooling of its logits."""
    stated = {"model_type": "SparseEncoder"} | more.pop("prompts", {})
    sentence(folder, [part], family, prompts=stated, **more)
    config = transformers.AutoConfig.from_pretrained(folder)
    torch.manual_seed(1)
    model = transformers.AutoModelForMaskedLM.from_config(config, dtype=torch.float32)
    enlarged(model)
    model.save_pretrained(folder)
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    modules[0]["type"] = first
    write_json(folder / "modules.json", modules)


def sparse(name: str, calls=TEXTS, refused: str | None = None, recipe: dict | None = None, **more: object) -> Situation:
    make, oracle = partial(folder_of, **more), libraries.embed_sparse
    return Situation(f"SparseEncoder: {name}", "feature-extraction", make, calls, oracle, recipe or {}, refused)


FILL = {"transformer_task": "fill-mask"}
SITUATIONS = [
    sparse("SPLADE"),
    sparse("the sum of log1p_relu", part=splade("sum", "log1p_relu")),
    sparse("the largest of log1p_relu", part=splade("max", "log1p_relu", chunk_size=4)),
    *(sparse(family, family=family) for family in small.ENCODERS if family != "bert"),
    sparse("as version 5.4 writes it", first=PLAIN, bert_config=FILL, prompts={"model_type": "SparseEncoder", "similarity_fn_name": "dot"}),
    sparse("a default prompt", PROMPTED, prompts={"prompts": PROMPTS, "default_prompt_name": "query"}),
    sparse("the largest weights alone", prompts={"max_active_dims": 8}),
    sparse("no weight at all", refused="max_active_dims = 0", prompts={"max_active_dims": 0}),
    sparse("another strategy", refused="pooling_strategy.*mean", part=splade("mean")),
    sparse("fewer dimensions", refused="--dimensions 8", recipe={"dimensions": 8}),
    sparse("hidden states in place of logits", refused="transformer_task", first=PLAIN),
    row("SparseAutoEncoder", [("sentence_transformers.sparse_encoder.models.SparseAutoEncoder", {})], refused="SparseAutoEncoder"),
]  # fmt: skip
