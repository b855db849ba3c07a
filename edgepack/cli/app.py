"""The command line: one command is one library call and one print. Flags carry the names of the parameters."""

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgepack.cli.command import Json, print_result
from edgepack.cli.pack_commands import compare, generate, measure, ship, verify
from edgepack.cli.target_commands import app as target_app
from edgepack.core.errors import EdgepackError
from edgepack.plan.formats import FormatWish
from edgepack.plan.profile import PrecisionName, load_profile, profile_names
from edgepack.plan.recipe import Importance, Recipe, Scope, TaskName, Training, parse_fraction, read_recipe

app = typer.Typer(
    name="edgepack",
    help="A trained transformer and a device profile become a measured pack.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(target_app, name="target")

Profile = Annotated[str, typer.Option(help="A name from `edgepack profiles`, or the path of a TOML file.")]
Cache = Annotated[str | None, typer.Option(help="Folder of finished stages.", show_default="$EDGEPACK_CACHE or ~/.cache/edgepack")]


def main() -> None:
    """Exit codes: 0 nothing is over budget, 1 the user's mistake, 2 built and over a budget."""
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0)
    except EdgepackError as error:
        print(f"edgepack: {error}", file=sys.stderr)
    except typer.TyperException as error:  # an unknown flag, a missing one, a value of the wrong type
        print(f"edgepack: {error.format_message()}\n  fix: see `edgepack {' '.join(sys.argv[1:2])} --help`", file=sys.stderr)
    sys.exit(1)


def _default(name: str) -> str:
    return str(getattr(Training(), name))


