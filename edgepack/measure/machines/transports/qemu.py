"""Transport qemu://CPU: the real runtime on an emulated CPU, for answers and instruction counts. It measures no time or memory."""

import contextlib
import importlib.metadata
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.core.reading import answer_of, read_json_object
from edgepack.core.resources import shipped
from edgepack.measure.machines.debian_packages import packages_of
from edgepack.measure.machines.emulated_cpus import EmulatedCpu, find_cpu
from edgepack.measure.machines.emulated_guest import Guest, emulator_version, ended_by, guest
from edgepack.measure.machines.emulated_root import (
    RuntimeSite,
    crashed,
    find_root,
    find_sites,
    make_root,
    make_site,
    remove_roots,
    roots_folder,
)
from edgepack.measure.machines.instructions import counting_plugin, per_inference
from edgepack.measure.machines.job_answers import checked
from edgepack.measure.machines.jobs import failure, script_of
from edgepack.measure.machines.machine import Facts, Removal, SetUp
from edgepack.measure.machines.targets import Target
from edgepack.pack.manifest import MANIFEST_FILE, WEIGHT_CACHE, Manifest
from edgepack.plan.runtime import facts_in_python, packages_to_look_for

EXAMPLE = "qemu://cortex-a72"
TAKES = frozenset({"time_out_s", "cache"})
KINDS = ("answer", "count")  # jobs whose results are the same on the real CPU
_ROOT_MB = 200.0
_UNKNOWN = ("governor", "clock_mhz", "temperature_c", "load_average", "memory_mb", "memory_free_mb")  # of this machine, not of that


