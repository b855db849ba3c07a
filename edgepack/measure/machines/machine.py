"""What every transport gives: a machine that takes a pack and runs its jobs, and says what it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.pack.manifest import Manifest

RunJob = Callable[[dict[str, Any]], dict[str, Any]]


class Facts(Frozen):
    """A machine before anything is run on it; null is what it cannot tell. packages: versions, as its Python finds them.

    python and what belongs to it are null, and so is the folder, where a transport brings a runtime in JavaScript.
    """

    machine: dict[str, Any]
    python: str | None
    implementation: str | None
    libc: tuple[str, str] | None
    pointer_bits: int | None
    folder: str | None
    is_set_up: bool
    exists: bool
    folder_mb: float | None
    free_mb: float | None
    is_writable: bool
    packages: dict[str, str | None]


class Pushed(Frozen):
    """What a pack cost to bring: files and bytes that the machine lacked, of all that it needs."""

    files: int
    of_files: int
    mb: float


class SetUp(Frozen):
    """What `setup` did, or would do: see `done`."""

    target: str
    address: str
    folder: str
    python: str
    replaces: bool
    wheels: dict[str, float]  # MB of each
    needed_mb: float
    done: bool
    packages: dict[str, str | None] | None


class Removal(Frozen):
    """What was removed from a target. removed: None where there was nothing."""

    target: str
    address: str
    removed: str | None
    freed_mb: float


ABILITIES = {  # what one machine can and another cannot; where a machine lacks one, what it would tell is null
    "computes": "it runs the pack's file itself",
    "times": "its times and memory are those of a real device",
    "quiet": "it says what other programs run there",
    "storage": "it reads the model's files without opening them, to time the storage",
    "texts": "it times the tokenizer, and the decision after the model",
    "ops": "it times single ops",
    "instructions": "it counts the instructions of an inference: see `Counting`",
    "saturates": "sums of u8 x s8 products may saturate on its CPU, so it is asked in a way that shows it",
    "copies": "the pack is copied to it",
    "environment": "edgepack's own Python environment runs the pack there, and pip brings what it lacks",
}


_WAYS_OUT = {"ops": "leave out --ops, or "}


class Machine(Protocol):
    """place: how a report names it, as in `measured on aarch64 at ssh://pi@board`. can: of ABILITIES.

    set_up and remove are there where the transport's module has no NO_SETUP.
    """

    place: str
    can: frozenset[str]

    def facts(self) -> Facts: ...

    def emulated_by(self) -> str | None:
        """What emulates its CPU, in words. In containers and in CI, programs for another CPU run so."""
        ...

    def push(self, folder: Path, manifest: Manifest) -> Pushed | None: ...

    def run_job(self, folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]: ...

    def set_up(self, runtime: str, version: str | None, wheels: Path | None, dry_run: bool) -> SetUp:
        """A Python with the runtime there. EdgepackError leaves nothing."""
        ...

    def remove(self) -> Removal: ...


class Crashed(EdgepackError):
    """A runtime on an emulated CPU was ended by a signal, which is named."""

    def __init__(self, ended: str, problem: str, fix: str) -> None:
        super().__init__(problem, fix)
        self.ended = ended


class Uncountable(EdgepackError):
    """Why instructions cannot be counted on this machine; everything else can be done without."""


class Counting(Machine, Protocol):
    """A machine with `instructions`. Its facts name the CPU as `cpu_part`; run_job raises Crashed, and count Uncountable."""

    def count(self, folder: Path, runtime: str, lengths: tuple[int, ...], runs: int) -> list[tuple[int, ...]]:
        """Instructions of each of `runs` inferences, by length."""
        ...


def why_untimed(machine: Machine) -> str | None:
    """Why its times are no device's, to stand behind its name; None where they are."""
    if "times" not in machine.can:
        return f"cannot do this, because it lacks an ability: {ABILITIES['times']}"
    by = machine.emulated_by()
    return f"is emulated by {by}, so its times are not a device's" if by else None


def check_times(machine: Machine, target: str) -> None:
    """EdgepackError where its times are no device's: nothing that is called measured comes from there."""
    why = why_untimed(machine)
    if why:
        raise EdgepackError(f"{target} {why}", "measure on a real device, such as --on ssh://user@host")


def check_can(machine: Machine, ability: str, target: str) -> None:
    """EdgepackError where the machine lacks it."""
    if ability not in machine.can:
        raise EdgepackError(
            f"{target} cannot do this, because it lacks an ability: {ABILITIES[ability]}",
            _WAYS_OUT.get(ability, "") + "choose another target: --on local, or --on ssh://user@host",
        )
