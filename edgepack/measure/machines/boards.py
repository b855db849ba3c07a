"""Boards: whether one can run a pack, a Python with the runtime for one that has none, and the removal of both."""

import tempfile
from pathlib import Path
from typing import Literal

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.core.records import Frozen
from edgepack.measure.emulated import WAY_OUT
from edgepack.measure.golden import answers_on
from edgepack.measure.machines.emulated_cpus import find_cpu
from edgepack.measure.machines.emulated_root import make_site, packages_of, remove_roots, roots_folder
from edgepack.measure.machines.machine import Facts, Machine
from edgepack.measure.machines.targets import Target, transport
from edgepack.measure.machines.wheels import fetch_wheels, requirements
from edgepack.measure.measurement import is_the_device
from edgepack.pack.manifest import REPORT_FILES, Manifest, check_files, packed, read_manifest
from edgepack.plan.formats import python_runtime
from edgepack.plan.runtime import default_runtime, python_runtimes, runtime_facts

_NEVER_SET_UP = {
    "local": "edgepack's own environment runs packs here",
    "browser": "a browser fetches its runtime from edgepack's cache",
    "node": "Node takes its runtime from edgepack's cache",
}
_SLOW_S = 1800.0  # a card of a small board unpacks 100 MB in minutes


class Finding(Frozen):
    """One thing that a pack needs of a target. ok: None where it does not keep the pack from running, or is not known."""

    what: str
    ok: bool | None
    found: str
    fix: str | None = None


class TargetCheck(Frozen):
    target: str
    address: str
    pack_id: str | None
    can_run: bool
    findings: tuple[Finding, ...]


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
    target: str
    address: str
    removed: str | None
    freed_mb: float


def check_target(target: Target, pack: Path | None = None) -> TargetCheck:
    """What the target is and lacks, and where nothing is in the way, whether the pack gives its golden answers there.

    EdgepackError where the pack itself is damaged; a target that cannot be reached is a finding.
    """
    manifest = read_manifest(pack) if pack else None
    if manifest:
        check_files(pack, manifest, skip=REPORT_FILES)
    findings: list[Finding] = []
    try:
        with transport(target).opened(target) as machine:
            facts = machine.facts()
            findings += _findings(target, facts, manifest)
            if manifest and not any(one.ok is False for one in findings):
                findings.append(_answers(target, machine, pack, manifest))
    except EdgepackError as error:
        findings.append(Finding(what="connection", ok=False, found=error.problem, fix=error.fix))
    return TargetCheck(
        target=target.name,
        address=target.address,
        pack_id=manifest.pack_id if manifest else None,
        can_run=not any(one.ok is False for one in findings),
        findings=tuple(findings),
    )


def set_up_target(target: Target, pack: Path | None = None, wheels: Path | None = None, dry_run: bool = False) -> SetUp:
    """A folder on the board with a Python of its own. Wheels are fetched here and pushed, so that the board needs no network.

    What was there of an earlier setup is replaced. EdgepackError leaves nothing there.
    """
    _only_remote(target, "set up")
    manifest = read_manifest(pack) if pack else None
    runtime = python_runtime(manifest.plan.runtime) if manifest else default_runtime()
    if target.scheme == "qemu":
        return _set_up_emulated(target, runtime, _built_with(manifest, runtime), wheels, dry_run)
    with transport(target).opened(target) as machine, tempfile.TemporaryDirectory() as place:
        facts = machine.facts()
        files = fetch_wheels(facts, requirements(runtime, _built_with(manifest, runtime)), Path(place), wheels)
        found = _set_up(target, facts, files)
        say(_told(found))
        if dry_run:
            return found
        machine.ask("set_up", wait_s=_SLOW_S)
        content = [(path, packed(path)) for path in files]
        machine.send(content)
        packages = machine.ask("unpack", wait_s=_SLOW_S, wheels=[file.sha256 for _, file in content], module=runtime_facts(runtime).module)
    return found.model_copy(update={"done": True, "packages": packages})


