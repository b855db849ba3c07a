"""What tokenizer_config.json and tokenizer.json state: where texts are cut, types of tokens, added tokens, cases, padding."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import libraries
from rows_basic import PAIRS, TEXTS, make
from rows_labels import stated
from rows_tags import PLACED, of_kind
from situation import Calls, Situation
from tokenizers import AddedToken
from transformers import AutoTokenizer

UNTYPED = ["input_ids", "attention_mask"]
ONNX = ("onnx",)
LONG = (("turn on the light in the kitchen and then play some music " * 20,), ("call mum",))
TYPED = (*PAIRS[:2], ("play", "music"))


def with_statement(folder: Path, family: str = "bert", file: str = "tokenizer_config.json", **keys: object) -> None:
    stated(folder, family, file, **keys)


def with_tokens(folder: Path, *tokens: tuple[str, dict[str, bool]]) -> None:
    """Embeddings have a row for each of them."""
    make(folder, "bert")
    from transformers import AutoModelForSequenceClassification

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken(text, **settings) for text, settings in tokens])
    model.resize_token_embeddings(len(tokenizer))
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def adding(*tokens: tuple[str, dict[str, bool]]) -> Callable[[Path], None]:
    return lambda folder: with_tokens(folder, *tokens)


def beyond(folder: Path, special: bool) -> None:
    """A token that the embeddings have no row for."""
    make(folder, "bert")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken("kitchen!", special=special)])
    tokenizer.save_pretrained(folder)


def large(folder: Path) -> None:
    """A tokenizer.json as large as that of XLM-RoBERTa."""
    make(folder, "bert")
    path = folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8") + " " * 17_000_000, encoding="utf-8")


def of_kind_cut_left(folder: Path, kind: str) -> None:
    of_kind(folder, kind)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"truncation_side": "left"}), encoding="utf-8")


def with_dropout(folder: Path) -> None:
    of_kind(folder, "roberta")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"]["dropout"] = 0.1
    path.write_text(json.dumps(content), encoding="utf-8")


def row(name: str, make: Callable[[Path], object], calls: Calls = TEXTS, refused: str | None = None, **more: object) -> Situation:
    more = {"formats": ONNX, "oracle": libraries.classify} | more
    task = more.pop("task", "text-classification")
    return Situation(f"tokenizers: {name}", task, make, calls, refused=refused, **more)


def tags(name: str, make: Callable[[Path], object], calls: Calls = TEXTS, **more: object) -> Situation:
    return row(name, make, calls, task="token-classification", oracle=libraries.entities, **more)


ADDED = (("play some JAZZ now",), ("playJAZZnow JAZZ",), ("a <new> b<new>c  <new>  d",))
SITUATIONS = [
    row("cut on the left", partial(with_statement, truncation_side="left"), LONG, formats=("onnx", "tflite")),
    row("cut on the left, pairs", partial(with_statement, truncation_side="left"), PAIRS),
    row("a short limit", partial(with_statement, model_max_length=12), (*LONG, *TEXTS)),
    row("a short limit, pairs", partial(with_statement, model_max_length=12), PAIRS),
    row("no types of tokens given", partial(with_statement, model_input_names=UNTYPED), TYPED, formats=("onnx", "tflite")),
    row("types of tokens given", partial(with_statement, model_input_names=[*UNTYPED, "token_type_ids"]), TYPED),
    row("padding on the left", partial(with_statement, padding_side="left")),
    row("blanks cleaned up", partial(with_statement, clean_up_tokenization_spaces=True)),
    row("special tokens split", partial(with_statement, split_special_tokens=True), refused="split_special_tokens = True"),
    row("pieces at random", with_dropout, refused="model.dropout = 0.1"),
    row("a padding token beyond the rows", partial(with_statement, file="config.json", pad_token_id=99999), refused="pad_token_id = 99999"),
    row("a token beyond the embeddings", partial(beyond, special=False), refused="kitchen!.*vocab_size = "),
    row("a special token beyond the embeddings", partial(beyond, special=True)),
    row("a file of 17 MB", large),
    row("added tokens", adding(("JAZZ", {}), ("<new>", {"special": True})), ADDED),
    row("added tokens that take blanks", adding(("JAZZ", {"lstrip": True}), ("<new>", {"rstrip": True})), ADDED),
    row("added tokens, normalized or not", adding(("JAZZ", {"normalized": True}), ("<new>", {"normalized": False})), ADDED),
    *(tags(f"cut on the left, {kind}", partial(of_kind_cut_left, kind=kind), LONG) for kind in (PLACED[0], PLACED[2])),
]
