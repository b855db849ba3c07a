"""Which column each field of a row is read from: what the user names, else by name, else by content. And rows of plain texts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.showing import shown
from edgepack.tasks.common.rows import Record, Row

_TEXT_NAMES = ("text", "sentence", "sentence1", "premise", "question1", "question", "utterance", "query", "content", "review", "input")
_PAIR_NAMES = ("text_pair", "sentence2", "hypothesis", "question2", "pair")
_LABEL_NAMES = ("label", "labels", "category", "intent", "class", "target", "sentiment", "y")
SIMILARITY_NAMES = (*_LABEL_NAMES, "score", "similarity", "similarity_score", "gold")
_GROUP_NAMES = ("language", "lang", "group")
_MOST_GROUPS = 100
_FEWEST_TO_REPEAT = 8  # rows in which a label stands twice

_TEXTS, _LISTS = ("text", "text_pair", "question", "context"), ("words", "tags")  # fields by what their columns must hold

OPTIONAL_FIELDS = ("group", "gold")  # of a row: its column may be empty
FLAG = "flag "  # before a label's number: a field of a row that says whether the label holds


def may_be_anything(field: str) -> bool:
    """Whether a field's column may be empty, or hold numbers where others hold texts."""
    return field in OPTIONAL_FIELDS or field.startswith(FLAG)


def misfit(field: str, value: Any) -> str | None:
    """What a value is that a field cannot be read from: a text that is a list would become its brackets and quotes."""
    if field in _TEXTS and not isinstance(value, str):
        return "no text"
    if field == "tags" and isinstance(value, list | tuple) and not all(isinstance(each, str | int) for each in value):
        return "no list of names or numbers"
    if field in _LISTS and (not isinstance(value, list | tuple) or (field == "words" and not all(isinstance(each, str) for each in value))):
        return "no list of words" if field == "words" else "no list"
    return None


def text_columns(
    first: Record, records: list[Record], wished: Mapping[str, str | None], with_label: bool = False, with_pair: bool = True
) -> dict[str, str]:
    """Columns of a text, of its label and of a second text, where the task has these, and of a group."""
    names = list(first.values)
    column_of = {key: value for key, value in wished.items() if value}
    for key, name in column_of.items():
        if name not in names:
            raise EdgepackError(f"{first.place} has no column {name!r} for {key}", did_you_mean(name, names))
    if with_label and "label" not in column_of:
        column_of["label"] = _guess_label(first, records, names)
    column_of |= _guess_group(records, names, column_of)
    texts = [name for name in names if name not in column_of.values()]
    if "text" not in column_of:
        column_of["text"] = guess_text(first, records, texts)
    pair = next((name for name in texts if name.lower() in _PAIR_NAMES and name != column_of["text"]), None)
    if "text_pair" not in column_of and pair and with_pair:
        column_of["text_pair"] = pair
    twice = next((key for key, name in column_of.items() if list(column_of.values()).count(name) > 1), None)
    if twice:
        fields = " and ".join(key for key, name in column_of.items() if name == column_of[twice])
        problem = f"{first.place}: {fields} would be read from one column, {column_of[twice]!r}"
        raise EdgepackError(problem, f"name another column for one of them; the columns are {', '.join(names)}")
    return column_of


def fixed_columns(first: Record, records: list[Record], aliases: Mapping[str, Sequence[str]], task: str, fix: str) -> dict[str, str]:
    """Columns of fields that have fixed names, and of a group. EdgepackError with `fix`: the records lack one of them."""
    column_of = {key: next((name for name in names if name in first.values), None) for key, names in aliases.items()}
    if missing := [key for key, column in column_of.items() if column is None]:
        raise EdgepackError(f"{first.place} has no {missing[0]} for {task}: its columns are {', '.join(first.values)}", fix)
    known = {key: column for key, column in column_of.items() if column}
    return known | _guess_group(records, list(first.values), known)


