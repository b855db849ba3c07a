"""Every setting of a recipe file, from the record that reads it."""

from generators.tables import GENERATED

INTRO = """
# Settings of a recipe

A recipe is a TOML file with any of these keys. `edgepack plan` and `edgepack build` read it with `--recipe`. Each setting is a flag
of these commands too, and a flag comes before the file. From Python the same record is `edgepack.Recipe`: a key in `[budget]` is a
field of its `budget`. A key that is misspelt is an error that names the nearest right key.

A file may also name its device, with `profile = "raspberry-pi"`; `--profile` comes before that.

Paths in the file are relative to the file. A share is written as `"25%"` or `0.25`.
"""


def flag_helps() -> dict[str, str]:
    """What the command line says about each setting, by the flag's name without dashes."""
    from edgepack.plan.recipe import Recipe
    from edgepack.plan.setting import setting_fields

    return {field.flag.removeprefix("--").replace("-", "_"): field.setting.help for field in setting_fields(Recipe)}


def page() -> str:
    from edgepack.cli.reference import settings

    return "\n\n".join((GENERATED, INTRO.strip(), settings())) + "\n"
