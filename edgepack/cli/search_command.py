"""`edgepack search`: one library call and one print."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgepack.cli.command import Json, Profile, StageCache, Targets, on_stop, print_result
from edgepack.cli.recipe_flags import profile_name, recipe_of, takes_settings
from edgepack.plan.profile import load_profile
from edgepack.plan.setting import RUN

SEARCH = "The search"


@takes_settings
def search(  # noqa: PLR0913, PLR0917  a flag is a parameter
    profile: Profile = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the packs and the page.", show_default="packs/PROFILE-front", rich_help_panel=RUN)
    ] = None,
    hours: Annotated[float | None, typer.Option(help="Search for this many hours.", rich_help_panel=SEARCH)] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Search for this many minutes, until the page is there.", rich_help_panel=SEARCH)
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Short trainings at most.", show_default="32, or what the time allows", rich_help_panel=SEARCH)
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            help="Trials that run at once, each in a process of its own. No more than --generation find work.", rich_help_panel=SEARCH
        ),
    ] = 1,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Run the trials on the machines of a Ray cluster: its address, or auto for the one that this machine belongs to.",
            show_default="this machine",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    shared_training: Annotated[
        bool,
        typer.Option(
            "--shared-training",
            help="Train one model whose parts work alone, and cut the trials out of it. The packs are trained alone.",
            rich_help_panel=SEARCH,
        ),
    ] = False,
    generation: Annotated[
        int, typer.Option(help="Trials that are drawn together; more workers than that find no work.", rich_help_panel=SEARCH)
    ] = 4,
    packs: Annotated[int, typer.Option(help="Packs of the front.", rich_help_panel=SEARCH)] = 8,
    space: Annotated[
        Path | None,
        typer.Option(help="TOML file that says which settings vary, and between which values.", rich_help_panel=SEARCH),
    ] = None,
    sampler: Annotated[
        Literal["tpe", "nsga2", "random"], typer.Option(help="What proposes candidates, of optuna.", rich_help_panel=SEARCH)
    ] = "tpe",
    pick: Annotated[
        str | None,
        typer.Option(
            help="Name one pack of the front: `knee`, or the best score within limits, such as latency_ms=30,file_mb=15.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="Target that measures the packs, as of `edgepack measure`.", show_default="none: predicted", rich_help_panel=SEARCH
        ),
    ] = None,
    measure: Annotated[
        Literal["full", "quick"] | None,
        typer.Option(help="How long --on measures each pack.", show_default="quick", rich_help_panel=SEARCH),
    ] = None,
    targets: Targets = None,
    cache: StageCache = None,
    json_: Json = False,
    **settings: Any,
) -> None:
    """Search for the best models that a device can hold: a front of packs, and a page to choose from."""
    from edgepack.cli.build_commands import with_demo
    from edgepack.cli.search_views import front_view
    from edgepack.core.cache import cache_folder
    from edgepack.core.errors import EdgepackError
    from edgepack.measure.machines.targets import find_targets
    from edgepack.measure.measurement import FULL, QUICK
    from edgepack.plan.profile_files import is_own_file
    from edgepack.search.search import check_format
    from edgepack.search.search import search as search_front
    from edgepack.search.study import check_optuna
    from edgepack.search.wish import SearchWish, minutes_of

    check_optuna()
    name = profile_name(profile, settings)
    device, recipe, stages = load_profile(name), recipe_of(settings), cache_folder(cache)
    if hours is not None and minutes is not None:
        raise EdgepackError("--hours and --minutes both limit the time", "give one of them")
    if on is None and (measure is not None or targets is not None):
        flag = "--measure" if measure is not None else "--targets"
        raise EdgepackError(f"{flag} has no effect without --on: no target measures the packs", "give --on, or leave it out")
    check_format(recipe)
    wish = SearchWish(
        trials=trials,
        minutes=minutes if hours is None else minutes_of(hours),
        sampler=sampler,
        workers=workers,
        ray=ray,
        shared_training=shared_training,
        generation=generation,
        packs=packs,
        space=space,
        target=find_targets([on], targets, cache)[0] if on else None,
        effort=FULL if measure == "full" else QUICK,
        pick=pick,
        profile_file=str(Path(name).resolve()) if is_own_file(name) else None,
    ).checked()
    target = out or Path("packs") / f"{device.name}-front"
    front = search_front(with_demo(recipe, cache, with_weights=True), device, target, wish, stages, on_stop)
    print_result(front.as_json(), json_, lambda: front_view(front, target))
    raise typer.Exit(2 if all(point.over for point in front.points) else 0)
