"""`edgepack doctor`: one library call and one print."""

import typer

from edgepack.cli.command import Json, StageCache, print_result


def doctor(cache: StageCache = None, json_: Json = False) -> None:
    """Show what is installed, what each missing extra would give, whether this machine is quiet, and the cache.

    Exit code 1 where a package is missing that edgepack cannot do without.
    """
    from edgepack.cli.machine_views import doctor_view
    from edgepack.pipeline.doctor import examine

    state = examine(cache)
    print_result(state.as_json(), json_, lambda: doctor_view(state))
    raise typer.Exit(0 if state.ok else 1)
