"""What the terminal shows of machines: this one, and the targets that packs are measured on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from edgepack.measure.machines.boards import Removal, SetUp, TargetCheck
    from edgepack.pipeline.doctor import CacheState, Doctor, MachineState


def doctor_view(state: Doctor) -> RenderableType:
    """Packages, extras, the machine and the cache, as `edgepack doctor` shows them."""
    packages = Table("package", "installed", "tested with", "fits", box=None, pad_edge=False)
    for package in state.packages:
        fits = Text("yes", "green") if package.fits else Text("no", "red")
        packages.add_row(package.name, package.installed or "missing", package.wanted, fits)
    extras = Table("extra", "there", "what it gives", box=None, pad_edge=False)
    for extra in state.extras:
        extras.add_row(extra.name, Text("yes", "green") if extra.is_there else Text("no", "yellow"), extra.gives)
        if not extra.is_there:
            extras.add_row("", "", Text(extra.install, style="dim"))
    head = Text(f"edgepack {state.edgepack}, Python {state.python}, {state.system}", style="bold")
    return Group(head, Text(), packages, Text(), extras, Text(), *_machine_lines(state.machine), *_cache_lines(state.cache))


def _machine_lines(machine: MachineState) -> Iterator[RenderableType]:
    from edgepack.measure.doubts import most_in_words

    memory = "" if machine.memory_mb is None else f", {machine.memory_mb:,.0f} MB of memory"
    yield Text(f"machine: {machine.cpu or 'unknown CPU'} ({machine.arch}), {machine.cores} cores to use{memory}")
    yield Text(f"  instruction sets that edgepack asks for: {', '.join(machine.isa) or 'none'}")
    if machine.emulated_by:
        yield Text(f"  emulated by {machine.emulated_by}: no time measured here is a device's", style="yellow")
    if machine.is_quiet is None:
        yield Text("  this system does not say whether other work takes the cores", style="yellow")
        return
    load = f"other processes take {most_in_words([machine.others])} of the cores, other guests {most_in_words([machine.stolen])}"
    if machine.is_quiet:
        yield Text(f"  quiet: {load}", style="green")
    else:
        yield Text(f"  busy: {load}; `measure` waits until that ends, because its figures would not repeat", style="yellow")


def _cache_lines(cache: CacheState) -> Iterator[RenderableType]:
    if cache.exists:
        yield Text(f"cache: {cache.folder}, {cache.stages} finished stages, {cache.mb:,.0f} MB; it can be deleted at any time")
    else:
        yield Text(f"cache: {cache.folder}, which the first build makes")


def check_view(check: TargetCheck) -> RenderableType:
    """One row for each finding of `edgepack target check`. What mends them stands below the table: see fixes_of."""
    verdict = Text("can run it" if check.can_run else "cannot run it", style="bold green" if check.can_run else "bold red")
    what = f": {check.target}" + (f", pack {check.pack_id}" if check.pack_id else ", any pack")
    table = Table("", "", "", box=None, pad_edge=False, show_header=False)
    for finding in check.findings:
        mark = Text("–", "yellow") if finding.ok is None else Text("yes", "green") if finding.ok else Text("no", "red")
        table.add_row(finding.what, mark, finding.found)
    return Group(verdict + Text(what, style="not bold default"), table)


def fixes_of(check: TargetCheck) -> Iterator[str]:
    """A line for each finding that has a fix. In a table a command would be broken into lines, and could not be pasted."""
    for finding in check.findings:
        if finding.fix and finding.ok is not True:
            yield f"fix for the {finding.what}: {finding.fix}"


def setup_view(setup: SetUp) -> RenderableType:
    """What `edgepack target setup` has installed, or that it was a dry run."""
    if not setup.done:
        return Text(f"nothing was done on {setup.target}: this was --dry-run")
    packages = ", ".join(f"{name} {version}" for name, version in (setup.packages or {}).items() if version)
    return Text(f"{setup.target} is set up: {setup.folder} holds Python {setup.python} with {packages}")


def removal_view(removal: Removal) -> RenderableType:
    """What `edgepack target remove` has removed, with its size in MB."""
    gone = f"removed {removal.removed} of {removal.target}, {removal.freed_mb:g} MB"
    return Text(gone if removal.removed else f"edgepack keeps nothing on {removal.target}")
