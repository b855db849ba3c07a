"""The commands that take a finished pack: each one library call and one print."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from edgepack.cli.command import Cache, Json, Pack, Targets, on_stop, print_result
from edgepack.cli.printing import show_json, show_text
from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.targets import LOCAL, known_addresses
from edgepack.plan.recipe import parse_fraction
from edgepack.ship.platforms import platform_names

_MAX_REGRESSION = "10%"
On = Annotated[
    list[str] | None,
    typer.Option(
        help=f"Target to measure on: {', '.join(known_addresses())} or a name in targets.toml. Give it once for each target. "
        "null:// measures nothing: it shows that everything around a measurement works.",
        show_default=LOCAL.name,
    ),
]
Providers = Annotated[
    str | None,
    typer.Option(
        help="With --ops: ask these execution providers before the CPU, such as nnapi,xnnpack, and show where each op ran. "
        "`profile` asks the accelerators that the device profile lists."
    ),
]
MaxFallback = Annotated[
    str | None,
    typer.Option(help="With --providers: the largest share of time that may run on the CPU. The exit code is 2 if more does."),
]


def measure(  # noqa: PLR0913, PLR0917  a flag is a parameter
    pack: Pack,
    data: Annotated[str | None, typer.Option(help="Test data that the score is computed on.", show_default="the data of the build")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the report.", show_default="the pack's folder")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure in short runs, to try something out. The figures are too uncertain to publish.")
    ] = False,
    mlperf: Annotated[
        bool, typer.Option("--mlperf", help="Measure each length for at least 1,024 inferences and 60 s, as MLPerf does.")
    ] = False,
    sustained: Annotated[
        float, typer.Option(help="Then run for this many minutes without a pause, and compare the last minute with the first.")
    ] = 0.0,
    force: Annotated[bool, typer.Option("--force", help="Measure even while other programs take the cores. The report says so.")] = False,
    ops: Annotated[bool, typer.Option("--ops", help="Measure the time of each op too, with the runtime's profiler.")] = False,
    providers: Providers = None,
    max_fallback: MaxFallback = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="Older report.json of the same machine to compare with. The exit code is 2 if a figure became worse."),
    ] = None,
    max_regression: Annotated[
        str | None, typer.Option(help="By how much a figure may be worse than in --baseline.", show_default=_MAX_REGRESSION)
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="File to write the report to as JUnit XML, for a CI server.")] = None,
    on: On = None,
    targets: Targets = None,
    cache: Cache = None,
    json_: Json = False,
) -> None:
    """Measure a pack on one or more targets and judge it against its budgets."""
    from edgepack.cli.views import report_view
    from edgepack.core.files import check_file_place, real_place
    from edgepack.measure.machines.targets import find_targets
    from edgepack.measure.measurement import chosen_effort
    from edgepack.measure.ops import chosen_ops
    from edgepack.pipeline.measure import measure_pack
    from edgepack.report.junit import write_junit

    on_stop(f"The reports in {out or pack} are as they were, or all new. Start the same command again to measure from the start.")
    effort = chosen_effort(quick, mlperf, sustained, force)
    if junit:
        check_file_place(junit, "--junit")
    if max_regression is not None and baseline is None:
        raise EdgepackError("--max-regression has no effect without --baseline: nothing is compared", "give --baseline, or leave it out")
    most = parse_fraction(max_regression or _MAX_REGRESSION, "--max-regression")
    wish = chosen_ops(ops, providers, None if max_fallback is None else parse_fraction(max_fallback, "--max-fallback"))
    report = measure_pack(pack, data, out, effort, wish, find_targets(on or [], targets, cache), baseline, most)
    if junit:
        write_junit(real_place(junit), report)
    print_result(report.as_json(), json_, lambda: report_view(report, str(out or pack)))
    raise typer.Exit(report.exit_code)


def compare(
    packs: Annotated[list[Path], typer.Argument(help="Folders of two or more packs. Each is compared with the first.")],
    out: Annotated[Path | None, typer.Option(help="Folder for a page with the comparison.", show_default="no page is written")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Measure in short runs, to try something out. They prove no difference.")] = False,
    mlperf: Annotated[
        bool, typer.Option("--mlperf", help="Measure each length for at least 1,024 inferences and 60 s, as MLPerf does.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Measure even while other programs take the cores. The report says so.")] = False,
    on: On = None,
    targets: Targets = None,
    json_: Json = False,
) -> None:
    """Measure packs in turn on one or more targets and show their ratios. A ratio is a claim only where its interval excludes 1."""
    from edgepack.cli.views import comparison_view
    from edgepack.measure.machines.targets import find_targets
    from edgepack.measure.measurement import chosen_effort
    from edgepack.pipeline.compare import compare as compare_packs

    on_stop("No page was written. Start the same command again to measure from the start.")
    report = compare_packs(packs, out, chosen_effort(quick, mlperf, 0.0, force), find_targets(on or [], targets))
    print_result(report.as_json(), json_, lambda: comparison_view(report, out))
    raise typer.Exit(1 if report.failed else 0)


def generate(  # noqa: PLR0913, PLR0917  a flag is a parameter
    pack: Pack,
    prompt: Annotated[str | None, typer.Option(help="Text to continue.", show_default=False)] = None,
    chat: Annotated[
        str | None,
        typer.Option(
            help="A user's message for the model's chat template, or a JSON list of messages with role and content.", show_default=False
        ),
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens to generate.", show_default="as the model says, or 128")] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="0 takes the likeliest token each time. Above 0, tokens are drawn at random; a higher value draws more evenly.",
            show_default="as the model says, or 0",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(help="Draw from this number of likeliest tokens. 0 draws from all.", show_default="as the model says, or 0"),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Draw from the likeliest tokens that together reach this probability.", show_default="as the model says, or 1"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random draws: the same seed gives the same text.")] = 0,
    window: Annotated[
        str, typer.Option(help="What to do when no position is left: refuse, or slide (go on with the last half of the text).")
    ] = "refuse",
    lookup_tokens: Annotated[
        int,
        typer.Option(help="Most tokens to try at once where the text repeats itself (prompt lookup, up to 32). 0 tries none."),
    ] = 0,
    json_: Json = False,
) -> None:
    """Continue a text, or answer a chat, with a text-generation pack, in the runtime that the pack is for."""
    from edgepack.core.progress import say
    from edgepack.ship.generate import generate as continue_text
    from edgepack.ship.generate import read_messages

    if (prompt is None) == (chat is None):
        raise EdgepackError("generate needs either --prompt or --chat", "give the text to continue, or a message for the chat template")
    show = None if json_ else functools.partial(show_text, end="")
    on_stop("Only the text above was generated.")
    messages = None if chat is None else read_messages(chat)
    text = continue_text(pack, prompt or "", max_tokens, temperature, top_k, top_p, seed, show, messages, window, lookup_tokens)
    if json_:
        show_json(text.as_json())
    else:
        show_text("")
    say(text.summary())


def verify(pack: Pack, json_: Json = False) -> None:
    """Check a pack: every file by its hash, and the answers to its golden texts in the real runtime."""
    from edgepack.cli.views import verification_view
    from edgepack.pipeline.verify import verify as verify_pack

    on_stop("The pack is as it was; nothing is known of it yet.")
    verification = verify_pack(pack)
    print_result(verification.as_json(), json_, lambda: verification_view(verification))


def ship(  # noqa: PLR0913, PLR0917  a flag is a parameter
    pack: Pack,
    platform: Annotated[str, typer.Option("--for", help=f"Platform of the app. One of: {', '.join(platform_names())}.")],
    out: Annotated[Path, typer.Option(help="Folder for the module; it must be empty or new.")],
    package: Annotated[str | None, typer.Option(help="Dotted package name, such as com.example.intents (android, jvm: needed).")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the module.", show_default="the package's last part, or the pack's folder")
    ] = None,
    sign: Annotated[Path | None, typer.Option(help="PEM file with the ed25519 private key to sign the module with.")] = None,
    version: Annotated[str, typer.Option(help="Version of the module: three numbers.")] = "1.0.0",
    minimum_version: Annotated[
        str | None, typer.Option(help="The oldest version of a model that the module accepts.", show_default="the module's version")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="From when on the module refuses its model: 90d (in 90 days), or a date such as 2030-12-31.")
    ] = None,
    also_trust: Annotated[
        list[Path] | None, typer.Option(help="PEM file with one more public key whose signature the module accepts. Repeat it for more.")
    ] = None,
    runtime_version: Annotated[
        str | None,
        typer.Option(
            help="Version of the runtime that the app's build fetches (android, jvm).",
            show_default="the newest published one that is not newer than the one measured",
        ),
    ] = None,
    with_sample: Annotated[bool, typer.Option("--with-sample", help="Write a whole sample app around the module (android).")] = False,
    reduced_runtime: Annotated[
        bool,
        typer.Option("--reduced-runtime", help="Add what a smaller onnxruntime is built from (android)."),
    ] = False,
    json_: Json = False,
) -> None:
    """Turn a pack into a module for an app. The module can prove on the device that it answers as the pack does."""
    from edgepack.cli.ship_view import shipped_view
    from edgepack.ship.shipping import ship as ship_pack

    wishes = {"runtime_version": runtime_version, "with_sample": with_sample, "reduced_runtime": reduced_runtime}
    asked = {"version": version, "minimum_version": minimum_version, "expires": expires, "also_trust": also_trust or ()}
    on_stop(f"No module was left in {out}. Start the same command again.")
    module = ship_pack(pack, platform, out, package, name, sign, **asked, **wishes)
    print_result(module.as_json(), json_, lambda: shipped_view(module, out))
