"""What every transport gives: a machine that takes a pack and runs its jobs, and says what it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

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


class Machine(Protocol):
    """place: how a report names it, as in `measured on aarch64 at ssh://pi@board`. lacks: kinds of jobs that it cannot do, of
    `quiet`, `storage`, `texts` and `ops`; what they would tell is null then."""

    place: str
    lacks: frozenset[str]

    def facts(self) -> Facts: ...

    def push(self, folder: Path, manifest: Manifest) -> Pushed | None: ...

    def run_job(self, folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]: ...
