"""measure(): a pack's load, latency and memory on a target, by the protocol, with raw samples and the environment they came from."""

import functools
import time
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar
from edgepack.measure import figures
from edgepack.measure.doubts import doubts, highest, is_steady, wait_for_quiet
from edgepack.measure.machines.machine import Machine, RunJob
from edgepack.measure.machines.targets import LOCAL
from edgepack.measure.machines.transports.local import Here
from edgepack.measure.measurement import (
    FULL,
    Effort,
    LatencyRow,
    Measurement,
    is_the_device,
)
from edgepack.measure.statistics import summarize
from edgepack.measure.workload import load_job, timing_job, workload
from edgepack.pack.manifest import Manifest

_PAUSE_S = 0.3


def measure(
    folder: Path, manifest: Manifest, median_length: int | None, effort: Effort = FULL, on: Machine | None = None, target: str = LOCAL.name
) -> Measurement:
    """Measures the pack on this machine, or `on` another that has it, called `target`. median_length: the data's own, in tokens,
    beside 16, 64 and 128. EdgepackError where other work goes on there, unless `effort` takes that."""
    on = on or Here()
    run = functools.partial(on.run_job, folder, manifest.plan.runtime)
    if not effort.force and "quiet" in on.can:
        wait_for_quiet(run, target)
    machine = run(load_job(cold=False))
    threads = sorted({1, machine["machine"]["cores"]})
    work = workload(manifest, median_length)
    configurations = [(kind, length, count) for kind, lengths in work.timed for length in lengths for count in threads]
    kind, lengths = work.memory
    total = effort.sessions * len(configurations) + 2 * effort.loads + len(threads) * len(lengths)
    expands = manifest.coded is not None and manifest.coded.start == "expand" and "storage" in on.can
    first_start = figures.first_start(run) if manifest.weight_cache or expands else None
    with bar("measure", total) as progress:
        storage = figures.storage(run) if "storage" in on.can else None
        coding = figures.coding(run, threads[-1]) if manifest.coded and "storage" in on.can else None
        load = tuple(figures.loads(run, manifest, cold, effort, progress) for cold in (True, False))
        memory = tuple(figures.memory(run, kind, length, count, progress) for length in lengths for count in threads)
        rows, runs = _latencies(run, configurations, effort, progress)
    environment = _environment(machine, runs, median_length)
    latency, first_token = _of_kind(rows, ("latency", "decode")), _of_kind(rows, ("prefill",))
    sustained = figures.sustained(run, manifest, effort, threads[-1]) if effort.sustained_s else None
    measurement = Measurement(
        pack_id=manifest.pack_id,
        target=target,
        where=f"{environment['machine']['arch']} {on.place} ({environment['machine']['cpu']})",
        is_the_device=is_the_device(manifest.profile, environment["machine"]),
        effort=effort,
        latency=latency,
        load=load,
        memory=memory,
        first_start=first_start,
        first_token=first_token,
        storage=storage,
        coding=coding,
        texts=figures.texts(run) if "texts" in on.can else None,
        sustained=sustained,
        environment=environment,
        doubts=(),
    )
    return measurement.model_copy(update={"doubts": tuple(doubts(measurement)), "is_steady": is_steady(measurement)})


def _of_kind(rows: dict[tuple[str, int, int], LatencyRow], kinds: tuple[str, ...]) -> tuple[LatencyRow, ...]:
    return tuple(row for (kind, _, _), row in rows.items() if kind in kinds)


def _latencies(
    run: RunJob, configurations: list[tuple[str, int, int]], effort: Effort, progress
) -> tuple[dict[tuple[str, int, int], LatencyRow], list[dict[str, Any]]]:
    """All configurations in turn, session by session, so that a drift of the machine touches all alike."""
    runs: dict[tuple[str, int, int], list[dict[str, Any]]] = {configuration: [] for configuration in configurations}
    for _ in range(effort.sessions):
        for configuration in configurations:
            runs[configuration].append(run(timing_job(*configuration, effort)))
            progress.advance()
        time.sleep(_PAUSE_S)
    rows = {
        (kind, length, threads): LatencyRow(
            length=length,
            threads=threads,
            summary=summarize([session["samples_ms"] for session in sessions]),
            samples_ms=tuple(tuple(session["samples_ms"]) for session in sessions),
            warm_up_runs=tuple(session["warm_up_runs"] for session in sessions),
            others=tuple(session["contention"]["others"] for session in sessions),
            stolen=tuple(session["contention"]["stolen"] for session in sessions),
        )
        for (kind, length, threads), sessions in runs.items()
    }
    for (kind, length, threads), row in rows.items():
        if not row.summary.p50:
            raise EdgepackError(
                f"{kind} of {length} tokens on {threads} threads takes no time: the clock of the target is too coarse for this model",
                "measure it on another target",
            )
    return rows, [session for sessions in runs.values() for session in sessions]


def _environment(first: dict[str, Any], runs: list[dict[str, Any]], median_length: int | None) -> dict[str, Any]:
    """The machine before the first and after the last run, the runtime, and how busy the machine was in between."""
    return {
        "machine": first["machine"],
        "machine_after": runs[-1]["machine"],
        "runtime": {key: first["runtime"].get(key) for key in ("name", "version", "numpy")},
        "load_average_highest": highest(session["machine_before"]["load_average"] for session in runs),
        "data_median_length": median_length,
        "batch": 1,
    }
