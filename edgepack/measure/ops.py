"""Where an inference spends its time, op by op, by the runtime's own profiler; the profiler's cost is in every figure."""

from pathlib import Path

from edgepack.core.records import Frozen
from edgepack.measure.machines.machine import Machine
from edgepack.measure.machines.transports.local import Here
from edgepack.measure.measurement import headline_length
from edgepack.pack.manifest import Manifest

_RUNS = 30


class OpRow(Frozen):
    """All ops of one name: how many run, ms of one inference together, their share of it, and whether they compute in integers."""

    op: str
    count: int
    ms: float
    share: float
    integers: bool


class OpProfile(Frozen):
    """outside_share: time in ops that XNNPACK does not take; None for a runtime without it. threads: None where the runtime chose."""

    runtime: str
    where: str
    length: int
    threads: int | None
    runs: int
    total_ms: float
    integer_share: float
    outside_share: float | None
    rows: tuple[OpRow, ...]  # the longest first
    origin: str = "measured"


def profile_ops(folder: Path, manifest: Manifest, on: Machine | None = None) -> OpProfile:
    """Of one text as long as the latency budget is for, on one thread where the runtime lets us say so."""
    length = headline_length(manifest)
    on = on or Here()
    result = on.run_job(folder, manifest.plan.runtime, {"kind": "ops", "threads": 1, "length": length, "runs": _RUNS})
    total_ms = sum(op["ms"] for op in result["ops"]) or 1e-9
    known = [op for op in result["ops"] if op["inside"] is not None]
    machine = result["machine"]
    return OpProfile(
        runtime=f"{result['runtime']['name']} {result['runtime']['version']}",
        where=f"{machine['arch']} {on.place} ({machine['cpu']})",
        length=length,
        threads=result["threads"],
        runs=_RUNS,
        total_ms=round(total_ms, 3),
        integer_share=_share([op for op in result["ops"] if op["integers"]], total_ms),
        outside_share=_share([op for op in known if not op["inside"]], total_ms) if known else None,
        rows=_rows(result["ops"], total_ms),
    )


def _rows(ops: list[dict], total_ms: float) -> tuple[OpRow, ...]:
    by_name: dict[str, list[dict]] = {}
    for op in ops:
        by_name.setdefault(op["op"], []).append(op)
    rows = [
        OpRow(
            op=name,
            count=len(same_ops),
            ms=round(sum(op["ms"] for op in same_ops), 4),
            share=_share(same_ops, total_ms),
            integers=same_ops[0]["integers"],
        )
        for name, same_ops in by_name.items()
    ]
    return tuple(sorted(rows, key=lambda row: -row.ms))


def _share(ops: list[dict], total_ms: float) -> float:
    return round(sum(op["ms"] for op in ops) / total_ms, 4)