def recipe_flags(  # noqa: PLR0913, PLR0917  a flag is a parameter
    model: Annotated[str, typer.Argument(help="Model folder or hub id; without one, the demo model.", show_default=False)] = "",
    recipe: Annotated[Path | None, typer.Option(help="TOML file with any of these settings; flags come before it.")] = None,
    task: Annotated[TaskName | None, typer.Option(help="Read from the model's config where it is left out.")] = None,
    data: Annotated[str | None, typer.Option(help="File, folder with train, dev and test files, or hub dataset id.")] = None,
    student: Annotated[str | None, typer.Option(help="13M, 50%, 3x384 or same; chosen by the budgets where it is left out.")] = None,
    prune_heads: Annotated[str | None, typer.Option(help="Share of attention heads to cut, such as 25%.")] = None,
    prune_ffn: Annotated[str | None, typer.Option(help="Share of FFN neurons to cut.")] = None,
    prune_layers: Annotated[str | None, typer.Option(help="33% (the least influential), alternate, or layers to keep: 0,2,5.")] = None,
    drop_attention: Annotated[int | None, typer.Option(help="Attention sublayers to drop, from the last layer on.")] = None,
    prune_weights: Annotated[str | None, typer.Option(help="Share of single weights to zero; makes no runtime faster.")] = None,
    importance: Annotated[Importance | None, typer.Option(help="What heads and neurons are ranked by.", show_default="gradient")] = None,
    scope: Annotated[Scope | None, typer.Option(help="Same share in each layer, or least important anywhere.")] = None,
    refit: Annotated[bool, typer.Option("--refit", help="What stays takes over what is cut, by least squares.")] = False,
    iterations: Annotated[int | None, typer.Option(help="Prune and recover so many times.", show_default="1")] = None,
    vocabulary: Annotated[str | None, typer.Option(help="Keep the pieces that the train split (`data`) or a file of texts needs.")] = None,
    precision: Annotated[PrecisionName | None, typer.Option(help="Chosen by the budgets where it is left out.")] = None,
    activations: Annotated[
        Literal["dynamic", "static"] | None,
        typer.Option(help="Scales of int8: each text's own, or those of calibration texts.", show_default="dynamic"),
    ] = None,
    prepack: Annotated[
        bool | None,
        typer.Option(help="Pack matrices as the session opens: loads slower, runs faster.", show_default="unless the load budget breaks"),
    ] = None,
    format: Annotated[
        FormatWish | None,
        typer.Option(help="auto builds and measures both, and ships the better.", show_default="ONNX where the profile runs it"),
    ] = None,
    smoothing: Annotated[
        float | None, typer.Option(help="Of activations before int8, 0 to 1 (SmoothQuant).", show_default="chosen on train texts")
    ] = None,
    sensitive: Annotated[
        int | None,
        typer.Option(
            help="Groups of products that int8 hurts most, kept in fp32; of int4, in 8 bits.",
            show_default="where the gate fails",
        ),
    ] = None,
    embedding_bits: Annotated[int | None, typer.Option(help="Of the embedding tables: 8 or 4.", show_default="8")] = None,
    file_mb: Annotated[float | None, typer.Option(help="Budget: model files, 10^6 bytes.")] = None,
    ram_mb: Annotated[float | None, typer.Option(help="Budget: peak memory over an empty runtime.")] = None,
    latency_ms: Annotated[float | None, typer.Option(help="Budget: p90 of --length tokens, or of one decoded behind them.")] = None,
    load_ms: Annotated[float | None, typer.Option(help="Budget: cold load of the session.")] = None,
    score_drop: Annotated[float | None, typer.Option(help="Budget: points lost against the teacher.")] = None,
    length: Annotated[int | None, typer.Option(help="Tokens that the latency budget is for.", show_default="128")] = None,
    max_length: Annotated[int | None, typer.Option(help="Cut texts after so many tokens.", show_default="the model's own")] = None,
    epochs: Annotated[int | None, typer.Option(help="Distillation: passes over the train split.", show_default=_default("epochs"))] = None,
    batch_rows: Annotated[int | None, typer.Option(help="Distillation: texts a step.", show_default=_default("batch_rows"))] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Distillation.", show_default=_default("learning_rate"))] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Distillation: softening of the teacher's targets.", show_default=_default("temperature"))
    ] = None,
    soft_weight: Annotated[float | None, typer.Option(help="Distillation: weight of the teacher's outputs.", show_default="1")] = None,
    hidden_weight: Annotated[float | None, typer.Option(help="Of its hidden states (TinyBERT).", show_default="0")] = None,
    relation_weight: Annotated[float | None, typer.Option(help="Of its attention relations (MiniLM).", show_default="0")] = None,
    hard_weight: Annotated[float | None, typer.Option(help="Of the data's labels.", show_default="0")] = None,
    minutes: Annotated[float | None, typer.Option(help="Distillation stops then, with the best checkpoint so far.")] = None,
    unlabelled: Annotated[str | None, typer.Option(help="File of texts without labels to distil on too.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the text.", show_default="guessed and shown")] = None,
    text_pair_column: Annotated[str | None, typer.Option(help="Column of a second text.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Column of the label.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random choice.", show_default="0")] = None,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code that the model folder brings.")] = False,
) -> Recipe:
    """The flags that `plan` and `build` share, as a Recipe: those given, then the recipe file's, then the defaults."""
    shares = {"prune_heads": prune_heads, "prune_ffn": prune_ffn, "prune_weights": prune_weights}
    given = {
        "model": model or None,
        "task": task,
        "data": data,
        "student": student,
        **{name: text and parse_fraction(text, f"--{name.replace('_', '-')}") for name, text in shares.items()},
        "prune_layers": prune_layers,
        "drop_attention": drop_attention,
        "importance": importance,
        "scope": scope,
        "refit": refit or None,
        "iterations": iterations,
        "vocabulary": vocabulary,
        "precision": precision,
        "activations": activations,
        "prepack": prepack,
        "format": format,
        "smoothing": smoothing,
        "sensitive": sensitive,
        "embedding_bits": embedding_bits,
        "length": length,
        "max_length": max_length,
        "budget": {"file_mb": file_mb, "ram_mb": ram_mb, "latency_ms": latency_ms, "load_ms": load_ms, "score_drop": score_drop},
        "training": {
            "epochs": epochs,
            "batch_rows": batch_rows,
            "learning_rate": learning_rate,
            "temperature": temperature,
            "soft_weight": soft_weight,
            "hidden_weight": hidden_weight,
            "relation_weight": relation_weight,
            "hard_weight": hard_weight,
            "minutes": minutes,
        },
        "unlabelled": unlabelled,
        "columns": {"text": text_column, "text_pair": text_pair_column, "label": label_column},
        "seed": seed,
        "trust_remote_code": trust_remote_code or None,
    }
    return read_recipe(recipe, given)


