"""Parts that the commands share: common flags, printing the result, and the message after a signal. Loads nothing heavy."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from edgepack.cli.printing import show, show_json
from edgepack.plan.setting import BUILD, RUN

_CACHE = "$EDGEPACK_CACHE or ~/.cache/edgepack"

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=RUN)]
Pack = Annotated[Path, typer.Argument(help="Folder of a pack, which `edgepack build` writes.")]
Profile = Annotated[
    str | None,
    typer.Option(
        help="Device: a name from `edgepack profiles`, or the path of a TOML file.",
        show_default="as the file of --recipe says",
        rich_help_panel=BUILD,
    ),
]
Targets = Annotated[
    Path | None,
    typer.Option(help="TOML file that gives names to targets.", show_default="./targets.toml", rich_help_panel=RUN),
]
StageCache = Annotated[
    str | None, typer.Option("--cache", help="Folder that keeps finished stages.", show_default=_CACHE, rich_help_panel=RUN)
]
Cache = Annotated[str | None, typer.Option(help="Folder that keeps emulated systems.", show_default=_CACHE, rich_help_panel=RUN)]

_remains: list[str] = []


def on_stop(line: str) -> None:
    """What to tell a user who stops this command by a signal: what is kept, and how it goes on."""
    _remains[:] = [line]


def what_remains() -> str:
    """A sentence for a user who stops a command: what the command has written so far."""
    return _remains[0] if _remains else "No result was written."


def print_result(content: Any, as_json: bool, view: Callable[[], Any]) -> None:
    """Prints `content` as JSON, or else what `view` makes for people. `view` is called only then."""
    if as_json:
        show_json(content)
    else:
        show(view())
