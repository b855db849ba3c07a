"""`edgepack profiles`: the devices that edgepack knows, the check of a new one, and the profile of a machine at hand."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from edgepack.cli.command import Json, StageCache, Targets, print_result
from edgepack.cli.printing import show_error, show_text
from edgepack.core.errors import EdgepackError
from edgepack.plan.profile_files import ProfileRow, profile_names, profile_rows

_WIDTH = 80


def profiles(
    check: Annotated[
        Path | None,
        typer.Option(
            help="Check the TOML file of a device profile: its keys, unusual values, and a plan for each runtime.", metavar="FILE"
        ),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            help="Time small models on this target (local, ssh://user@host, adb:// or a name in targets.toml), and print a profile of it.",
            metavar="TARGET",
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(help="Profile that gives --fit what it cannot measure, such as budgets.", show_default="the nearest CPU's"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let --fit measure a busy machine too.")] = False,
    targets: Targets = None,
    cache: StageCache = None,
    json_: Json = False,
) -> None:
    """List the devices that edgepack knows, check the profile of a new one, or fit a profile to a machine at hand.

    Exit code 1 where a checked profile cannot be used.
    """
    of_fit = {"--like": like is not None, "--force": force, "--targets": targets is not None, "--cache": cache is not None}
    stated = [flag for flag, is_stated in of_fit.items() if is_stated]
    if fit is None and stated:
        raise EdgepackError(f"{stated[0]} belongs to --fit", "add --fit TARGET, or leave it out")
    if check is not None and fit is not None:
        raise EdgepackError("--check and --fit cannot be used together", "run one after the other")
    if check is not None:
        _check(check, json_)
    elif fit is not None:
        _fit(fit, like, force, targets, cache, json_)
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


def _fit(target: str, like: str | None, force: bool, targets: Path | None, cache: str | None, json_: bool) -> None:
    """The profile's TOML to standard output, for a file; what was left out to standard error."""
    from edgepack.core.cache import cache_folder
    from edgepack.measure.machines.targets import find_targets
    from edgepack.pipeline.fit_profile import fit_profile
    from edgepack.plan.profile import load_profile

    machine = find_targets([target], targets, cache)[0]
    fitted = fit_profile(machine, load_profile(like) if like else None, cache_folder(cache), force)
    for line in fitted.missing:
        show_error(f"left out: {line}")
    if json_:
        print_result(fitted.as_json(), json_, lambda: None)
    else:
        show_text(fitted.toml, end="")