def takes_recipe(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command every flag of `recipe_flags` before its own; its first parameter receives the Recipe."""
    shared = inspect.signature(recipe_flags).parameters
    own = list(inspect.signature(command).parameters.values())[1:]

    @functools.wraps(command)
    def with_flags(**values: Any) -> None:
        recipe = recipe_flags(**{name: values.pop(name) for name in shared})
        command(recipe, **values)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*shared.values(), *own)]
    with_flags.__signature__ = inspect.Signature(parameters)
    with_flags.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_flags


@app.command()
def profiles(json_: Json = False) -> None:
    """List the devices that edgepack knows."""
    from edgepack.cli.views import profiles_table

    found = [load_profile(name) for name in profile_names()]
    print_result([profile.as_json() for profile in found], json_, lambda: profiles_table(found))


@app.command()
@takes_recipe
def plan(recipe: Recipe, profile: Profile, cache: Cache = None, json_: Json = False) -> None:
    """Say what `build` would do and what it would cost on the device, before any work."""
    from rich.console import Group

    from edgepack.cli.views import plan_view
    from edgepack.pipeline.build import plan_formats

    device = load_profile(profile)
    found = plan_formats(_with_demo(recipe, cache, with_weights=False), device)
    as_json = [one.as_json() for one in found]
    print_result(as_json if len(found) > 1 else as_json[0], json_, lambda: Group(*map(plan_view, found)))


@app.command()
@takes_recipe
def build(
    recipe: Recipe,
    profile: Profile,
    out: Annotated[Path | None, typer.Option(help="Folder of the pack; must not hold anything.", show_default="packs/PROFILE")] = None,
    measure: Annotated[Literal["full", "quick", "off"], typer.Option(help="quick is for trying out, not for publishing.")] = "full",
    cache: Cache = None,
    json_: Json = False,
) -> None:
    """Prune, distil, quantize, export and measure: a pack for the device, and whether its budgets hold."""
    from edgepack.cli.views import report_view
    from edgepack.core.cache import cache_folder
    from edgepack.measure.measurement import FULL, QUICK
    from edgepack.pack.manifest import check_output
    from edgepack.pipeline.build import build as build_pack
    from edgepack.plan.choice import wished_formats

    device = load_profile(profile)
    wished_formats(device, recipe.format)
    target = out or Path("packs") / device.name
    check_output(target)
    wished = _with_demo(recipe, cache, with_weights=True)
    report = build_pack(wished, device, target, cache_folder(cache), {"full": FULL, "quick": QUICK, "off": None}[measure])
    if report is None:  # another process of a torchrun writes and shows it
        raise typer.Exit(0)
    shown = f"{target}/{{onnx,tflite}}" if recipe.format == "both" else str(target)
    print_result(report.as_json(), json_, lambda: report_view(report, shown))
    raise typer.Exit(report.exit_code)


for _command in (measure, compare, generate, verify, ship):
    app.command()(_command)


def _with_demo(recipe: Recipe, cache: str | None, with_weights: bool) -> Recipe:
    if recipe.model:
        return recipe
    from edgepack.core.cache import cache_folder
    from edgepack.pipeline.demo.teacher import demo_recipe

    model, data = demo_recipe(cache_folder(cache), with_weights)
    return recipe.model_copy(update={"model": model, "data": recipe.data or data})
