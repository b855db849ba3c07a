"""Every command and flag, from the command line's own tree."""

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from generators.tables import GENERATED, table

INTRO = """
# Commands

Every command is one library call and one print. `--json` prints the same result as JSON; what happens meanwhile goes to standard error.

| exit code | meaning |
| --- | --- |
| 0 | nothing is over budget |
| 1 | a mistake in the input, or a target that failed; the message names the value, the place and the way out |
| 2 | built or measured, and over a budget, or worse than the baseline |
| 130, 143 | stopped by Ctrl-C, by SIGTERM; the last line says where the next run goes on |
"""


def page() -> str:
    from edgepack.cli.app import app

    parts = [GENERATED, INTRO.strip()]
    _add(parts, "edgepack", typer.main.get_command(app))
    return "\n\n".join(parts) + "\n"


def children_of(command) -> dict[str, Any]:
    """The commands of a group by name, empty for a single command."""
    if not hasattr(command, "list_commands"):
        return {}
    return {name: command.get_command(None, name) for name in command.list_commands(None)}


def _add(parts: list[str], path: str, command) -> None:
    children = children_of(command)
    if not children:
        parts += [f"## {path}", plain(command.help or "")]
        arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
        usage = " ".join([path, *(_argument(parameter) for parameter in arguments), "[FLAGS]"])
        parts.append(f"```text\n{usage}\n```")
        rows = [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
        parts.append(table(("flag", "value", "default", "meaning"), [row for row in rows if row[0] != "`--help`"]))
        return
    shared = [_row(parameter) for parameter in command.params if path == "edgepack" and not getattr(parameter, "hidden", False)]
    if shared:
        parts += ["## edgepack", plain(command.help or ""), table(("flag", "value", "default", "meaning"), shared)]
    for name, child in children.items():
        if not child.hidden:
            _add(parts, f"{path} {name}", child)


def _argument(parameter) -> str:
    name = parameter.name.upper().rstrip("_")
    name = f"{name}..." if parameter.nargs == -1 else name
    return name if parameter.required else f"[{name}]"


def _row(parameter) -> tuple[str, str, str, str]:
    if parameter.param_type_name == "argument":
        flag = f"`{parameter.name.upper().rstrip('_')}`"
    else:
        flag = " ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    value = "" if getattr(parameter, "is_flag", False) else _value(parameter.type_descriptor.annotation)
    return flag, value, _default(parameter), plain(getattr(parameter, "help", "") or "")


def _value(annotation) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) is list:
        return f"{_value(get_args(annotation)[0])}, often"
    if get_args(annotation):
        return _value(next(part for part in get_args(annotation) if part is not type(None)))
    return {int: "whole number", float: "number", str: "text", Path: "path"}.get(annotation, getattr(annotation, "__name__", ""))


def _default(parameter) -> str:
    if parameter.required:
        return "required"
    shown = getattr(parameter, "show_default", None)
    if isinstance(shown, str):
        return shown
    if parameter.default in (None, "", False) or callable(parameter.default) or shown is False:
        return ""
    return f"`{parameter.default}`"


def plain(text: str) -> str:
    """A help text as Markdown: words in capitals between angle brackets would be taken for HTML."""
    return re.sub(r"<(\w+)>", r"`\1`", " ".join(text.split()))
