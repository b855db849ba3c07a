"""What the commands share: flags of one name, and the print at the end. Loads nothing heavy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Pack = Annotated[Path, typer.Argument(help="A folder that `edgepack build` wrote.")]
Targets = Annotated[Path | None, typer.Option(help="File with targets by name.", show_default="./targets.toml")]
Cache = Annotated[str | None, typer.Option(help="Folder of emulated systems.", show_default="$EDGEPACK_CACHE or ~/.cache/edgepack")]


def print_result(content: Any, as_json: bool, view: Callable[[], Any]) -> None:
    if as_json:
        print(json.dumps(content, indent=1))
        return
    from edgepack.cli.views import show

    show(view())
