"""How long each op of an inference takes, and which provider ran it, by the runtime's profiler. Figures include the profiler's cost."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.records import Frozen
from edgepack.measure.machines.machine import Machine, check_can
from edgepack.measure.machines.transports.local import Here
from edgepack.measure.measurement import headline_length
from edgepack.pack.manifest import Manifest
from edgepack.plan.profile import Profile
from edgepack.plan.runtime import facts_in_python, runtime_facts

_RUNS = 30
FROM_PROFILE = "profile"  # in place of names: the accelerators that the pack's device profile lists


class OpRow(Frozen):
    """All ops of one name on one provider: how many run, ms of one inference together, their share of it, whether they are in integers.

    provider: as users say it, `cpu` for the runtime's own kernels; None where the runtime does not tell.
    """

    op: str
    count: int
    ms: float
    share: float
    integers: bool
    provider: str | None = None


class OpProfile(Frozen):
    """outside_share: time in ops that XNNPACK does not take; None for a runtime without it. threads: None where the runtime chose.

    providers: those that were asked before the CPU. fallback_share: time in ops that none of them took; partitions: parts of the graph
    that they took, each without a break. Both are None where none was asked. most_fallback: the limit that the user set.
    """

    runtime: str
    where: str
    length: int
    threads: int | None
    runs: int
    total_ms: float
    integer_share: float
    outside_share: float | None
    rows: tuple[OpRow, ...]  # the longest first
    providers: tuple[str, ...] = ()
    partitions: int | None = None
    fallback_share: float | None = None
    most_fallback: float | None = None
    origin: str = "measured"

    @property
    def exceeds(self) -> bool:
        return self.fallback_share is not None and self.most_fallback is not None and self.fallback_share > self.most_fallback


class OpsWish(Frozen):
    """What `measure` shall tell of single ops. providers: as users say them, or FROM_PROFILE alone."""

    providers: tuple[str, ...] = ()
    most_fallback: float | None = None


def check_ops(machine: Machine, manifest: Manifest, target: str) -> None:
    """EdgepackError where the machine does not time single ops of this pack; nothing is brought there before that is known."""
    check_can(machine, "ops", target)
    by_java = facts_in_python(manifest.plan.runtime).android
    if by_java and not by_java.times_ops and machine.facts().python is None:
        raise EdgepackError(
            f"{target} has no Python, and the Java of {manifest.plan.runtime} times a whole inference and no single op",
            "leave out --ops, give the phone a Python, or measure on this machine: --on local",
        )


def chosen_ops(ops: bool, providers: str | None, most_fallback: float | None) -> OpsWish | None:
    """None: nothing. providers: names with commas between them. EdgepackError where one flag needs another."""
    if providers is not None and not ops:
        raise EdgepackError("--providers needs --ops: without it, no op is looked at", "add --ops")
    names = tuple(name.strip() for name in (providers or "").split(",") if name.strip())
    if providers is not None and not names:
        raise EdgepackError(f"--providers names no provider: {providers!r}", "give names with commas between them, such as nnapi,xnnpack")
    if most_fallback is not None and not names:
        raise EdgepackError("--max-fallback needs --providers: without it, every op runs on the CPU", "add --ops --providers NAME")
    return OpsWish(providers=names, most_fallback=most_fallback) if ops else None


def wished_providers(names: Sequence[str], runtime: str, profile: Profile) -> tuple[str, ...]:
    """As users say them. EdgepackError names one that the pack's runtime has not, and a profile that lists none."""
    offered = runtime_facts(runtime).providers
    if list(names) == [FROM_PROFILE]:
        names = [name for name in profile.accelerators if name in offered]
        if not names:
            raise EdgepackError(
                f"the profile {profile.name} lists no accelerator for {runtime}",
                "name providers, or add [accelerators.NAME] to the profile",
            )
    for name in names:
        if name not in offered:
            known = did_you_mean(name, sorted(offered)) if offered else f"{runtime} runs every op with its own kernels"
            raise EdgepackError(f"--providers {name}: {runtime} has no such provider", known)
    return tuple(dict.fromkeys(names))


def profile_ops(folder: Path, manifest: Manifest, on: Machine | None = None, wish: OpsWish | None = None) -> OpProfile:
    """Of one text as long as the latency budget is for, on one thread where the runtime lets us say so."""
    wish = wish or OpsWish()
    providers = wished_providers(wish.providers, manifest.plan.runtime, manifest.profile)
    length = headline_length(manifest)
    on = on or Here()
    of_runtime = runtime_facts(manifest.plan.runtime).providers
    job = {"kind": "ops", "threads": 1, "length": length, "runs": _RUNS}
    if providers:
        job["providers"] = [of_runtime[name] for name in providers]
    result = on.run_job(folder, manifest.plan.runtime, job)
    spoken = {name_of_runtime: name for name, name_of_runtime in of_runtime.items()}
    ops = [op | {"provider": _spoken(op.get("provider"), spoken)} for op in result["ops"]]
    total_ms = sum(op["ms"] for op in ops)
    if not total_ms:
        raise EdgepackError(
            f"the ops of {length} tokens take no time: the clock of the target is too coarse for this model",
            "leave --ops out, or measure on another target",
        )
    known = [op for op in ops if op["inside"] is not None]
    machine = result["machine"]
    return OpProfile(
        runtime=f"{result['runtime']['name']} {result['runtime']['version']}",
        where=f"{machine['arch']} {on.place} ({machine['cpu']})",
        length=length,
        threads=result["threads"],
        runs=_RUNS,
        total_ms=round(total_ms, 3),
        integer_share=_share([op for op in ops if op["integers"]], total_ms),
        outside_share=_share([op for op in known if not op["inside"]], total_ms) if known else None,
        rows=_rows(ops, total_ms),
        providers=providers,
        partitions=_partitions(result.get("partitions"), ops, providers) if providers else None,
        fallback_share=_share([op for op in ops if op["provider"] not in providers], total_ms) if providers else None,
        most_fallback=wish.most_fallback,
    )


def _partitions(stated: int | None, ops: list[dict[str, Any]], providers: Sequence[str]) -> int:
    if stated is not None:
        return stated
    return sum(name in providers for name, _ in groupby(op["provider"] for op in ops))


def _spoken(provider: str | None, spoken: dict[str, str]) -> str | None:
    return None if provider is None else spoken.get(provider, "cpu")


def _rows(ops: list[dict[str, Any]], total_ms: float) -> tuple[OpRow, ...]:
    same: dict[tuple[str, str | None], list[dict[str, Any]]] = {}
    for op in ops:
        same.setdefault((op["op"], op["provider"]), []).append(op)
    rows = [
        OpRow(
            op=name,
            count=len(same_ops),
            ms=round(sum(op["ms"] for op in same_ops), 4),
            share=_share(same_ops, total_ms),
            integers=same_ops[0]["integers"],
            provider=provider,
        )
        for (name, provider), same_ops in same.items()
    ]
    return tuple(sorted(rows, key=lambda row: -row.ms))


def _share(ops: list[dict[str, Any]], total_ms: float) -> float:
    return round(sum(op["ms"] for op in ops) / total_ms, 4)
