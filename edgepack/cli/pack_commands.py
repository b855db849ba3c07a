"""Commands for a pack that stands: each one library call and one print."""

import functools
import json
from pathlib import Path
from typing import Annotated

import typer

from edgepack.cli.command import Cache, Json, Pack, Targets, print_result
from edgepack.plan.recipe import parse_fraction

On = Annotated[
    list[str] | None,
    typer.Option(
        help="local, ssh://user@host, adb://serial, qemu://CPU, browser://chromium, node://, or a name in targets.toml; often.",
        show_default="local",
    ),
]


def measure(  # noqa: PLR0913, PLR0917  a flag is a parameter
    pack: Pack,
    data: Annotated[str | None, typer.Option(help="Test data for the score.", show_default="where the build found it")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the report.", show_default="the pack")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Short runs, for trying out.")] = False,
    mlperf: Annotated[bool, typer.Option("--mlperf", help="At least 1,024 inferences and 60 s of each length.")] = False,
    sustained: Annotated[float, typer.Option(help="Then so many minutes without a pause: the first against the last.")] = 0.0,
    force: Annotated[bool, typer.Option("--force", help="Measure also where other work goes on.")] = False,
    ops: Annotated[bool, typer.Option("--ops", help="Times of single ops too, by the runtime's profiler.")] = False,
    baseline: Annotated[Path | None, typer.Option(help="An older report.json of this machine: exit code 2 where it was better.")] = None,
    max_regression: Annotated[str, typer.Option(help="How much worse than the baseline a figure may be.")] = "10%",
    junit: Annotated[Path | None, typer.Option(help="Write the report as JUnit XML too.")] = None,
    on: On = None,
    targets: Targets = None,
    cache: Cache = None,
    json_: Json = False,
) -> None:
    """Measure a pack on one or more targets and judge it against its budgets."""
    from edgepack.cli.views import report_view
    from edgepack.measure.machines.targets import find_targets
    from edgepack.measure.measurement import chosen_effort
    from edgepack.pipeline.measure import measure_pack
    from edgepack.report.junit import write_junit

    effort = chosen_effort(quick, mlperf, sustained, force)
    most = parse_fraction(max_regression, "--max-regression")
    report = measure_pack(pack, data, out, effort, ops, find_targets(on or [], targets, cache), baseline, most)
    if junit:
        write_junit(junit, report)
    print_result(report.as_json(), json_, lambda: report_view(report, str(out or pack)))
    raise typer.Exit(report.exit_code)


def compare(
    packs: Annotated[list[Path], typer.Argument(help="Two or more packs; ratios are to the first.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the page.", show_default="none is written")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Short runs, for trying out: claims nothing.")] = False,
    mlperf: Annotated[bool, typer.Option("--mlperf", help="At least 1,024 inferences and 60 s of each length.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Measure also where other work goes on.")] = False,
    on: On = None,
    targets: Targets = None,
    json_: Json = False,
) -> None:
    """Measure packs in turn on one or more targets: ratios with intervals, a claim only where one excludes 1."""
    from edgepack.cli.views import comparison_view
    from edgepack.measure.machines.targets import find_targets
    from edgepack.measure.measurement import chosen_effort
    from edgepack.pipeline.compare import compare as compare_packs

    report = compare_packs(packs, out, chosen_effort(quick, mlperf, 0.0, force), find_targets(on or [], targets))
    print_result(report.as_json(), json_, lambda: comparison_view(report, out))
    raise typer.Exit(1 if report.failed else 0)


def generate(
    pack: Pack,
    prompt: Annotated[str, typer.Option(help="The text to continue.")],
    max_tokens: Annotated[int, typer.Option(help="Generate so many tokens at most.")] = 128,
    temperature: Annotated[float, typer.Option(help="0: the likeliest token each time; above, tokens are drawn.")] = 0.0,
    top_k: Annotated[int, typer.Option(help="Draw from the so many likeliest tokens; 0: from all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens that reach this probability together.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    json_: Json = False,
) -> None:
    """Continue a text with a text-generation pack, in the target's runtime."""
    from edgepack.core.progress import say
    from edgepack.ship.generate import generate as continue_text

    show = None if json_ else functools.partial(print, end="", flush=True)
    found = continue_text(pack, prompt, max_tokens, temperature, top_k, top_p, seed, show)
    print(json.dumps(found.as_json(), indent=1) if json_ else "")
    say(found.summary())


def verify(pack: Pack, json_: Json = False) -> None:
    """Check a pack's hashes, and its golden vectors in the real runtime."""
    from edgepack.cli.views import verification_view
    from edgepack.pipeline.verify import verify as verify_pack

    found = verify_pack(pack)
    print_result(found.as_json(), json_, lambda: verification_view(found))


def ship(
    pack: Pack,
    platform: Annotated[str, typer.Option("--for", help="The platform: android, linux, python or web.")],
    out: Annotated[Path, typer.Option(help="Folder of the module; must not hold anything.")],
    package: Annotated[str | None, typer.Option(help="Dotted name, as com.example.intents; Android needs one.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the module.", show_default="the package's last part, or the pack's folder")] = None,
    sign: Annotated[Path | None, typer.Option(help="PEM file with an ed25519 private key that signs the module.")] = None,
    json_: Json = False,
) -> None:
    """Make a pack a module of an app, which proves on the device that it answers as it was measured."""
    from edgepack.ship.shipping import ship as ship_pack
    from edgepack.ship.view import shipped_view

    found = ship_pack(pack, platform, out, package, name, sign)
    print_result(found.as_json(), json_, lambda: shipped_view(found, out))
