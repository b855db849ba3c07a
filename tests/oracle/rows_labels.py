"""text-classification by what config.json says: the function that makes scores, several labels, numbers, names; and pairs."""

import json
from functools import partial
from pathlib import Path

import libraries
from rows_basic import TEXTS, make
from situation import Situation

ONNX = ("onnx",)
HOSTILE = ('a "quoted" one', "${x}", "</script>", "line\nbreak", "ünï\u202eçode", "")
EMPTY_SECOND = (("turn on the light", "the light is on"), ("set the heat", ""), ("", "music"), ("call mum " * 60, ""))


def stated(folder: Path, family: str = "bert", file: str = "config.json", drop: tuple[str, ...] = (), **keys: object) -> None:
    """A model whose config says so; weights stay as they are."""
    labels = keys.pop("labels", ("light_on", "music_play", "heat_set", "call"))
    make(folder, family, labels=labels)
    path = folder / file
    content = {key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if key not in drop}
    path.write_text(json.dumps(content | keys), encoding="utf-8")


def row(name: str, calls: object = TEXTS, formats: tuple[str, ...] = ONNX, refused: str | None = None, **keys: object) -> Situation:
    return Situation(
        f"labels: {name}", "text-classification", partial(stated, **keys), calls, libraries.classify, refused=refused, formats=formats
    )


SITUATIONS = [
    row("a regression of one number", problem_type="regression", labels=("stars",), formats=("onnx", "tflite")),
    row("a regression of several numbers", problem_type="regression"),
    row("several labels at once", problem_type="multi_label_classification", formats=("onnx", "tflite")),
    row("several labels at once, RoBERTa", family="roberta", problem_type="multi_label_classification"),
    row("one label of many, stated", problem_type="single_label_classification"),
    row("one logit", labels=("relevant",), formats=("onnx", "tflite")),
    row("one logit, of a pair", EMPTY_SECOND, labels=("relevant",), family="xlm-roberta"),
    row("one logit of several labels", labels=("toxic",), problem_type="multi_label_classification"),
    row("no names of labels", drop=("id2label", "label2id"), labels=("a", "b")),
    row("a number of labels without names", drop=("id2label", "label2id"), num_labels=4),
    row("another number of labels than names", id2label={"0": "a", "2": "c"}, num_labels=4),
    row("names in another order", id2label={"3": "d", "1": "b", "0": "a", "2": "c"}),
    row("names that are code elsewhere", labels=HOSTILE[:4]),
    row("names with hidden characters", labels=(*HOSTILE[4:], "c", "d")),
    row("two labels of one name", id2label={"0": "a", "1": "a", "2": "b", "3": "c"}),
    row("a label without a name", id2label={"0": "a", "2": "c", "3": "d", "4": "e"}, refused="id2label has 4 labels.*no name for 1"),
    row("a function that the pipeline never reads", function_to_apply="sigmoid"),
    row("a problem that nobody knows", problem_type="ranking", refused="problem_type: 'ranking'"),
    row("one label of one", problem_type="single_label_classification", labels=("a",), refused="requires .num_labels > 1"),
    row("an empty second text", EMPTY_SECOND, formats=("onnx", "tflite")),
    row("an empty second text, RoBERTa", EMPTY_SECOND, family="roberta"),
    row("an empty second text, DeBERTa", EMPTY_SECOND, family="deberta-v2"),
]
