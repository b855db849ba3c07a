"""The flags of `plan` and `build`: made from the fields of Recipe, which hold type, default and description."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import typer

from edgepack.core.errors import EdgepackError
from edgepack.plan.recipe import Recipe
from edgepack.plan.recipe_file import profile_of, read_recipe
from edgepack.plan.setting import BUILD, SettingField, setting_fields

_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_SHORT = 18  # letters of a list of values that leave room for the help beside it in 80 columns


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command a flag for each setting of Recipe before its own flags; its `**settings` receive them: see recipe_of."""
    others = [flag for flag in inspect.signature(command).parameters.values() if flag.kind is not inspect.Parameter.VAR_KEYWORD]
    names = {flag.name for flag in others}  # a command's own flag takes the place of a setting's: `--minutes` of a search is another
    shared = [_recipe_file(), *(_parameter(name, field) for name, field in _fields().items() if name not in names)]
    parameters = [parameter.replace(kind=_KEYWORD) for parameter in (*shared, *others)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def recipe_of(settings: dict[str, Any]) -> Recipe:
    """What is given on the command line comes before the file of `--recipe`, and that before the defaults."""
    given = {name: value for name, value in settings.items() if name != "recipe"}
    return read_recipe(settings["recipe"], _nested(_fields(), given))


def profile_name(given: str | None, settings: dict[str, Any]) -> str:
    """The profile of `--profile`, or that which the file of `--recipe` names. EdgepackError: neither names one."""
    name = given or (profile_of(settings["recipe"]) if settings["recipe"] else None)
    if name is None:
        raise EdgepackError(
            "Missing option '--profile': nothing says which device this is for",
            "see `edgepack profiles`, and give the name of one to --profile",
        )
    return name


def _fields() -> dict[str, SettingField]:
    """By the names of the parameters that receive them."""
    return {_name(field): field for field in setting_fields(Recipe)}


def _name(field: SettingField) -> str:
    return field.flag.removeprefix("--").replace("-", "_")


def _recipe_file() -> inspect.Parameter:
    help_text = "TOML file with any of these settings. A flag comes before the file."
    annotation = Annotated[Path | None, typer.Option(help=help_text, show_default=False, rich_help_panel=BUILD)]
    return inspect.Parameter("recipe", _KEYWORD, default=None, annotation=annotation)


def _parameter(name: str, field: SettingField) -> inspect.Parameter:
    """None stands for "not given" in every flag, so that a recipe file can say otherwise."""
    help_text, metavar = _with_choices(field)
    shown, panel = field.default_text or False, field.setting.panel
    annotation: Any
    if field.path == ("model",):
        annotation = Annotated[str | None, typer.Argument(help=help_text, show_default=shown)]
    else:
        # A switch that is off unless it is given needs no `--no-...`.
        flag = field.flag if field.annotation is not bool or field.default is False else f"{field.flag}/--no-{field.flag[2:]}"
        option = typer.Option(flag, help=help_text, show_default=shown, rich_help_panel=panel, metavar=metavar)
        annotation = Annotated[_type(field) | None, option]
    return inspect.Parameter(name, _KEYWORD, default=None, annotation=annotation)


def _with_choices(field: SettingField) -> tuple[str, str | None]:
    """The help, and what stands behind the flag: the values where they are short, else its name, and the values in the help."""
    values = "|".join(map(str, field.choices))
    if not values or len(values) <= _SHORT:
        return field.setting.help, f"<{values}>" if values else None
    return f"{field.setting.help} One of: {', '.join(map(str, field.choices))}.", f"<{field.path[-1]}>"


def _type(field: SettingField) -> Any:
    """What the command line reads: text where the setting has a form of its own, else the setting's type."""
    if field.setting.parse is not None:
        return str
    if get_origin(field.annotation) is Literal and not isinstance(field.choices[0], str):
        return type(field.choices[0])  # typer lists texts only; the record checks the rest
    return field.annotation


def _nested(fields: dict[str, SettingField], given: dict[str, Any]) -> dict[str, Any]:
    """The flat flags as the nested tables that a recipe file has."""
    nested: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        field = fields[name]
        table = nested
        for key in field.path[:-1]:
            table = table.setdefault(key, {})
        table[field.path[-1]] = field.setting.parse(value, field.flag) if field.setting.parse else value
    return nested
