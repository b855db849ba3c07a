"""Writes a recipe as a TOML file that `edgepack build --recipe` reads."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepack.plan.recipe import Recipe
from edgepack.plan.recipe_file import paths_in
from edgepack.plan.setting import setting_fields


def recipe_toml(content: Mapping[str, Any], profile: str, folder: Path, title: str) -> str:
    """`content`: a Recipe as JSON. folder: where the file will lie, from which its paths lead. What is at its default is left out."""
    paths = paths_in(content)
    lines, tables = [f"# {title}", f"profile = {_toml(profile)}"], {}
    for field in setting_fields(Recipe):
        value: Any = content
        for name in field.path:
            value = value[name]
        if value is None or value == field.default or (value == "" and field.path == ("model",)):
            continue
        if field.path[0] in paths:
            value = _from(folder, value)
        tables.setdefault(field.path[:-1], []).append(f"{field.path[-1]} = {_toml(value)}")
    lines += tables.pop((), [])
    for path, rows in tables.items():
        lines += ["", f"[{'.'.join(path)}]", *rows]
    return "\n".join(lines) + "\n"


def _from(folder: Path, name: str) -> str:
    """The path of a file or folder as it is seen from another one; another name (a hub id) as it is."""
    path = Path(name)
    if not path.exists() or path.is_absolute():
        return name
    return os.path.relpath(path.resolve(), folder.resolve())


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, float) else repr(value)
