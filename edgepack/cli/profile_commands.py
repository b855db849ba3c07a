"""`edgepack profiles`: the devices that edgepack knows, and the check of a new one."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from edgepack.cli.command import Json, print_result
from edgepack.cli.printing import show_text
from edgepack.plan.profile_files import ProfileRow, profile_names, profile_rows

_WIDTH = 80


def profiles(
    check: Annotated[
        Path | None,
        typer.Option(
            help="Check the TOML file of a device profile: its keys, unusual values, and a plan for each runtime.", metavar="FILE"
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """List the devices that edgepack knows, or check the profile of a new one. Exit code 1 where that cannot be used."""
    if check is not None:
        _check(check, json_)
    elif json_:
        from edgepack.plan.profile import load_profile

        print_result([load_profile(name).as_json() for name in profile_names()], json_, lambda: None)
    else:
        show_text("\n".join(_lines(profile_rows())))


def _lines(rows: list[ProfileRow]) -> Iterator[str]:
    """A table of at most 80 columns: what a device is, and below it what runs there. As text, for rich would take as long as all else."""
    width = max(len(row.name) for row in rows) + 2
    yield f"{'profile':<{width}}{'device':<{_WIDTH - width - 8}}  RAM MB"
    for row in rows:
        first, *more = textwrap.wrap(row.summary, _WIDTH - width - 8) or [""]
        yield f"{row.name:<{width}}{first:<{_WIDTH - width - 8}}{row.ram_mb:>8}"
        yield from (" " * width + line for line in (*more, f"{row.cpu}; {row.runtimes}"))


def _check(path: Path, json_: bool) -> None:
    from edgepack.cli.plan_views import profile_check_view
    from edgepack.plan.profile_check import check_profile

    checked = check_profile(path)
    print_result(checked.as_json(), json_, lambda: profile_check_view(checked))
    raise typer.Exit(0 if checked.ok else 1)
