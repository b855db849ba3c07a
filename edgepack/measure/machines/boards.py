"""Checks whether a target can run a pack, installs a Python with the runtime there, and removes it."""

import shlex
from pathlib import Path
from typing import Literal

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.measure.golden import answers_on
from edgepack.measure.machines.machine import Facts, Machine, Removal, SetUp
from edgepack.measure.machines.targets import Target, transport
from edgepack.measure.machines.wheels import requirements
from edgepack.measure.measurement import is_the_device
from edgepack.pack.manifest import REPORT_FILES, Manifest, check_files, read_manifest
from edgepack.plan.formats import python_runtime
from edgepack.plan.runtime import default_runtime, python_runtimes, runtime_facts
from edgepack.plan.saturation import WAY_OUT


class Finding(Frozen):
    """One thing that a pack needs of a target. ok: None where it does not keep the pack from running, or is not known."""

    what: str
    ok: bool | None
    found: str
    fix: str | None = None


class TargetCheck(Frozen):
    """What `edgepack target check` has found. can_run: no finding says no."""

    target: str
    address: str
    pack_id: str | None
    can_run: bool
    findings: tuple[Finding, ...]


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
            findings += _findings(target, machine, facts, manifest, pack)
            if manifest and not any(each.ok is False for each in findings):
                findings.append(_answers(machine, pack, manifest))
    except EdgepackError as error:
        findings.append(Finding(what="connection", ok=False, found=error.problem, fix=error.fix))
    return TargetCheck(
        target=target.name,
        address=target.address,
        pack_id=manifest.pack_id if manifest else None,
        can_run=not any(each.ok is False for each in findings),
        findings=tuple(findings),
    )


def set_up_target(target: Target, pack: Path | None = None, wheels: Path | None = None, dry_run: bool = False) -> SetUp:
    """A Python with the runtime that `pack` needs on the target. Wheels are fetched here and pushed, so that a board needs no network.

    What was there of an earlier setup is replaced. EdgepackError leaves nothing there.
    """
    _check_has_setup(target, "set up")
    manifest = read_manifest(pack) if pack else None
    runtime = python_runtime(manifest.plan.runtime) if manifest else default_runtime()
    with transport(target).opened(target) as machine:
        return machine.set_up(runtime, _built_with(manifest, runtime), wheels, dry_run)


def remove_target(target: Target) -> Removal:
    """Everything that edgepack keeps for the target: on a board by the mark that it left there."""
    _check_has_setup(target, "remove")
    with transport(target).opened(target) as machine:
        return machine.remove()


def way_to_install(target: Target, machine: Machine, runtime: str, version: str | None = None, pack: Path | None = None) -> str:
    """What brings a runtime there, with the command that does it at the end. pack: whose runtime it is."""
    if "environment" in machine.can:
        return f"install it in edgepack's own environment: {shlex.join(['pip', 'install', *requirements(runtime, version)])}"
    return f"bring a Python with it there: {target.command('setup', *(['--pack', str(pack)] if pack else []))}"


def _findings(target: Target, machine: Machine, facts: Facts, manifest: Manifest | None, pack: Path | None) -> list[Finding]:
    about = facts.machine
    python = f", Python {facts.python}" if facts.python else ""
    by = f"; emulated by {about['emulated_by']}" if about.get("emulated_by") else ""
    what_it_is = f"{about['arch']}, {about['cores']} x {about['cpu'] or 'unknown CPU'}, {about['os']}{python}{by}"
    reached = Finding(what="connection", ok=True, found=what_it_is)
    if manifest is None:
        return [reached, _folder(machine, facts, 0.0), *(_runtime(target, machine, facts, name, None) for name in _installed(facts))]
    runtime = python_runtime(manifest.plan.runtime)
    built_with = _built_with(manifest, runtime)
    return [
        reached,
        _device(machine, facts, manifest),
        _folder(machine, facts, sum(file.bytes for file in manifest.files) / 1e6),
        _memory(facts, manifest),
        _runtime(target, machine, facts, runtime, built_with, pack),
    ]


def _device(machine: Machine, facts: Facts, manifest: Manifest) -> Finding:
    profile = manifest.profile
    if "computes" not in machine.can:
        return Finding(what="device", ok=None, found="the null machine computes nothing and judges no budget")
    if "times" not in machine.can or facts.machine.get("emulated_by"):
        tells = "answers and instructions" if "instructions" in machine.can else "answers"
        return Finding(what="device", ok=None, found=f"emulated: it gives {tells}, and judges no budget of time or memory")
    if is_the_device(profile, facts.machine):
        return Finding(what="device", ok=True, found=f"it is the {profile.cpu.part} of {profile.name}, so its figures judge the budgets")
    return Finding(
        what="device", ok=None, found=f"it is not the {profile.cpu.part} of {profile.name}, so its figures do not judge the budgets"
    )