def with_similarity(columns: dict[str, str], first: Record, records: list[Record]) -> dict[str, str]:
    """With the column of pairs' similarities: what the user calls the label, else what is called so and holds numbers."""
    column_of = dict(columns)
    wished = column_of.pop("label", None)
    if "text_pair" not in column_of:
        return column_of
    named = [name for wanted in SIMILARITY_NAMES for name in first.values if name.lower() == wanted and name not in column_of.values()]
    if not (wished or named):
        return column_of
    column = wished or named[0]
    wrong = next((record for record in records if as_number(record.values.get(column)) is None), None)
    if wrong is None:
        return column_of | {"gold": column}
    numbers = [each for record in records if (each := as_number(str(record.values.get(column)).replace(",", "."))) is not None]
    are_classes = column.lower() in _LABEL_NAMES and all(each.is_integer() for each in numbers)  # as of SNLI, where `-` is no class
    if wished or (len(numbers) > len(records) / 2 and not are_classes):  # a column of numbers in which a row is wrong, or has a comma
        raise EdgepackError(
            f"{wrong.place}: {wrong.values.get(column)!r} in column {column!r} is not a similarity",
            "give numbers with a point, higher for pairs more alike",
        )
    return column_of


def text_row(place: str, value: Mapping[str, Any], group: str | None) -> Row:
    """A row of a text, with a second text, a label and a similarity where there are such."""
    label = None if value.get("label") is None else _label(place, value["label"])
    pair = value.get("text_pair")
    pair = None if pair is None else str(pair)
    return Row(place, text=str(value["text"]), text_pair=pair, label=label, gold=as_number(value.get("gold")), group=group)


def _label(place: str, value: Any) -> str:
    """Of a list with one label too. EdgepackError: several labels, for a model that decides for one; or none."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, list | tuple | dict):
        problem = f"{place}: the label is {'a record' if isinstance(value, dict) else 'a list'}: {shown(value)}"
        raise EdgepackError(problem, "give one label a text, or a model with problem_type: multi_label_classification")
    label = str(value).strip()
    if not label:
        raise EdgepackError(f"{place} has an empty label", "fill it in, or drop the row")
    return label


def parts_of(rows: Sequence[Row]) -> list[str | tuple[str, ...]]:
    """The texts of rows: each part of a pair by itself, and words as they stand."""
    parts: list[str | tuple[str, ...]] = []
    for row in rows:
        parts += [row.words] if row.words else []
        parts += [part for part in (row.text, row.text_pair, row.context) if part and part.strip()]
    return parts


def as_number(value: Any) -> float | None:
    """A finite number, or None where the value is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):  # the last of an integer beyond every float
        return None
    return number if math.isfinite(number) else None


def guess_text(first: Record, records: list[Record], names: list[str]) -> str:
    """The column with the text: one with a usual name, else the one with the most characters. EdgepackError: no column holds text."""
    named = [name for wanted in _TEXT_NAMES for name in names if name.lower() == wanted]
    if filled := [name for name in named if any(record.values.get(name) not in (None, "") for record in records)]:
        return filled[0]
    strings = [name for name in names if isinstance(first.values[name], str)]
    if named and not strings:
        return named[0]
    if not strings:
        nested = [name for name in names if isinstance(first.values[name], list | tuple | dict)]
        problem = f"{first.place}: no column holds text. The columns are {', '.join(names)}"
        fix = f"write the text of {nested[0]!r} as a column of its own: edgepack reads none out of lists and records"
        raise EdgepackError(problem, fix if nested else "name it with --text-column")
    return max(strings, key=lambda name: sum(len(str(record.values.get(name))) for record in records))


def _guess_group(records: list[Record], names: list[str], column_of: dict[str, str]) -> dict[str, str]:
    """A column of languages or the like; a column with a value of its own for nearly every row groups nothing."""
    named = [name for wanted in _GROUP_NAMES for name in names if name.lower() == wanted and name not in column_of.values()]
    few = [name for name in named if len({str(record.values.get(name)) for record in records}) <= _MOST_GROUPS]
    return {"group": few[0]} if few else {}


def _guess_label(first: Record, records: list[Record], names: list[str]) -> str:
    named = [name for wanted in _LABEL_NAMES for name in names if name.lower() == wanted]
    if named:
        return named[0]
    if len(names) == 1:
        problem = f"{first.place}: there is no column for the label, {names[0]!r} is the only column"
        raise EdgepackError(problem, "give csv, tsv or jsonl with a text and its label in each row")
    if len(names) == 2:  # a table without a header: labels repeat, texts do not
        values = {name: len({str(record.values.get(name)) for record in records}) for name in names}
        if len(records) < _FEWEST_TO_REPEAT or min(values.values()) < len(records):
            return min(names, key=lambda name: values[name])
    raise EdgepackError(
        f"{first.place}: the label's column is not clear. The columns are {', '.join(names)}", "name it with --label-column"
    )
