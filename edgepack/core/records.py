"""Frozen records with strict reading: an unknown key, a missing key or a wrong type is an EdgepackError with a fix."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.showing import shown

Location = tuple[str, ...]  # the keys that lead to a value: ("budget", "file_mb")


class Frozen(BaseModel):
    """Base of every record that flows through edgepack."""

    # A record builds its reader when it is first read: a command does not pay for records that it never meets.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_by_name=True, validate_by_alias=True, defer_build=True)

    @classmethod
    def read(cls, data: Mapping[str, Any], place: str, name_of: Callable[[Location], str] | None = None) -> Self:
        """`data` (plain JSON or TOML values) as a record.

        place: the file that an error names. name_of: what an error calls a value where it has another name, such as a flag.
        EdgepackError: a key or a value is wrong.
        """
        try:
            text = json.dumps(data)
        except (TypeError, ValueError, RecursionError) as error:
            raise EdgepackError(f"{place} holds a value that is not plain: {error}", "write numbers, texts, lists and tables") from None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise _as_edgepack_error(cls, error, place, name_of) from None

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


class Stated(Frozen):
    """Base of the records that users write in Python: a wrong one is their mistake, so it is an EdgepackError there too.

    Neither infinite numbers nor nan: JSON has none, so that no pack could state them.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _as_edgepack_error(type(self), error, type(self).__name__, None) from None

    # As BaseModel marks its own: files are read without this __init__, so that an error there names the file.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


def _as_edgepack_error(
    cls: type[BaseModel], error: ValidationError, place: str, name_of: Callable[[Location], str] | None
) -> EdgepackError:
    details = error.errors(include_url=False)
    first = next((row for row in details if row["type"] == "extra_forbidden"), details[0])  # a misspelt key is also a missing one
    location = tuple(part for part in first["loc"] if isinstance(part, str))
    key = location[-1] if location else ""
    where = f"{place} [{'.'.join(location[:-1])}]" if location[:-1] else place
    value = f"for {name_of(location)}" if name_of else f"in {where} {key}".rstrip()
    match first["type"]:
        case "extra_forbidden":
            return EdgepackError(f"unknown key in {where}: {key!r}", _nearest_key(cls, location))
        case "missing":
            return EdgepackError(f"missing key in {where}: {key!r}", f"add `{key} = ...`")
        case "literal_error":
            choices = [c.strip(" '") for c in first["ctx"]["expected"].replace(" or ", ",").split(",")]
            return EdgepackError(f"unknown value {value}: {shown(first['input'])}", did_you_mean(shown(first["input"]).strip("'"), choices))
        case _:
            return EdgepackError(f"wrong value {value}: {shown(first['input'])}", _way_out(first["msg"]))


def _way_out(message: str) -> str:
    """pydantic's message as something to do: `Input should be greater than 0` becomes `give a value greater than 0`."""
    message = message.removeprefix("Value error, ")
    if message == "Input should be a finite number":
        return "give a finite number, or leave it out"
    if match := re.match(r"Input should be (an? )?", message):
        return ("give " + (match[1] or "a value ")) + message[match.end() :]
    return re.sub(r"^(\w+) should ", lambda match: f"give a {match[1].lower()} that should ", message)


def _nearest_key(cls: type[BaseModel], location: Location) -> str:
    """The record within this one that takes the key, or the key of this one that is spelt most like it."""
    *above, key = location
    for name, field in cls.model_fields.items() if not above else ():
        inner = _record_in(field.annotation)
        if inner is not None and key in inner.model_fields:
            return f"{key!r} stands in {name!r}: [{name}] in a file, {name}={inner.__name__}({key}=...) in Python"
    return did_you_mean(key, _keys_at(cls, tuple(above)))


def _keys_at(cls: type[BaseModel], location: Location) -> list[str]:
    """The keys that a record takes at `location`, walking through nested records and mappings of records."""
    for part in location:
        field = cls.model_fields.get(part)
        if field is not None:
            cls = _record_in(field.annotation) or cls
    return list(cls.model_fields)


def _record_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is None:
        return None
    records = [_record_in(argument) for argument in get_args(annotation)]
    return next((record for record in records if record is not None), None)
