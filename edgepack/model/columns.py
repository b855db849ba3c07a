"""Which column each field of a row is read from: what the user names, else by name, else by content."""

import math
from typing import Any

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.model.readers import Record
from edgepack.plan.recipe import Columns

_TEXT_NAMES = ("text", "sentence", "sentence1", "premise", "question1", "question", "utterance", "query", "content", "review", "input")
_PAIR_NAMES = ("text_pair", "sentence2", "hypothesis", "question2", "pair")
_LABEL_NAMES = ("label", "labels", "category", "intent", "class", "target", "sentiment", "y")
_SIMILARITY_NAMES = (*_LABEL_NAMES, "score", "similarity", "similarity_score", "gold")
_GROUP_NAMES = ("language", "lang", "group")
_MOST_GROUPS = 100


def choose_columns(first: Record, records: list[Record], task: str, wished: Columns) -> dict[str, str]:
    """Which column each field of a row is read from: what the user names, else by name, else by content."""
    fixed = {"token-classification": ("words", "tags"), "question-answering": ("question", "context", "answers")}
    if task in fixed:
        found = _fixed_columns(first, task, fixed[task])
        return found | _guess_group(records, list(first.values), found)
    names = list(first.values)
    chosen = {key: value for key, value in wished.model_dump().items() if value}
    for key, name in chosen.items():
        if name not in names:
            raise EdgepackError(f"{first.place} has no column {name!r} for {key}", did_you_mean(name, names))
    if task == "text-classification" and "label" not in chosen:
        chosen["label"] = _guess_label(first, records, names)
    chosen |= _guess_group(records, names, chosen)
    texts = [name for name in names if name not in chosen.values()]
    if "text" not in chosen:
        chosen["text"] = guess_text(first, records, texts)
    pair = next((name for name in texts if name.lower() in _PAIR_NAMES and name != chosen["text"]), None)
    if "text_pair" not in chosen and pair and task != "text-generation":
        chosen["text_pair"] = pair
    return chosen | _guess_gold(records, names, chosen) if task == "feature-extraction" else chosen


def _guess_group(records: list[Record], names: list[str], chosen: dict[str, str]) -> dict[str, str]:
    """A column of languages or the like; one with a value of its own for nearly every row groups nothing."""
    found = [name for wanted in _GROUP_NAMES for name in names if name.lower() == wanted and name not in chosen.values()]
    few = [name for name in found if len({str(record.values.get(name)) for record in records}) <= _MOST_GROUPS]
    return {"group": few[0]} if few else {}


def _guess_gold(records: list[Record], names: list[str], chosen: dict[str, str]) -> dict[str, str]:
    """The column of pairs' similarities: the one that the user calls the label, else one that is called so and holds numbers."""
    wished = chosen.pop("label", None)
    if "text_pair" not in chosen:
        return {}
    found = [name for wanted in _SIMILARITY_NAMES for name in names if name.lower() == wanted and name not in chosen.values()]
    if wished or found:
        wrong = next((record for record in records if as_number(record.values.get(wished or found[0])) is None), None)
        if wrong is None:
            return {"gold": wished or found[0]}
        if wished:
            value = wrong.values.get(wished)
            raise EdgepackError(
                f"{wrong.place}: {value!r} in column {wished!r} is no similarity", "give numbers, higher for pairs more alike"
            )
    return {}


def as_number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _fixed_columns(first: Record, task: str, needed: tuple[str, ...]) -> dict[str, str]:
    aliases = {"words": ("words", "tokens"), "tags": ("tags", "ner_tags", "labels")}
    found = {name: next((a for a in aliases.get(name, (name,)) if a in first.values), None) for name in needed}
    if missing := [name for name, column in found.items() if column is None]:
        raise EdgepackError(
            f"{first.place} has no {missing[0]} for {task}: its columns are {', '.join(first.values)}",
            "give CoNLL files" if task == "token-classification" else "give SQuAD json",
        )
    return {name: column for name, column in found.items() if column}


def _guess_label(first: Record, records: list[Record], names: list[str]) -> str:
    named = [name for wanted in _LABEL_NAMES for name in names if name.lower() == wanted]
    if named:
        return named[0]
    if len(names) == 2:  # a table without a header: labels repeat, texts do not
        return min(names, key=lambda name: len({str(record.values.get(name)) for record in records}))
    raise EdgepackError(f"{first.place}: which column is the label? It has {', '.join(names)}", "name it with --label-column")


def guess_text(first: Record, records: list[Record], names: list[str]) -> str:
    named = [name for wanted in _TEXT_NAMES for name in names if name.lower() == wanted]
    if named:
        return named[0]
    strings = [name for name in names if isinstance(first.values[name], str)]
    if not strings:
        raise EdgepackError(f"{first.place}: no column holds text: {', '.join(names)}", "name it with --text-column")
    return max(strings, key=lambda name: sum(len(str(record.values.get(name))) for record in records))
