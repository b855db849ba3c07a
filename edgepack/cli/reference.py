"""Markdown of every setting, made from the fields of Recipe: the docs' page of settings.

    python -m edgepack.cli.reference

In Python, `settings()` returns the same text: a table for each heading, with flag, key of a recipe file, values, what happens where
the setting is left out, and help.
"""

from collections.abc import Iterable
from typing import Any

from edgepack.plan.recipe import Recipe
from edgepack.plan.setting import SettingField, setting_fields

_HEAD = ("flag", "key in a recipe file", "value", "where left out", "meaning")
_VALUES = {str: "text", int: "whole number", float: "number", bool: "yes or no (`true`, `false`)"}


def settings(level: int = 2) -> str:
    """level: of the headings; 2 is `##`."""
    fields = list(setting_fields(Recipe))
    panels = dict.fromkeys(field.setting.panel for field in fields)
    rows = {panel: [_row(field) for field in fields if field.setting.panel == panel] for panel in panels}
    return "\n\n".join(f"{'#' * level} {panel}\n\n{_table(_HEAD, rows[panel])}" for panel in panels)


def _row(field: SettingField) -> tuple[str, ...]:
    key = f"`{field.path[0]}`" if len(field.path) == 1 else f"`{field.path[1]}` in `[{field.path[0]}]`"
    flag = "`MODEL`, without a flag" if field.path == ("model",) else f"`{field.flag}`"
    if field.annotation is bool and field.default is not False:
        flag += f", `--no-{field.flag[2:]}`"
    return flag, key, _values(field), field.default_text or "", field.setting.help


def _values(field: SettingField) -> str:
    if field.choices:
        return ", ".join(f"`{value}`" for value in field.choices)
    if field.setting.parse is not None:
        return '`25%` or `0.25`; in a file `"25%"` or `0.25`'
    known: Any = _VALUES.get(field.annotation)
    return known or str(field.annotation)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(settings())
