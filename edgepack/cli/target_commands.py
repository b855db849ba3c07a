"""`edgepack target check|setup|remove`: each one library call and one print."""

from pathlib import Path
from typing import Annotated

import typer

from edgepack.cli.command import Cache, Json, Targets, print_result

app = typer.Typer(help="Boards to measure on: whether they can run a pack, a Python with the runtime for them, and its removal.")

_ON = "ssh://user@host[:port], adb://serial, qemu://CPU, a name in targets.toml; for `check` also browser://chromium, node:// and local."
On = Annotated[str, typer.Argument(help=_ON)]


@app.command()
def check(
    target: On,
    pack: Annotated[Path | None, typer.Argument(help="A pack to try there.", show_default=False)] = None,
    targets: Targets = None,
    cache: Cache = None,
    json_: Json = False,
) -> None:
    """Say on one screen whether a target can run a pack, and if not, why. Exit code 1 where it cannot."""
    from edgepack.cli.views import check_view
    from edgepack.measure.machines.boards import check_target
    from edgepack.measure.machines.targets import find_targets

    found = check_target(find_targets([target], targets, cache)[0], pack)
    print_result(found.as_json(), json_, lambda: check_view(found))
    raise typer.Exit(0 if found.can_run else 1)


@app.command()
def setup(
    target: On,
    pack: Annotated[Path | None, typer.Option(help="Bring the runtime that this pack needs.", show_default="ONNX Runtime")] = None,
    wheels: Annotated[Path | None, typer.Option(help="Folder of wheels.", show_default="downloaded here by pip")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and stop.")] = False,
    targets: Targets = None,
    cache: Cache = None,
    json_: Json = False,
) -> None:
    """Make a folder on a board with a Python that has numpy and the runtime; it needs no network there, and says first what it does."""
    from edgepack.cli.views import setup_view
    from edgepack.measure.machines.boards import set_up_target
    from edgepack.measure.machines.targets import find_targets

    found = set_up_target(find_targets([target], targets, cache)[0], pack, wheels, dry_run)
    print_result(found.as_json(), json_, lambda: setup_view(found))


@app.command()
def remove(target: On, targets: Targets = None, cache: Cache = None, json_: Json = False) -> None:
    """Remove everything that edgepack keeps on a board, and nothing else."""
    from edgepack.cli.views import removal_view
    from edgepack.measure.machines.boards import remove_target
    from edgepack.measure.machines.targets import find_targets

    found = remove_target(find_targets([target], targets, cache)[0])
    print_result(found.as_json(), json_, lambda: removal_view(found))
