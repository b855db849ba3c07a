"""Transport null://: no machine at all. It answers a pack's golden texts with the pack's own golden vectors, and measures nothing.

It shows that the way through edgepack works where no device is at hand: in a first try, in a test, while a transport is written.
Reports say of it: "null machine: nothing was measured".
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.measure.emulation import NOTHING_MEASURED
from edgepack.measure.machines.machine import Facts, Pushed
from edgepack.measure.machines.targets import Target
from edgepack.pack.golden import read_golden
from edgepack.pack.manifest import Manifest

EXAMPLE = "null://"
TAKES = frozenset[str]()
NO_SETUP = "the null machine keeps nothing"
_UNKNOWN = (
    "emulated_by", "cpu_part", "governor", "clock_mhz", "temperature_c", "load_average", "memory_mb", "memory_free_mb",
)  # fmt: skip


class Null:
    """See machine.Machine. Nothing is pushed, and no runtime is opened."""

    place, can = "on the null machine", frozenset[str]()

    def facts(self) -> Facts:
        machine = dict.fromkeys(_UNKNOWN) | {"arch": "null", "cpu": "no CPU", "cores": 1, "isa": [], "os": "none", "python": None}
        return Facts(
            machine=machine,
            python=None,
            implementation=None,
            libc=None,
            pointer_bits=None,
            folder=None,
            is_set_up=False,
            exists=False,
            folder_mb=None,
            free_mb=None,
            is_writable=True,
            packages={},
        )

    def emulated_by(self) -> str | None:
        return None

    def push(self, folder: Path, manifest: Manifest) -> Pushed:
        return Pushed(files=0, of_files=len(manifest.files), mb=0.0)

    def run_job(self, folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]:
        """Golden vectors for golden texts, and a load whose times are null. EdgepackError: any other job, any other text."""
        work = {"answer": _answer, "load": _load}.get(job["kind"])
        if work is None:
            raise EdgepackError(
                f"{NOTHING_MEASURED}, so it cannot do {job['kind']}", "measure on a machine: --on local, or --on ssh://user@host"
            )
        about = {"name": runtime, "version": "none", "numpy": None, "import_ms": None}
        plain = {key: value for key, value in job.items() if key != "rows"}
        return work(folder, job) | {"job": plain, "runtime": about, "machine": self.facts().machine}


def check(target: Target) -> None:
    """EdgepackError where anything follows the scheme."""
    if target.address != EXAMPLE:
        raise EdgepackError(f"not an address: {target.address!r}", f"the null machine is {EXAMPLE}")


@contextlib.contextmanager
def opened(target: Target) -> Iterator[Null]:
    """The null machine. There is nothing to open or to close."""
    yield Null()


def _answer(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    known = {tuple(entry["input_ids"]): entry["output"] for entry in read_golden(folder)}
    outputs = [known.get(tuple(row["input_ids"])) for row in job["rows"]]
    if None in outputs:
        raise EdgepackError(
            "the null machine knows only the answers to the pack's golden texts, because it computes nothing",
            "ask a machine that runs the pack: --on local",
        )
    return {"outputs": outputs, "exact_int8": job.get("exact", False)}


def _load(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    return {
        "session_ms": None,
        "first_inference_ms": None,
        "read_bytes": None,
        "weight_cache_bytes": None,
        "read_ms": None,
        "decode_ms": None,
    }