def _folder(machine: Machine, facts: Facts, needed_mb: float) -> Finding:
    place = f"{facts.folder}, set up, {facts.folder_mb:g} MB" if facts.is_set_up else f"{facts.folder}-… only while it measures"
    if facts.folder is None:
        return Finding(what="folder", ok=True, found="the folder of the pack")
    if "copies" not in machine.can:
        place = f"{facts.folder}, {facts.folder_mb:g} MB" if facts.folder_mb else f"nothing kept in {facts.folder}"
        return Finding(what="folder", ok=True, found=f"the folder of the pack; {place}")
    if not facts.is_writable:
        return Finding(what="folder", ok=False, found=f"{facts.folder} cannot be written", fix="set another `folder` in targets.toml")
    if facts.free_mb is not None and facts.free_mb < needed_mb:
        room = f"{facts.free_mb:g} MB free there, {needed_mb:.1f} MB needed"
        return Finding(what="folder", ok=False, found=room, fix="free some space there, or set another `folder` in targets.toml")
    room = "unknown how much is free" if facts.free_mb is None else f"{facts.free_mb:g} MB free"
    return Finding(what="folder", ok=True, found=f"{place}; {room}")


def _memory(facts: Facts, manifest: Manifest) -> Finding:
    free, needed = facts.machine.get("memory_free_mb"), manifest.predictions.ram_mb
    if free is None:
        return Finding(what="memory", ok=None, found="unknown")
    if free < needed:
        return Finding(what="memory", ok=False, found=f"{free:g} MB free, {needed:.0f} MB predicted", fix="end the other programs there")
    return Finding(what="memory", ok=True, found=f"{free:g} MB free, {needed:.0f} MB predicted over an empty runtime")


def _runtime(target: Target, machine: Machine, facts: Facts, runtime: str, built_with: str | None, pack: Path | None = None) -> Finding:
    if facts.python is None:
        return Finding(what="runtime", ok=True, found=", ".join(f"{name} {version}" for name, version in facts.packages.items()))
    if "environment" in machine.can and runtime_facts(runtime).runs_apart:
        stand_in = "pip brings it into edgepack's cache, once; where that fails, the runtime of this environment answers in its place"
        return Finding(what="runtime", ok=None, found=f"{runtime} {runtime_facts(runtime).version}: {stand_in}")
    fix = way_to_install(target, machine, runtime, built_with, pack)
    missing = [name for name in (runtime_facts(runtime).package, "numpy") if not facts.packages.get(name)]
    if missing:
        return Finding(what="runtime", ok=False, found=f"no {' and no '.join(missing)} for Python {facts.python}", fix=fix)
    version = facts.packages[runtime_facts(runtime).package]
    versions = f"{runtime} {version}, numpy {facts.packages['numpy']}"
    if built_with and _numbers(version) < _numbers(built_with):
        return Finding(what="runtime", ok=None, found=f"{versions}; the pack was built with the newer {built_with}", fix=fix)
    return Finding(what="runtime", ok=True, found=versions)


def _answers(machine: Machine, pack: Path, manifest: Manifest) -> Finding:
    """The proof: the pack's golden texts in the runtime there."""
    try:
        machine.push(pack, manifest)
        gap = answers_on(machine, pack, manifest, exact=False if "saturates" in machine.can else None)
    except EdgepackError as error:
        may_saturate = "saturates" in machine.can and manifest.plan.exact_products
        fix = f"if int8 sums saturate there, {WAY_OUT}" if may_saturate else error.fix
        return Finding(what="answers", ok=False, found=error.problem, fix=fix)
    return Finding(
        what="answers", ok=True, found=f"the same as when the pack was built, within {gap:g} (limit {manifest.golden_tolerance:g})"
    )


def _installed(facts: Facts) -> list[str]:
    return [runtime.name for runtime in python_runtimes() if facts.packages.get(runtime.package)] or [default_runtime()]


def _built_with(manifest: Manifest | None, runtime: str) -> str | None:
    return manifest.versions.get(runtime_facts(runtime).package) if manifest else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _check_has_setup(target: Target, verb: Literal["set up", "remove"]) -> None:
    why = getattr(transport(target), "NO_SETUP", None)
    if why:
        raise EdgepackError(f"nothing to {verb} for {target.name}: {why}", "name a board, such as ssh://user@host")