class Emulated:
    """A Machine of which nothing can be timed. `push` brings what the pack needs to run there, where it is missing."""

    def __init__(self, target: Target, cpu: EmulatedCpu) -> None:
        self.target, self.cpu, self.place = target, cpu, f"on an emulated {cpu.name}"
        conditions = {"saturates": cpu.may_saturate, "environment": cpu.arch == "x86_64"}
        self.can = frozenset({"computes", "instructions"} | {ability for ability, holds in conditions.items() if holds})
        self.emulator = emulator_version(cpu)
        self.kept_in = roots_folder(target.cache)

    def facts(self) -> Facts:
        """What is known without running anything there."""
        root, has_own = find_root(self.kept_in, self.cpu.arch), self.cpu.arch != "x86_64"
        sites = find_sites(self.kept_in, self.cpu.arch)
        python = root.python if root else "(not set up)" if has_own else platform.python_version()
        machine = dict.fromkeys(_UNKNOWN) | {
            "arch": self.cpu.arch, "cpu": f"{self.cpu.name}, emulated", "cpu_part": self.cpu.name, "cores": self.cpu.cores,
            "isa": sorted(self.cpu.features), "os": f"qemu {self.emulator}", "python": python, "emulated_by": f"qemu {self.emulator}",
        }  # fmt: skip
        return Facts(
            machine=machine,
            python=python,
            implementation=root.implementation if root else platform.python_implementation(),
            libc=root.libc if root else platform.libc_ver(),
            pointer_bits=root.pointer_bits if root else 64,
            folder=str(self.kept_in),
            is_set_up=bool(root and sites),
            exists=self.kept_in.exists(),
            folder_mb=round(root.mb + sum(site.mb for site in sites), 1) if root else None,
            free_mb=None,
            is_writable=True,
            packages={name: version for site in sites for name, version in site.packages.items()} if has_own else _own_packages(),
        )

    def emulated_by(self) -> str | None:
        return f"qemu {self.emulator}"

    def push(self, folder: Path, manifest: Manifest) -> None:
        """Nothing is copied: the emulator reads this machine's files. What it runs them with is set up where it is missing."""
        runtime = facts_in_python(manifest.plan.runtime)
        self.site(runtime.name, manifest.versions.get(runtime.package))

    def site(self, runtime: str, version: str | None) -> RuntimeSite | None:
        """The runtime's folder, made now where it is missing; None where this Python itself is what runs there."""
        if self.cpu.arch == "x86_64":
            return None
        sites = [site for site in find_sites(self.kept_in, self.cpu.arch) if site.runtime == runtime]
        if not any(version in (None, site.packages.get(facts_in_python(runtime).package)) for site in sites):
            what = f"a system of {self.cpu.arch} with {runtime}"
            say(f"{self.target.name}: makes {what} in {self.kept_in}, kept for the next time")
        return make_site(self.kept_in, self.cpu, runtime, version)

    def set_up(self, runtime: str, version: str | None, wheels: Path | None, dry_run: bool) -> SetUp:
        """A system for the CPU in the cache, shared by all CPUs of its kind; what is there already is left as it is."""
        arch, name = self.cpu.arch, self.target.name
        has_own = arch != "x86_64"
        if has_own:
            packages = ", ".join(packages_of(arch))
            say(
                f"{name}: keeps a system of {arch} in {self.kept_in}, about {_ROOT_MB:.0f} MB: Debian's packages {packages} and what they "
                f"need, and the wheels of {runtime}. Nothing else is touched; `{self.target.command('remove')}` removes it."
            )
        else:
            say(f"{name}: nothing to set up, as this environment's own Python runs there")
        site = make_site(self.kept_in, self.cpu, runtime, version, wheels) if has_own and not dry_run else None
        facts = self.facts()
        return SetUp(
            target=name,
            address=self.target.address,
            folder=facts.folder,
            python=facts.python,
            replaces=False,
            wheels={},
            needed_mb=_ROOT_MB if has_own else 0.0,
            done=not dry_run,
            packages=None if dry_run else site.packages if site else facts.packages,
        )

    def remove(self) -> Removal:
        """What is kept here for CPUs of this kind."""
        folders, freed_mb = remove_roots(self.kept_in, self.cpu.arch)
        removed = ", ".join(map(str, folders)) or None
        return Removal(target=self.target.name, address=self.target.address, removed=removed, freed_mb=freed_mb)

    def run_job(self, folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]:
        """As of every machine, of KINDS alone. Crashed: the runtime was ended by a signal."""
        with self._prepared(folder, runtime, job) as (machine, arguments, path):
            return self._result(self._run(machine, arguments, path, job["kind"]), folder, runtime, job)

    def count(self, folder: Path, runtime: str, lengths: tuple[int, ...], runs: int) -> list[tuple[int, ...]]:
        """Instructions of each of `runs` inferences, by length. Uncountable: this machine cannot."""
        plugin = counting_plugin(self.kept_in, self.cpu)
        job = {"kind": "count", "threads": 1, "lengths": list(lengths), "runs": runs}
        with self._prepared(folder, runtime, job) as (machine, arguments, path), tempfile.TemporaryDirectory() as scratch:
            marked = Path(scratch) / "marks"
            self._result(self._run(machine, arguments, path, "count", (plugin, marked)), folder, runtime, job)
            return per_inference(marked, lengths, runs)

    @contextlib.contextmanager
    def _prepared(self, folder: Path, runtime: str, job: dict[str, Any]) -> Iterator[tuple[Guest, list[str], list[Path]]]:
        """The guest, and what its Python is started with."""
        if job["kind"] not in KINDS:
            raise EdgepackError(
                f"{self.target.name} cannot do {job['kind']}: it is emulated, so its times and memory are not those of a {self.cpu.name}",
                "measure on a real CPU: --on ssh://user@host",
            )
        version = read_json_object(folder / MANIFEST_FILE).get("versions", {}).get(facts_in_python(runtime).package)
        site = self.site(facts_in_python(runtime).name, version)
        root = Path(make_root(self.kept_in, self.cpu).folder) if site else None
        with guest(self.cpu, root) as machine, _pack_of_its_own(folder) as pack, tempfile.TemporaryDirectory() as scratch:
            written = Path(scratch) / "job.json"
            written.write_text(json.dumps(job))
            script = shipped("targets") / script_of(runtime)
            yield machine, [str(script.absolute()), str(pack.absolute()), str(written)], [Path(site.folder)] if site else []

    def _run(
        self, machine: Guest, arguments: list[str], path: list[Path], kind: str, plugin: tuple[Path, Path] | None = None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return machine.run(arguments, path, self.target.time_out_s, plugin)
        except subprocess.TimeoutExpired:
            raise EdgepackError(
                f"{kind} ran over {self.target.time_out_s:g} s on {self.target.name} and was ended",
                "an emulated CPU is tens of times slower: raise time_out_s in targets.toml, or take a smaller pack",
            ) from None

    def _result(self, done: subprocess.CompletedProcess[str], folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]:
        ended = ended_by(done.returncode)
        if ended:
            raise crashed(runtime, self.cpu, ended)
        if done.returncode:
            raise failure(f"{folder} {self.place}", runtime, job, done.stderr.strip() or f"exit code {done.returncode}", done.stdout)
        result = checked(answer_of(done.stdout, self.place), job, self.place)
        result["runtime"] = result["runtime"] | {"import_ms": None}
        result["machine"] = result["machine"] | dict.fromkeys(_UNKNOWN)
        return result


def check(target: Target) -> None:
    """EdgepackError: no such CPU, no qemu, and where an x86 CPU would need this machine's Python, another kind of machine."""
    cpu = find_cpu(target.address)
    emulator_version(cpu)
    if cpu.arch == "x86_64" and (platform.machine() not in ("x86_64", "AMD64") or not sys.platform.startswith("linux")):
        raise EdgepackError(
            f"{target.address} runs this machine's own Python, which is not of x86_64 Linux but of {platform.machine()}",
            "run it on an x86_64 Linux",
        )


@contextlib.contextmanager
def opened(target: Target) -> Iterator[Emulated]:
    """The emulated CPU of the address. EdgepackError: edgepack emulates no such CPU."""
    yield Emulated(target, find_cpu(target.address))


@contextlib.contextmanager
def _pack_of_its_own(folder: Path) -> Iterator[Path]:
    """The pack itself, or one with the same files where a runtime would leave packed weights of another CPU in it."""
    if not read_json_object(folder / MANIFEST_FILE).get("weight_cache"):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="edgepack-pack-") as place:
        for path in folder.iterdir():
            if path.name != WEIGHT_CACHE:
                (Path(place) / path.name).symlink_to(path.absolute())
        yield Path(place)


def _own_packages() -> dict[str, str | None]:
    variables = {}
    for name in packages_to_look_for():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            variables[name] = importlib.metadata.version(name)
    return variables
