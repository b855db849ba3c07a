"""Every family with every task, as `save_pretrained` writes it: what holds before a folder says anything more."""

import json
from functools import partial
from pathlib import Path

import libraries
from situation import Situation
from small import CONFIGS, DECODERS, ENCODERS, make_model

TEXTS = (
    ("turn on the light in the kitchen",), ("play some Jazz, please!",), ("call Zoë — now",), ("naïve café \U0001f525 zero\u200bwidth",),
    ("set the heating to 21 degrees " * 30,), ("!!! ??? ...",),
)  # fmt: skip
PAIRS = (("turn on the light", "the light is on"), ("call mum", "play music " * 40), ("set the heat", ""))
QUESTIONS = (
    ("what is on?", "the light in the kitchen is on and the radio plays."),
    ("who calls?", "Zoë called twice, then Ünal did."),
)
PROMPTS = (("turn on the",), ("play some",), ("call",))
ENCODER_TASKS = ("text-classification", "token-classification", "question-answering", "feature-extraction")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def make(folder: Path, family: str, layers: int = 2, **more: object) -> None:
    """Models without types of texts have a tokenizer that gives none, as theirs really do.

    layers: two are of all kinds that a family has (windows and none, positions turned and not), and export in half the time of four.
    """
    make_model(folder, family, layers=layers, **more)
    if getattr(CONFIGS[family](), "type_vocab_size", 0) < 2:
        path = folder / "tokenizer_config.json"
        stated = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(stated | {"model_input_names": ["input_ids", "attention_mask"]}), encoding="utf-8")


def row(family: str, task: str) -> Situation:
    calls, oracle, more = {
        "text-classification": (TEXTS, libraries.classify, {}),
        "token-classification": (TEXTS, libraries.entities, {"labels": TAGS}),
        "question-answering": (QUESTIONS, libraries.answer, {}),
        "feature-extraction": (TEXTS, libraries.embed, {}),
        "text-generation": (PROMPTS, libraries.generate, {}),
    }[task]
    refused = {
        "text-generation": {"android, tflite": "no text from a TFLite file"},
    }.get(task, {})
    return Situation(f"{family}: {task}", task, partial(make, family=family, task=task, **more), calls, oracle, refused_by=refused)


SITUATIONS = [
    *(row(family, task) for family in ENCODERS for task in ENCODER_TASKS),
    *(row(family, "text-generation") for family in DECODERS),
    *(
        Situation(f"{family}: sentence pairs", "text-classification", partial(make, family=family), PAIRS, libraries.classify)
        for family in ENCODERS
    ),
]
