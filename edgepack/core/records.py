"""Frozen, strictly read data: a key too many, too few or of the wrong type is an EdgepackError with the way out."""

import json
from collections.abc import Mapping
from typing import Any, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from edgepack.core.errors import EdgepackError, did_you_mean


class Frozen(BaseModel):
    """Base of every record that flows through edgepack."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_by_name=True, validate_by_alias=True)

    @classmethod
    def read(cls, data: Mapping[str, Any], place: str) -> Self:
        """`data` (plain JSON or TOML values) as a record; `place` is the file named in an error."""
        try:
            return cls.model_validate_json(json.dumps(data))
        except ValidationError as error:
            raise _as_edgepack_error(cls, error, place) from None

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


def _as_edgepack_error(cls: type[BaseModel], error: ValidationError, place: str) -> EdgepackError:
    found = error.errors(include_url=False)
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])  # a misspelt key is also a missing one
    location = tuple(part for part in first["loc"] if isinstance(part, str))
    where = f"{place} [{'.'.join(location[:-1])}]" if location[:-1] else place
    key = location[-1] if location else ""
    match first["type"]:
        case "extra_forbidden":
            known = _keys_at(cls, location[:-1])
            return EdgepackError(f"unknown key in {where}: {key!r}", did_you_mean(key, known))
        case "missing":
            return EdgepackError(f"missing key in {where}: {key!r}", f"add a line `{key} = ...`")
        case "literal_error":
            wrong = first["input"]
            choices = [c.strip(" '") for c in first["ctx"]["expected"].replace(" or ", ",").split(",")]
            return EdgepackError(f"unknown value in {where} {key}: {wrong!r}", did_you_mean(str(wrong), choices))
        case _:
            message = first["msg"].removeprefix("Value error, ")
            return EdgepackError(f"wrong value in {where} {key}: {first['input']!r}", message)


def _keys_at(cls: type[BaseModel], location: tuple[str, ...]) -> list[str]:
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
    found = [_record_in(argument) for argument in get_args(annotation)]
    return next((record for record in found if record is not None), None)
