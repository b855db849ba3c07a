"""`edgepack check-architecture`: whether edgepack can work on a family of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgepack.cli.command import Json, print_result

if TYPE_CHECKING:
    from edgepack.pipeline.check_architecture import ArchitectureCheck

_WORDS = {True: "yes", False: "no", None: "-"}


def check_architecture(
    name: Annotated[str, typer.Argument(help="A model_type that edgepack knows, or the path of a Python file that sets FAMILY.")],
    json_: Json = False,
) -> None:
    """Make a tiny random model of a family, cut it, reload it and export it, and say what works. Exit code 1: something does not."""
    from edgepack.pipeline.check_architecture import check_architecture as check

    result = check(name)
    print_result(result.as_json() | {"ok": result.ok}, json_, lambda: _view(result))
    raise typer.Exit(0 if result.ok else 1)


def _view(result: ArchitectureCheck) -> Any:
    from rich.console import Group
    from rich.table import Table

    table = Table("check", "works", "detail", box=None, pad_edge=False)
    for check in result.checks:
        table.add_row(check.ability, _WORDS[check.ok], check.detail)
    verdict = "edgepack can work on it" if result.ok else "edgepack cannot work on it yet: see the first line that says no"
    return Group(table, f"{result.model_type}: {verdict}")
