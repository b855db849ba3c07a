"""What is installed, what a missing extra would add, whether the machine is quiet, and the cache. Changes nothing."""

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from edgepack.core.cache import cache_folder
from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.core.resources import shipped
from edgepack.measure.doubts import is_crowded
from edgepack.measure.machines.targets import extras_of_transports

EXTRAS = {  # what each extra of pyproject.toml gives; those for developers stand apart
    **extras_of_transports(),
    "demo": "`edgepack build` without a model builds the demo's model",
    "genai": "check that onnxruntime-genai runs the packs of decoders",
    "ray": "search on the machines of a Ray cluster (`edgepack search --ray`)",
    "search": "search for the best packs (`edgepack search`)",
    "sign": "sign modules with an ed25519 key (`edgepack ship --sign`)",
    "tflite": "write TFLite files (`--format tflite`, `both` and `auto`)",
}
FOR_DEVELOPERS = {"all", "docs", "fuzz", "test"}
_LOOK_S = 1.0
_QUIET = """
import json, sys
sys.path.insert(0, sys.argv[1])
import conditions, machine
seen = conditions.quiet(None, None, {"seconds": float(sys.argv[2])}, None)
print(json.dumps({**machine.facts(), **seen["contention"]}))
"""


class Package(Frozen):
    """installed: its version, null where it is missing. fits: whether that is a version that edgepack was tested with."""

    name: str
    wanted: str
    installed: str | None
    fits: bool


class Extra(Frozen):
    """Optional packages. `install` is the line that brings them."""

    name: str
    gives: str
    packages: tuple[Package, ...]
    install: str

    @property
    def is_there(self) -> bool:
        return all(package.fits for package in self.packages)


class MachineState(Frozen):
    """This machine now. others, stolen: shares (0 to 1) of the cores' time that other processes and other guests take; null: unknown."""

    cpu: str | None
    arch: str
    cores: int
    isa: tuple[str, ...]
    memory_mb: float | None
    emulated_by: str | None
    others: float | None
    stolen: float | None
    is_quiet: bool | None


class CacheState(Frozen):
    """The cache's folder, the finished stages in it, and its size in MB."""

    folder: str
    exists: bool
    stages: int  # finished ones
    mb: float


class Doctor(Frozen):
    """`ok`: every package that edgepack cannot do without is there, in a version that fits."""

    edgepack: str
    python: str
    system: str
    packages: tuple[Package, ...]
    extras: tuple[Extra, ...]
    machine: MachineState
    cache: CacheState
    ok: bool


def examine(cache: str | None = None) -> Doctor:
    """Looks at this environment and machine, for about a second. cache: in place of the usual folder."""
    wanted = [Requirement(line) for line in requires("edgepack") or ()]
    packages = tuple(_package(row) for row in wanted if row.marker is None or row.marker.evaluate({"extra": ""}))
    return Doctor(
        edgepack=version("edgepack"),
        python=platform.python_version(),
        system=platform.platform(),
        packages=packages,
        extras=tuple(_extra(name, wanted) for name in _extra_names()),
        machine=_machine(),
        cache=_cache(cache_folder(cache)),
        ok=all(package.fits for package in packages),
    )


def _extra_names() -> list[str]:
    return sorted(set(metadata("edgepack").get_all("Provides-Extra") or ()) - FOR_DEVELOPERS)


def _extra(name: str, wanted: list[Requirement]) -> Extra:
    rows = [row for row in wanted if row.marker and row.marker.evaluate({"extra": name}) and not row.marker.evaluate({"extra": ""})]
    return Extra(name=name, gives=EXTRAS.get(name, ""), packages=tuple(map(_package, rows)), install=f"pip install 'edgepack[{name}]'")


def _package(wanted: Requirement) -> Package:
    try:
        installed = version(wanted.name)
    except PackageNotFoundError:
        return Package(name=wanted.name, wanted=str(wanted.specifier), installed=None, fits=False)
    fits = wanted.specifier.contains(installed, prereleases=True)
    return Package(name=wanted.name, wanted=str(wanted.specifier), installed=installed, fits=fits)


def _machine() -> MachineState:
    """As a target says it: the same code looks here as on a board."""
    command = [sys.executable, "-c", _QUIET, str(shipped("targets")), str(_LOOK_S)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise EdgepackError(
            f"this machine cannot be checked: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}",
            "install edgepack's own packages again: pip install edgepack",
        )
    facts = json.loads(done.stdout)
    others, stolen = facts["others"], facts["stolen"]
    is_known = others is not None and stolen is not None
    return MachineState(
        cpu=facts["cpu"],
        arch=facts["arch"],
        cores=facts["cores"],
        isa=tuple(facts["isa"]),
        memory_mb=facts["memory_mb"],
        emulated_by=facts["emulated_by"],
        others=others,
        stolen=stolen,
        is_quiet=False if is_crowded(others, stolen) else True if is_known else None,
    )


def _cache(folder: Path) -> CacheState:
    total = 0
    for place, _, names in os.walk(folder):
        total += sum(path.stat().st_size for name in names if (path := Path(place, name)).is_file() and not path.is_symlink())
    stages = sum(1 for path in (folder / "stages").glob("*") if path.is_dir())
    return CacheState(folder=str(folder), exists=folder.is_dir(), stages=stages, mb=round(total / 1e6, 1))