def remove_target(target: Target) -> Removal:
    """Everything that edgepack keeps on the board, by the mark that it left there; of an emulated one, what is kept here."""
    _only_remote(target, "remove")
    if target.scheme == "qemu":
        folders, freed_mb = remove_roots(roots_folder(target.cache), find_cpu(target.address).arch)
        told = ", ".join(map(str, folders)) or None
        return Removal(target=target.name, address=target.address, removed=told, freed_mb=freed_mb)
    with transport(target).opened(target) as machine:
        return Removal(target=target.name, address=target.address, **machine.ask("remove"))


def _set_up_emulated(target: Target, runtime: str, version: str | None, wheels: Path | None, dry_run: bool) -> SetUp:
    """A system for the CPU in the cache, shared by all CPUs of its kind; what is there already is left as it is."""
    with transport(target).opened(target) as machine:
        facts, arch = machine.facts(), machine.cpu.arch
        own = arch == "x86_64"
        if not own:
            packages = ", ".join(packages_of(arch))
            say(
                f"{target.name}: keeps a system of {arch} in {facts.folder}, about 200 MB: Debian's packages {packages} and what they "
                f"need, and the wheels of {runtime}. Nothing else is touched; `edgepack target remove {target.name}` removes it."
            )
        else:
            say(f"{target.name}: nothing to set up, as this environment's own Python runs there")
        if not dry_run and not own:
            site = make_site(machine.kept_in, machine.cpu, runtime, version, wheels)
            facts = machine.facts()
    return SetUp(
        target=target.name,
        address=target.address,
        folder=facts.folder,
        python=facts.python,
        replaces=False,
        wheels={},
        needed_mb=0.0 if own else 200.0,
        done=not dry_run,
        packages=None if dry_run else facts.packages if own else site.packages,
    )


def _findings(target: Target, facts: Facts, manifest: Manifest | None) -> list[Finding]:
    machine = facts.machine
    own = f", Python {facts.python}" if facts.python else ""
    by = f"; emulated by {machine['emulated_by']}" if machine.get("emulated_by") else ""
    what_it_is = f"{machine['arch']}, {machine['cores']} x {machine['cpu'] or 'unknown CPU'}, {machine['os']}{own}{by}"
    reached = Finding(what="connection", ok=True, found=what_it_is)
    if manifest is None:
        return [reached, _folder(target, facts, 0.0), *(_runtime(target, facts, name, None) for name in _installed(facts))]
    runtime = python_runtime(manifest.plan.runtime)
    return [
        reached,
        _device(target, facts, manifest),
        _folder(target, facts, sum(file.bytes for file in manifest.files) / 1e6),
        _memory(facts, manifest),
        _runtime(target, facts, runtime, _built_with(manifest, runtime)),
    ]


def _device(target: Target, facts: Facts, manifest: Manifest) -> Finding:
    profile = manifest.profile
    if target.scheme == "qemu":
        return Finding(what="device", ok=None, found="emulated: tells answers and instructions, and judges no budget of time or memory")
    if facts.machine.get("emulated_by"):
        return Finding(what="device", ok=None, found="emulated: tells answers, and judges no budget of time or memory")
    if is_the_device(profile, facts.machine):
        return Finding(what="device", ok=True, found=f"it is the {profile.cpu.part} of {profile.name}: figures judge its budgets")
    return Finding(what="device", ok=None, found=f"not the {profile.cpu.part} of {profile.name}: figures will not judge its budgets")


