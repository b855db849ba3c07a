"""Writes the command line that does what a library call did. A pack states it, so that anybody can build the pack again."""

import shlex
from typing import Any

from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.setting import setting_fields


def composed_command(recipe: Recipe, profile: Profile, profile_file: str | None = None, instead: str = "") -> str:
    """`edgepack build ...` with a flag for each setting that is not its default.

    profile_file: of a profile that is not shipped. instead: flags that stand in the place of the recipe's own.
    """
    parts = ["edgepack", "build", *([recipe.model] if recipe.model else []), "--profile", profile_file or profile.name]
    others = shlex.split(instead)
    for field in setting_fields(Recipe):
        value = _value_at(recipe, field.path)
        no_flag = f"--no-{field.flag.removeprefix('--')}"
        if field.path == ("model",) or value is None or value == field.default or {field.flag, no_flag} & {*others}:
            continue
        if isinstance(value, bool):
            parts.append(field.flag if value else no_flag)
        else:
            parts += [field.flag, str(value)]
    return shlex.join([*parts, *others])


def _value_at(recipe: Recipe, path: tuple[str, ...]) -> Any:
    value: Any = recipe
    for name in path:
        value = getattr(value, name)
    return value
