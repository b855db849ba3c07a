"""`edgepack plan` and `edgepack build`: each one library call and one print."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgepack.cli.command import Json, Profile, StageCache, on_stop, print_result
from edgepack.cli.recipe_flags import profile_name, recipe_of, takes_settings
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.setting import RUN


@takes_settings
def plan(
    profile: Profile = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the nearest alternatives too, with their predictions.", rich_help_panel=RUN)
    ] = False,
    cache: StageCache = None,
    json_: Json = False,
    **settings: Any,
) -> None:
    """Show what `build` would do and what it would cost on the device, before any work."""
    from rich.console import Group

    from edgepack.cli.plan_views import alternatives_view, plan_view
    from edgepack.pipeline.build import plan_formats
    from edgepack.plan.explain import alternatives

    device = load_profile(profile_name(profile, settings))
    recipe = with_demo(recipe_of(settings), cache, with_weights=False)
    plans = plan_formats(recipe, device)
    content, views = [plan.as_json() for plan in plans], [plan_view(plan) for plan in plans]
    if explain:
        others = [alternatives(plan, device, recipe.model_copy(update={"format": plan.format})) for plan in plans]
        content = [each | {"alternatives": [row.as_json() for row in rows]} for each, rows in zip(content, others, strict=True)]
        views = [Group(view, alternatives_view(plan, rows)) for view, plan, rows in zip(views, plans, others, strict=True)]
    print_result(content if len(plans) > 1 else content[0], json_, lambda: Group(*views))


@takes_settings
def build(
    profile: Profile = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pack; it must be empty or new.", show_default="packs/PROFILE", rich_help_panel=RUN)
    ] = None,
    measure: Annotated[
        Literal["full", "quick", "off"],
        typer.Option(
            help="How long to measure. `quick` is to try something out: its figures are too uncertain to publish.", rich_help_panel=RUN
        ),
    ] = "full",
    cache: StageCache = None,
    json_: Json = False,
    **settings: Any,
) -> None:
    """Build a pack for the device (prune, distil, quantize, export, measure) and say whether its budgets hold."""
    from edgepack.cli.views import report_view
    from edgepack.core.cache import cache_folder
    from edgepack.core.files import check_output
    from edgepack.measure.measurement import FULL, QUICK
    from edgepack.pack.manifest import MANIFEST_FILE
    from edgepack.pipeline.build import build as build_pack
    from edgepack.pipeline.finished import check_place
    from edgepack.plan.choice import wished_formats

    device, recipe = load_profile(profile_name(profile, settings)), recipe_of(settings)
    wished_formats(device, recipe.format)
    target = out or Path("packs") / device.name
    effort, command = {"full": FULL, "quick": QUICK, "off": None}[measure], shlex.join(["edgepack", *sys.argv[1:]])
    if recipe.model:
        check_place(target, recipe, device, command)
    elif not (target / MANIFEST_FILE).is_file():
        check_output(target)
    stages = cache_folder(cache)
    on_stop(f"Finished stages are kept in {stages}: start the same command again and the build goes on from there.")
    recipe = with_demo(recipe, cache, with_weights=True)
    report = build_pack(recipe, device, target, stages, effort, command)
    if report is None:  # another process of a torchrun writes and shows it
        raise typer.Exit(0)
    shown = f"{target}/{{onnx,tflite}}" if recipe.format == "both" else str(target)
    print_result(report.as_json(), json_, lambda: report_view(report, shown))
    raise typer.Exit(2 if report.verdict == "over budget" else 0)  # a quick measuring that proves nothing is no failed build


def with_demo(recipe: Recipe, cache: str | None, with_weights: bool) -> Recipe:
    """The recipe with the demo's model and data, where it names no model."""
    if recipe.model:
        return recipe
    from edgepack.core.cache import cache_folder
    from edgepack.pipeline.demo.teacher import demo_recipe

    model, data = demo_recipe(cache_folder(cache), with_weights)
    return recipe.model_copy(update={"model": model, "data": recipe.data or data})