def _folder(target: Target, facts: Facts, needed_mb: float) -> Finding:
    kept = f"{facts.folder}, set up, {facts.folder_mb:g} MB" if facts.is_set_up else f"{facts.folder}-… while it measures, gone afterwards"
    if target.scheme == "local" or facts.folder is None:
        return Finding(what="folder", ok=True, found="the pack's own")
    if target.scheme == "qemu":
        kept = f"{facts.folder}, {facts.folder_mb:g} MB" if facts.folder_mb else f"nothing kept in {facts.folder}"
        return Finding(what="folder", ok=True, found=f"the pack's own; {kept}")
    if not facts.is_writable:
        return Finding(what="folder", ok=False, found=f"{facts.folder} cannot be written", fix="set another `folder` in targets.toml")
    if facts.free_mb is not None and facts.free_mb < needed_mb:
        found = f"{facts.free_mb:g} MB free there, {needed_mb:.1f} MB needed"
        return Finding(what="folder", ok=False, found=found, fix="free some space there, or set another `folder` in targets.toml")
    return Finding(what="folder", ok=True, found=f"{kept}; {facts.free_mb or 0:g} MB free")


def _memory(facts: Facts, manifest: Manifest) -> Finding:
    free, needed = facts.machine["memory_free_mb"], manifest.predictions.ram_mb
    if free is None:
        return Finding(what="memory", ok=None, found="unknown")
    if free < needed:
        return Finding(what="memory", ok=False, found=f"{free:g} MB free, {needed:.0f} MB predicted", fix="end what else runs there")
    return Finding(what="memory", ok=True, found=f"{free:g} MB free, {needed:.0f} MB predicted over an empty runtime")


def _runtime(target: Target, facts: Facts, runtime: str, built_with: str | None) -> Finding:
    if facts.python is None:
        return Finding(what="runtime", ok=True, found=", ".join(f"{name} {version}" for name, version in facts.packages.items()))
    fix = f"edgepack target setup {target.name} --pack PACK brings one"
    missing = [name for name in (runtime_facts(runtime).package, "numpy") if not facts.packages.get(name)]
    if missing:
        return Finding(what="runtime", ok=False, found=f"no {' and no '.join(missing)} for Python {facts.python}", fix=fix)
    version = facts.packages[runtime_facts(runtime).package]
    told = f"{runtime} {version}, numpy {facts.packages['numpy']}"
    if built_with and _numbers(version) < _numbers(built_with):
        return Finding(what="runtime", ok=None, found=f"{told}; the pack was built with {built_with}, which is newer", fix=fix)
    return Finding(what="runtime", ok=True, found=told)


def _answers(target: Target, machine: Machine, pack: Path, manifest: Manifest) -> Finding:
    """The proof: the pack's golden texts in the runtime there."""
    try:
        machine.push(pack, manifest)
        gap = answers_on(machine, pack, manifest, exact=False if target.scheme == "qemu" else None)
    except EdgepackError as error:
        may_saturate = target.scheme == "qemu" and machine.cpu.may_saturate and manifest.plan.exact_products
        fix = f"if it is that int8 sums saturate, {WAY_OUT}" if may_saturate else error.fix
        return Finding(what="answers", ok=False, found=error.problem, fix=fix)
    return Finding(what="answers", ok=True, found=f"as the pack was built, within {gap:g} (limit {manifest.golden_tolerance:g})")


def _installed(facts: Facts) -> list[str]:
    return [found.name for found in python_runtimes() if facts.packages.get(found.package)] or [default_runtime()]


def _built_with(manifest: Manifest | None, runtime: str) -> str | None:
    return manifest.versions.get(runtime_facts(runtime).package) if manifest else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _set_up(target: Target, facts: Facts, files: list[Path]) -> SetUp:
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


def _told(found: SetUp) -> str:
    verb = "replaces the Python in" if found.replaces else "makes"
    names = ", ".join(f"{name} ({mb:g} MB)" for name, mb in found.wheels.items())
    return (
        f"{found.target}: {verb} {found.folder} with an environment of Python {found.python}; unpacks there, pushed from here: {names}. "
        f"About {found.needed_mb:.0f} MB while it works. Nothing else is touched; `edgepack target remove {found.target}` removes it."
    )


def _only_remote(target: Target, verb: Literal["set up", "remove"]) -> None:
    why = _NEVER_SET_UP.get(target.scheme)
    if why:
        name = "this machine" if target.scheme == "local" else target.name
        raise EdgepackError(f"nothing to {verb} for {name}: {why}", "name a board: ssh://user@host")
