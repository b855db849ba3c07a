"""What an emulated ARM machine runs: a folder of Debian's packages for it, and one of the runtime's wheels. Kept in the cache.

No package of this machine is touched, and nothing needs root: apt works in a folder of its own, and checks every package's hash.
"""

import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

from edgepack.core.cache import cache_folder, run_once, stored_record
from edgepack.core.errors import EdgepackError
from edgepack.core.reading import answer_of
from edgepack.core.records import Frozen
from edgepack.measure.machines.debian_packages import check_tools, download, packages_of, unpack
from edgepack.measure.machines.emulated_cpus import Arch, EmulatedCpu
from edgepack.measure.machines.emulated_guest import ended_by, guest
from edgepack.measure.machines.machine import Crashed, Facts
from edgepack.measure.machines.wheels import fetch_wheels, requirements
from edgepack.plan.runtime import runtime_facts

_MAKER = 2  # rises with what this file makes: what an older edgepack made is not taken for it
_NOT_NEEDED = {"aarch64": {"tokenizers"}, "armv7l": {"tokenizers", "numpy"}}  # of the runtimes' wheels: it times no texts, and has numpy
_TRIAL_S = 300.0
_ABOUT_PYTHON = (
    "import json, platform, sys\n"
    "print(json.dumps({'python': platform.python_version(), 'implementation': platform.python_implementation(),"
    " 'libc': platform.libc_ver(), 'pointer_bits': 64 if sys.maxsize > 2**32 else 32, 'arch': platform.machine()}))"
)
_IMPORT = (
    "import importlib, json, sys\n"
    "from importlib.metadata import version\n"
    "import argparse, ctypes, hashlib, random, shutil, tempfile, numpy\n"  # so that their bytecode is written too
    "importlib.import_module(sys.argv[1])\n"
    "print(json.dumps({name: version(name) for name in sys.argv[2:]}))"
)


class EmulatedRoot(Frozen):
    """A Python for one architecture. python: its version; folder: what qemu takes for /."""

    arch: Arch
    folder: str
    python: str
    implementation: str
    libc: tuple[str, str]
    pointer_bits: int
    mb: float


class RuntimeSite(Frozen):
    """A runtime for it, in a folder for its PYTHONPATH. packages: versions."""

    runtime: str
    folder: str
    packages: dict[str, str]
    mb: float


def roots_folder(cache: str | None) -> Path:
    """The folder of the cache that holds emulated systems."""
    return cache_folder(cache) / "emulated"


def find_root(place: Path, arch: Arch) -> EmulatedRoot | None:
    """The root that is in the cache, whole."""
    folder = place / "stages" / _root_key(arch)
    record = stored_record(folder)
    return None if record is None else _root(folder, arch, record)


def make_root(place: Path, cpu: EmulatedCpu) -> EmulatedRoot:
    """From the cache, or by apt now. EdgepackError: no apt, no such packages, no network; nothing that looks finished is left then."""

    def work(folder: Path, resume: Path) -> dict[str, Any]:
        check_tools()
        unpack(download(cpu.arch, packages_of(cpu.arch), resume), folder)
        return _about(folder, cpu) | {"mb": _mb(folder)}

    folder, record = run_once(place, _root_key(cpu.arch), work)
    return _root(folder, cpu.arch, record)


def find_sites(place: Path, arch: Arch) -> list[RuntimeSite]:
    """The runtimes that are in the cache, whole."""
    folders = sorted((place / "stages").glob(f"{arch}-runtime-*-{_MAKER}"))
    return [_site(folder, record) for folder in folders if (record := stored_record(folder)) is not None]


def make_site(place: Path, cpu: EmulatedCpu, runtime: str, version: str | None, source: Path | None = None) -> RuntimeSite:
    """The runtime's wheels, from the cache or by pip now, or from the folder `source`. Crashed: it cannot even be imported."""
    root = make_root(place, cpu)
    wanted = [name for name in requirements(runtime, version) if name.split("<")[0] not in _NOT_NEEDED[cpu.arch]]

    def work(folder: Path, resume: Path) -> dict[str, Any]:
        wheels = resume / "wheels"
        wheels.mkdir(exist_ok=True)
        for path in fetch_wheels(_facts_for_wheels(root), wanted, wheels, source):
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(folder)
        packages = _import(root, cpu, folder, runtime)
        return {"runtime": runtime, "packages": packages, "mb": _mb(folder)}

    folder, record = run_once(place, f"{cpu.arch}-runtime-{wanted[0].replace('==', '-')}-{_MAKER}", work)
    return _site(folder, record)


