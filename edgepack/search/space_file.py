"""Reads the TOML file of --space, which narrows what a search varies."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.reading import read_toml
from edgepack.plan.recipe import Recipe
from edgepack.plan.setting import SettingField, setting_fields

_RANGE, _SHAPE = {"low", "high", "step", "logarithmic"}, {"layers", "hidden"}
_MOST_VALUES = 1000
_FORMS = "write a list of values, true, false, or { low = 0.0, high = 0.5, step = 0.125 }"


@dataclass(frozen=True)
class Narrowed:
    """What the file says of a setting: values, a range, or the depths and widths of a student. Nothing: as Recipe has it."""

    values: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    step: float | None = None
    logarithmic: bool | None = None
    layers: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()


def read_space(path: Path | None) -> dict[str, Narrowed | bool]:
    """By the settings' keys, such as `precision` or `training.learning_rate`. False: not searched.

    EdgepackError names the key: unknown, not one that is searched, without values, or with a value that Recipe refuses.
    """
    if path is None:
        return {}
    if not path.is_file():
        raise EdgepackError(f"the file of --space is not there: {str(path)!r}", "give the path of a TOML file")
    fields = {".".join(field.path): field for field in setting_fields(Recipe)}
    searched = {key: field for key, field in fields.items() if field.setting.searched is not None}
    narrowed: dict[str, Narrowed | bool] = {}
    for key, value in _flat(read_toml(path), {name.partition(".")[0] for name in fields if "." in name}):
        if key not in fields:
            raise EdgepackError(f"unknown key in {path.name}: {key!r}", did_you_mean(key, searched))
        if key not in searched:
            raise EdgepackError(f"{path.name} lists {key!r}, which a search does not vary", f"give it as a flag: {fields[key].flag}")
        narrowed[key] = value if isinstance(value, bool) else _narrowed(path.name, searched[key], key, value)
    return narrowed


def _flat(content: Mapping[str, Any], tables: set[str]) -> list[tuple[str, Any]]:
    """Keys with their values, those of the recipe's own tables by their path."""
    rows: list[tuple[str, Any]] = []
    for key, value in content.items():
        rows += [(f"{key}.{name}", inner) for name, inner in value.items()] if key in tables and isinstance(value, dict) else [(key, value)]
    return rows


def _narrowed(place: str, field: SettingField, key: str, value: Any) -> Narrowed:
    where = f"{place}: {key}"
    if isinstance(value, list):
        if not value:
            raise EdgepackError(f"{where} lists no value, so the space is empty", f"list at least one value, or write {key} = false")
        for each in value:
            _check(place, field, each)
        return Narrowed(values=tuple(_parsed(field, each) for each in value))
    if not isinstance(value, dict):
        raise EdgepackError(f"{where} is {value!r}, which is no list and no range", _FORMS)
    known = _SHAPE if key == "student" else _RANGE
    if unknown := sorted(value.keys() - known):
        raise EdgepackError(f"{where} has an unknown key: {unknown[0]!r}", did_you_mean(unknown[0], known))
    if key == "student":
        return Narrowed(layers=_counts(where, value, "layers"), hidden=_counts(where, value, "hidden"))
    return _range(place, field, where, value)


def _range(place: str, field: SettingField, where: str, value: Mapping[str, Any]) -> Narrowed:
    low, high, step = (value.get(name) for name in ("low", "high", "step"))
    if not _is_number(low) or not _is_number(high) or not (step is None or _is_number(step)) or not low < high:
        raise EdgepackError(f"{where} is no range: {value}", "give low and a larger high, both numbers, and a step where there are steps")
    if step is not None and step <= 0:
        raise EdgepackError(f"{where} has a step of {step}", "give a step above 0")
    logarithmic = value.get("logarithmic", False)
    if not isinstance(logarithmic, bool):
        raise EdgepackError(f"{where} has logarithmic = {logarithmic!r}", "write true or false")
    if logarithmic and (low <= 0 or step is not None):
        raise EdgepackError(
            f"{where} is logarithmic, so it needs a low above 0 and has no steps: {value}", "correct that, or leave logarithmic out"
        )
    if field.choices or field.is_whole:
        return _whole_range(place, field, where, value)
    for end in (low, high):
        _check(place, field, end)
    return Narrowed(low=float(low), high=float(high), step=None if step is None else float(step), logarithmic=logarithmic)


def _whole_range(place: str, field: SettingField, where: str, value: Mapping[str, Any]) -> Narrowed:
    """The values of a setting that takes whole numbers, or some of them, only."""
    low, high, step = (value.get(name) for name in ("low", "high", "step"))
    if not all(isinstance(number, int) for number in (low, high, step)):
        raise EdgepackError(
            f"{where} takes no fractions, and {value} would draw them", "list its values, or give a whole low, high and step"
        )
    values = range(low, high + 1, step)
    if high - low > _MOST_VALUES * step:
        raise EdgepackError(f"{where} has more than {_MOST_VALUES} values, which no search tries", "give a smaller range or a larger step")
    for each in values:
        _check(place, field, each)
    return Narrowed(values=tuple(values))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _counts(where: str, value: Mapping[str, Any], name: str) -> tuple[int, ...]:
    counts = value.get(name, [])
    if not isinstance(counts, list) or not all(isinstance(count, int) and not isinstance(count, bool) for count in counts):
        raise EdgepackError(f"{where} {name} is {counts!r}", f"list whole numbers: {name} = [2, 3, 4]")
    if name in value and not counts:
        raise EdgepackError(f"{where} {name} lists no value, so the space is empty", "list at least one value")
    return tuple(counts)


def _parsed(field: SettingField, value: Any) -> Any:
    return field.setting.parse(value, field.path[-1]) if field.setting.parse and isinstance(value, str) else value


def _check(place: str, field: SettingField, value: Any) -> None:
    """EdgepackError where Recipe does not take the value."""
    content: dict[str, Any] = {}
    table = content
    for part in field.path[:-1]:
        table = table.setdefault(part, {})
    table[field.path[-1]] = value
    Recipe.read(content, place)
