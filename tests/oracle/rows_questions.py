"""Questions: long contexts in several windows, and models that may give no answer (SQuAD 2)."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import libraries
from rows_basic import make
from situation import Situation

LONG = (
    ("what is on?", "The light in the kitchen is on. " * 9 + "Naïve Zoë plays the radio."),
    ("who calls at nine?", "play music and set the heating to 21 degrees, " * 20),
    ("is it on?", "the light is on and 🔥 burns. " * 6),
)
QUESTIONS = ("what is on?", "who calls?", "is the light on?", "what plays?", "where is the radio?", "how warm is it?")
CONTEXTS = (
    "the light in the kitchen is on and the radio plays.",
    "Zoë called twice, then Ünal did.",
    "set the heating to 21 degrees " * 12,
)
ROWS = [(question, context) for context in CONTEXTS for question in QUESTIONS]


def with_data(folder: Path, family: str) -> None:
    """The model, and beside it data in SQuAD 2's layout: every second question has no answer in its context."""
    make(folder, family, task="question-answering")
    place = folder.parent / "squad"
    place.mkdir(exist_ok=True)
    paragraphs = []
    for index, (question, context) in enumerate(ROWS):
        start = index % 5
        text = context[start : start + 9].strip()
        answers = [] if index % 2 else [{"text": text, "answer_start": context.index(text)}]
        entry = {"id": str(index), "question": question, "is_impossible": bool(index % 2), "answers": answers}
        plausible = {"plausible_answers": [{"text": "x", "answer_start": 0}]} if index % 2 else {}
        paragraphs.append({"context": context, "qas": [entry | plausible]})
    for split in ("train", "dev", "test"):
        content = {"version": "v2.0", "data": [{"title": "all", "paragraphs": paragraphs}]}
        (place / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")


def truths() -> list[list[str]]:
    return [[] if index % 2 else [context[index % 5 : index % 5 + 9].strip()] for index, (_, context) in enumerate(ROWS)]


def row(family: str, name: str, calls: tuple, oracle: Callable, **recipe: object) -> Situation:
    make_it = partial(with_data, family=family)
    formats = ("onnx", "tflite") if family == "bert" else ("onnx",)
    return Situation(f"{family}: {name}", "question-answering", make_it, calls, oracle, recipe, formats=formats)


WITH_NONE = partial(libraries.answer_or_none, dev=ROWS, truths=truths())

SITUATIONS = [
    *(row(family, "a long context", LONG, libraries.answer_in_windows) for family in ("bert", "roberta", "distilbert", "electra")),
    *(row(family, "no answer", tuple(ROWS), WITH_NONE, data="{beside}/squad") for family in ("bert", "roberta", "mpnet", "xlm-roberta")),
]
