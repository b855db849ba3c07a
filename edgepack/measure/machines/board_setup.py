"""Makes a Python with a runtime on a board, from wheels that are fetched here: the board needs no network."""

import tempfile
from pathlib import Path
from typing import Any, Protocol

from edgepack.core.progress import say
from edgepack.measure.machines.board_answers import checked_packages
from edgepack.measure.machines.machine import Facts, SetUp
from edgepack.measure.machines.targets import Target
from edgepack.measure.machines.wheels import fetch_wheels, requirements
from edgepack.pack.manifest import packed
from edgepack.plan.runtime import packages_to_look_for, runtime_facts

_SLOW_S = 1800.0  # a card of a small board unpacks 100 MB in minutes


class Board(Protocol):
    """What this needs of a session: see remote.Remote."""

    target: Target

    def facts(self) -> Facts: ...

    def send(self, files: list) -> Any: ...

    def ask(self, do: str, wait_s: float = ..., **more: Any) -> Any: ...


def set_up_board(board: Board, runtime: str, version: str | None, wheels: Path | None, dry_run: bool) -> SetUp:
    """What an earlier setup left there is replaced. version: of the runtime. wheels: a folder to take them from, in place of pip's index.

    EdgepackError leaves nothing on the board.
    """
    with tempfile.TemporaryDirectory() as place:
        facts = board.facts()
        files = fetch_wheels(facts, requirements(runtime, version), Path(place), wheels)
        planned = _planned(board.target, facts, files)
        say(_announced(planned, board.target))
        if dry_run:
            return planned
        board.ask("set_up", wait_s=_SLOW_S)
        content = [(path, packed(path)) for path in files]
        board.send(content)
        hashes = [file.sha256 for _, file in content]
        module, wanted = runtime_facts(runtime).module, packages_to_look_for()
        answer = board.ask("unpack", wait_s=_SLOW_S, wheels=hashes, module=module, packages=wanted)
        packages = checked_packages(answer, wanted, f"of {board.target.name}")
    return planned.model_copy(update={"done": True, "packages": packages})


def _planned(target: Target, facts: Facts, files: list[Path]) -> SetUp:
    sizes = {path.name: round(path.stat().st_size / 1e6, 1) for path in files}
    return SetUp(
        target=target.name,
        address=target.address,
        folder=facts.folder,
        python=facts.python,
        replaces=facts.is_set_up,
        wheels=sizes,
        needed_mb=round(4 * sum(sizes.values()), 1),  # a wheel and what is in it, which is three times as large
        done=False,
        packages=None,
    )


def _announced(planned: SetUp, target: Target) -> str:
    verb = "replaces the Python in" if planned.replaces else "makes"
    names = ", ".join(f"{name} ({mb:g} MB)" for name, mb in planned.wheels.items())
    return (
        f"{planned.target}: {verb} {planned.folder} with an environment of Python {planned.python}; "
        f"unpacks there, pushed from here: {names}. About {planned.needed_mb:.0f} MB while it works. "
        f"Nothing else is touched; `{target.command('remove')}` removes it."
    )
