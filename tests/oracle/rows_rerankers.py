"""Folders of CrossEncoders: one logit or many, and the function behind them."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import libraries
from rows_basic import PAIRS, make
from rows_embeddings import chatting
from situation import Calls, Situation

QUERIES = (*PAIRS[:2], ("naïve café", "zero\u200bwidth"), ("play some Jazz, please!", "!!! ???"))
EMPTY = (("turn on the light", ""), ("", ""), ("", "play some Jazz"), ("turn on the light", " "), (" ", " \t"))
SIGMOID, IDENTITY = "torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity"
OLDER = {"sbert_ce_default_activation_function": IDENTITY}


def reranker(folder: Path, labels: int, family: str = "bert", after: Callable[[Path], object] | None = None, **config: object) -> None:
    make(folder, family, labels=tuple(f"LABEL_{index}" for index in range(labels)))
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | config), encoding="utf-8")
    if after:
        after(folder)


def saved_by_the_library(folder: Path, **settings: object) -> None:
    """As version 6 writes it, with modules.json."""
    from sentence_transformers import CrossEncoder

    CrossEncoder(str(folder), device="cpu", local_files_only=True, **settings).save_pretrained(str(folder))


def beside_the_config(folder: Path) -> None:
    stated = {"model_type": "CrossEncoder", "activation_fn": IDENTITY, "__version__": {"sentence_transformers": "5.0.0"}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(stated), encoding="utf-8")


def with_corpus(folder: Path) -> None:
    """As version 6 writes it, and beside it a file of the texts that a cut vocabulary is to keep."""
    saved_by_the_library(folder)
    (folder.parent / "corpus.txt").write_text("".join(f"{text}\n" for pair in QUERIES for text in pair), encoding="utf-8")


def untyped(folder: Path) -> None:
    """BERT reads types of tokens, and its tokenizer gives none."""
    path = folder / "tokenizer_config.json"
    stated = json.loads(path.read_text(encoding="utf-8")) | {"model_input_names": ["input_ids", "attention_mask"]}
    path.write_text(json.dumps(stated), encoding="utf-8")


def row(
    name: str, labels: int, calls: Calls = QUERIES, refused: str | None = None, formats: tuple[str, ...] = ("onnx",), **more: object
) -> Situation:
    written = partial(reranker, labels=labels, **more)
    return Situation(f"CrossEncoder: {name}", "text-classification", written, calls, libraries.rerank, refused=refused, formats=formats)


def stated(activation: str) -> dict[str, object]:
    return {"sentence_transformers": {"activation_fn": activation, "version": "4.1.0"}}


SITUATIONS = [
    row("one logit, with the sigmoid", 1, **stated(SIGMOID)),
    row("one logit as it is", 1, **stated(IDENTITY)),
    row("one logit as it is, in the older key", 1, sbert_ce_default_activation_function=IDENTITY),
    row("one logit and no function", 1, sentence_transformers={"version": "4.1.0"}),
    row("three logits as they are", 3, **stated(IDENTITY)),
    row("three logits, each with the sigmoid", 3, **stated(SIGMOID)),
    row("RoBERTa, one logit", 1, family="roberta", **stated(SIGMOID)),
    row("as version 6 saves it", 1, after=saved_by_the_library),
    replace(
        row("three logits as version 6 saves them, with a cut vocabulary", 3, after=with_corpus),
        recipe={"vocabulary": "{beside}/corpus.txt"},
    ),
    row("as version 6 saves it, cut after few tokens", 1, after=partial(saved_by_the_library, max_length=16)),
    row("empty texts, each a text of the pair", 1, EMPTY, formats=("onnx", "tflite"), **stated(SIGMOID)),
    row("empty texts, RoBERTa", 3, EMPTY, family="roberta", **stated(IDENTITY)),
    row("a function stated in a file that is not read without modules.json", 1, after=beside_the_config, **stated(SIGMOID)),
    row("an older key beside an empty newer one", 1, sentence_transformers={"activation_fn": None}, **OLDER),
    row("no types of tokens given", 1, after=untyped, **stated(IDENTITY)),
    row("a chat template", 1, after=chatting(), refused="chat template and no modules.json", **stated(SIGMOID)),
    row("an activation of its own", 1, refused="activation_fn.*my_code", **stated("my_code.Scaled")),
]