def remove_roots(place: Path, arch: Arch) -> tuple[list[Path], float]:
    """Everything of one architecture, also what a killed set-up left; the folders and their MB."""
    folders = [path for part in ("stages", "unfinished") for path in sorted((place / part).glob(f"{arch}-*"))]
    freed_mb = sum(_mb(path) for path in folders)
    for path in folders:
        shutil.rmtree(path)
    for path in (place / "locks").glob(f"{arch}-*"):
        path.unlink(missing_ok=True)
    for empty in (*place.glob("*"), place):
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()
    return folders, round(freed_mb, 1)


def _root_key(arch: Arch) -> str:
    return f"{arch}-root-{_MAKER}"


def _root(folder: Path, arch: Arch, record: dict[str, Any]) -> EmulatedRoot:
    return EmulatedRoot.read({"arch": arch, "folder": str(folder.absolute())} | record, str(folder))


def _site(folder: Path, record: dict[str, Any]) -> RuntimeSite:
    return RuntimeSite.read({"folder": str(folder.absolute())} | record, str(folder))


def _about(folder: Path, cpu: EmulatedCpu) -> dict[str, Any]:
    """What the Python in `folder` says of itself: the proof that it runs."""
    with guest(cpu, folder) as machine:
        done = machine.run(["-c", _ABOUT_PYTHON], [], _TRIAL_S)
    if done.returncode:
        raise _not_started("Python", cpu, done)
    versions = answer_of(done.stdout, f"of Python in {folder}")
    del versions["arch"]
    return versions


def _import(root: EmulatedRoot, cpu: EmulatedCpu, folder: Path, runtime: str) -> dict[str, str]:
    """Versions of what is there once the runtime was imported; its bytecode lies in `folder` then, and later starts are faster."""
    names = [name for name in (name.split("<")[0] for name in runtime_facts(runtime).wheels) if name != "tokenizers"]
    with guest(cpu, Path(root.folder)) as machine:
        done = machine.run(["-c", _IMPORT, runtime_facts(runtime).module, *names], [folder], _TRIAL_S)
    if done.returncode:
        raise _not_started(runtime, cpu, done)
    return answer_of(done.stdout, f"of {runtime} in {folder}")


def _not_started(what: str, cpu: EmulatedCpu, done: subprocess.CompletedProcess[str]) -> EdgepackError:
    ended = ended_by(done.returncode)
    if ended:
        return crashed(what, cpu, ended)
    why = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return EdgepackError(f"{what} does not start on an emulated {cpu.name}: {why[-1]}", "remove what is kept of it, and set it up again")


def crashed(what: str, cpu: EmulatedCpu, ended: str) -> Crashed:
    """How a runtime was ended, in words. SIGILL: it met an instruction that the CPU does not know."""
    if ended == "SIGILL":
        return Crashed(
            ended,
            f"{what} ends by SIGILL on {cpu.name}: its wheel uses instructions that this CPU lacks",
            f"run the pack by another runtime on a {cpu.name}, or by a build of this one for CPUs as old as that",
        )
    return Crashed(
        ended,
        f"{what} is ended by {ended} on an emulated {cpu.name}",
        "check whether it is so on a real one too: edgepack target check ssh://user@host PACK",
    )


def _facts_for_wheels(root: EmulatedRoot) -> Facts:
    return Facts(
        machine={"arch": root.arch}, python=root.python, implementation=root.implementation, libc=root.libc,
        pointer_bits=root.pointer_bits, folder=root.folder, is_set_up=True, exists=True, folder_mb=root.mb, free_mb=None,
        is_writable=True, packages={},
    )  # fmt: skip


def _mb(folder: Path) -> float:
    return round(sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6, 1)
