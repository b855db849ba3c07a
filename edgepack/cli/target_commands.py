"""`edgepack target check|setup|remove`: each one library call and one print."""

from pathlib import Path
from typing import Annotated

import typer

from edgepack.cli.command import Cache, Json, Targets, on_stop, print_result
from edgepack.cli.printing import show_text
from edgepack.measure.machines.targets import known_addresses

app = typer.Typer(help="Check, set up and clean the machines that packs are measured on.")

_ON = (
    f"Target: {', '.join(known_addresses())} or a name in targets.toml. "
    "What runs on this machine in edgepack's own environment needs no setup."
)
On = Annotated[str, typer.Argument(help=_ON)]


@app.command()
def check(
    target: On,
    pack: Annotated[Path | None, typer.Argument(help="Folder of a pack to try there.", show_default=False)] = None,
    targets: Targets = None,
    cache: Cache = None,
    json_: Json = False,
) -> None:
    """Show whether a target can run a pack, and what is missing where it cannot. Exit code 1 then."""
    from edgepack.cli.machine_views import check_view, fixes_of
    from edgepack.measure.machines.boards import check_target
    from edgepack.measure.machines.targets import find_targets
    from edgepack.pack.manifest import read_manifest
    from edgepack.pipeline.phone_runner import with_runner

    named = find_targets([target], targets, cache)[0]
    checked = check_target(with_runner(named, read_manifest(pack) if pack else None), pack)
    print_result(checked.as_json(), json_, lambda: check_view(checked))
    for line in () if json_ else fixes_of(checked):
        show_text(line)
    raise typer.Exit(0 if checked.can_run else 1)


@app.command()
def setup(
    target: On,
    pack: Annotated[Path | None, typer.Option(help="Folder of a pack whose runtime is brought.", show_default="ONNX Runtime")] = None,
    wheels: Annotated[Path | None, typer.Option(help="Folder with the wheels to bring.", show_default="pip downloads them here")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    targets: Targets = None,
    cache: Cache = None,
    json_: Json = False,
) -> None:
    """Make a folder on a board with a Python that has numpy and the runtime. The board needs no network."""
    from edgepack.cli.machine_views import setup_view
    from edgepack.measure.machines.boards import set_up_target
    from edgepack.measure.machines.targets import find_targets

    on_stop(f"What was begun on {target} counts for nothing: start the same command again, which removes it and begins anew.")
    done = set_up_target(find_targets([target], targets, cache)[0], pack, wheels, dry_run)
    print_result(done.as_json(), json_, lambda: setup_view(done))


@app.command()
def remove(target: On, targets: Targets = None, cache: Cache = None, json_: Json = False) -> None:
    """Remove everything that edgepack keeps on a board, and nothing else."""
    from edgepack.cli.machine_views import removal_view
    from edgepack.measure.machines.boards import remove_target
    from edgepack.measure.machines.targets import find_targets

    on_stop(f"A part may be left on {target}: start the same command again.")
    removal = remove_target(find_targets([target], targets, cache)[0])
    print_result(removal.as_json(), json_, lambda: removal_view(removal))
