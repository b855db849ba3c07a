"""Markdown tables, and what a record's fields mean: from their descriptions, or from the comments and docstrings beside them."""

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

GENERATED = "<!-- Written by docs/generate.py. Change the code, then run it again. -->"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ").strip() or " "


def fields_table(record: type[BaseModel], known: dict[type[BaseModel], str], meanings: dict[str, str] | None = None) -> str:
    """Key, type, default and meaning of each field; `known` links records that have a section of their own.

    meanings: by key, for fields of which the code says nothing.
    """
    rows = [
        (
            f"`{field.alias or name}`",
            _type_name(field.annotation, known),
            _default(field),
            _meaning(record, name, field) or (meanings or {}).get(name, ""),
        )
        for name, field in record.model_fields.items()
    ]
    return table(("key", "type", "default", "meaning"), rows)


def records_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [record for argument in get_args(annotation) for record in records_in(argument)]


def summary(record: type[BaseModel]) -> str:
    text = inspect.getdoc(record) or ""
    return "" if text == inspect.getdoc(BaseModel) else text.partition("\n\n")[0].replace("\n", " ")


def _type_name(annotation: Any, known: dict[type[BaseModel], str]) -> str:
    origin, inner = (
        get_origin(annotation),
        [_type_name(part, known) for part in get_args(annotation) if isinstance(part, type) or get_args(part)],
    )
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if origin is Annotated:
        return inner[0]
    if origin is tuple:
        return f"list of {inner[0]}"
    if origin is dict:
        return f"object: {inner[0]} to {inner[1]}"
    return " or ".join(inner) if inner else _plain_type(annotation, known)


def _plain_type(annotation: Any, known: dict[type[BaseModel], str]) -> str:
    if annotation in known:
        return f"[{annotation.__name__}](#{known[annotation]})"
    words = {"str": "text", "float": "number", "int": "whole number", "bool": "true or false", "NoneType": "null", "object": "any value"}
    return words.get(annotation.__name__, annotation.__name__)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None or isinstance(value, BaseModel) or value in ((), {}, ""):
        return "none"
    return f"`{value}`"


def _meaning(record: type[BaseModel], name: str, field: FieldInfo) -> str:
    stated = field.description or next((note.help for note in field.metadata if hasattr(note, "help")), "")
    if stated:
        return stated
    owner = next((base for base in record.__mro__ if name in inspect.get_annotations(base)), record)
    line = re.search(rf"^    {name}: [^#\n]*#\s*(.+)$", inspect.getsource(owner), re.MULTILINE)
    if line and not line[1].startswith("noqa"):
        return line[1]
    text = " ".join((inspect.getdoc(owner) or "").split())
    mention = re.search(rf"(?:^|[.;] ){name}: (.+?)(?=[.;] \w+: |\.?$)", text)
    return mention[1].strip() if mention else ""
