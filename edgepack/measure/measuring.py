"""measure(): a pack's load, latency and memory on a target, by the protocol, with raw samples and the environment they came from."""

import functools
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.core.progress import bar, say
from edgepack.core.records import Frozen
from edgepack.measure.doubts import doubts, is_steady, wait_for_quiet
from edgepack.measure.machines.machine import Machine, RunJob
from edgepack.measure.machines.transports.local import Here
from edgepack.measure.measurement import (
    FULL,
    Effort,
    FirstStart,
    LatencyRow,
    LoadRow,
    Measurement,
    MemoryRow,
    Slice,
    StorageRow,
    Sustained,
    TextTimes,
    headline_length,
    is_the_device,
)
from edgepack.measure.statistics import summarize
from edgepack.pack.manifest import Manifest

LENGTHS = (16, 64, 128)
CONTEXTS = (64, 512)  # tokens before the one that a decoder is timed on
PROMPTS = (16, 128, 512)
_PAUSE_S = 0.3


class Workload(Frozen):
    """What one model is timed on: kinds of jobs with their lengths in tokens, and the lengths that memory is measured at."""

    timed: tuple[tuple[str, tuple[int, ...]], ...]
    memory: tuple[str, tuple[int, ...]]


def measure(
    folder: Path, manifest: Manifest, median_length: int | None, effort: Effort = FULL, on: Machine | None = None, target: str = "local"
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
    first_start = _first_start(run) if manifest.weight_cache else None
    with bar("measure", total) as progress:
        storage = _storage(run) if "storage" in on.can else None
        load = tuple(_loads(run, manifest, cold, effort, progress) for cold in (True, False))
        memory = tuple(_memory(run, kind, length, count, progress) for length in lengths for count in threads)
        rows, runs = _latencies(run, configurations, effort, progress)
    environment = _environment(machine, runs, median_length)
    latency, first_token = _of_kind(rows, ("latency", "decode")), _of_kind(rows, ("prefill",))
    sustained = _sustained(run, manifest, effort, threads[-1]) if effort.sustained_s else None
    found = Measurement(
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
        texts=_texts(run) if "texts" in on.can else None,
        sustained=sustained,
        environment=environment,
        doubts=(),
    )
    return found.model_copy(update={"doubts": tuple(doubts(found)), "is_steady": is_steady(found)})


def workload(manifest: Manifest, median_length: int | None) -> Workload:
    """A decoder is timed on single tokens by context and on prompts, any other model on whole texts."""
    headline = headline_length(manifest)
    if not manifest.cache:
        lengths = (*LENGTHS, manifest.recipe.length, *([median_length] if median_length else []))
        return Workload(timed=(("latency", _up_to(manifest.max_length, lengths)),), memory=("memory", (headline,)))
    contexts = _up_to(manifest.positions - 1, (*CONTEXTS, headline))
    prompts = _up_to(manifest.positions, (*PROMPTS, headline))
    return Workload(timed=(("decode", contexts), ("prefill", prompts)), memory=("decode_memory", contexts))


def _up_to(most: int, lengths: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted({min(length, most) for length in lengths}))


def _of_kind(rows: dict[tuple[str, int, int], LatencyRow], kinds: tuple[str, ...]) -> tuple[LatencyRow, ...]:
    return tuple(row for (kind, _, _), row in rows.items() if kind in kinds)


def load_job(cold: bool, threads: int = 1, length: int = 16) -> dict[str, Any]:
    return {"kind": "load", "cold": cold, "threads": threads, "length": length}


def _loads(run: RunJob, manifest: Manifest, cold: bool, effort: Effort, progress) -> LoadRow:
    found = []
    for _ in range(effort.loads):
        found.append(run(load_job(cold)))
        progress.advance()
    half = manifest.file_mb * 1e6 / 2
    read = tuple(one["read_bytes"] for one in found)
    return LoadRow(
        cold=cold,
        cold_is_proved=all(count is not None and count >= half for count in read) if cold else None,
        session_ms=tuple(round(one["session_ms"], 3) for one in found),
        first_inference_ms=tuple(round(one["first_inference_ms"], 3) for one in found),
        read_bytes=read,
        import_ms=tuple(round(one["runtime"]["import_ms"], 1) for one in found),
    )


def _first_start(run: RunJob) -> FirstStart:
    found = run(load_job(cold=True) | {"first": True})
    return FirstStart(
        session_ms=round(found["session_ms"], 3),
        first_inference_ms=round(found["first_inference_ms"], 3),
        disk_mb=round(found["weight_cache_bytes"] / 1e6, 3),
    )


def _storage(run: RunJob) -> StorageRow | None:
    found = run({"kind": "storage"})
    read = found["read_bytes"]
    return StorageRow(
        mb=round(found["bytes"] / 1e6, 3),
        read_ms=round(found["read_ms"], 3),
        map_ms=round(found["map_ms"], 3),
        read_mb_s=round(found["bytes"] / 1e3 / found["read_ms"], 1),
        is_proved=None if read is None else read >= found["bytes"] / 2,
    )


def _texts(run: RunJob) -> TextTimes | None:
    found = run({"kind": "texts", "threads": 1})
    if found["texts"] is None:
        return None
    before, after = found["tokenizer_ms"], found["after_ms"]
    return TextTimes(
        texts=found["texts"],
        tokenizer=summarize([before]),
        after=summarize([after]),
        tokenizer_ms=tuple(before),
        after_ms=tuple(after),
    )


def _sustained(run: RunJob, manifest: Manifest, effort: Effort, threads: int) -> Sustained:
    """At the length that the latency budget is for, on all cores: the most heat that an app makes."""
    length = headline_length(manifest)
    say(f"  {effort.sustained_s / 60:g} minutes without a pause")
    kind = "sustained_decode" if manifest.cache else "sustained"
    found = run({"kind": kind, "threads": threads, "length": length, "seconds": effort.sustained_s})
    slices = tuple(Slice(**one) for one in found["slices"])
    end = slices[-1].at_s
    first, last = (
        float(np.average([one.p50 for one in group], weights=[one.n for one in group]))
        for group in ([one for one in slices if one.at_s < 60], [one for one in slices if one.at_s > end - 60])
    )
    return Sustained(
        length=length,
        threads=threads,
        seconds=effort.sustained_s,
        first_minute_ms=round(first, 4),
        last_minute_ms=round(last, 4) if effort.sustained_s >= 120 else None,
        slices=slices,
    )


def _memory(run: RunJob, kind: str, length: int, threads: int, progress) -> MemoryRow:
    found = run({"kind": kind, "threads": threads, "length": length})
    progress.advance()
    empty, running = found["empty_mb"], found["running_mb"]

    def over_empty(key: str, base: str) -> float | None:
        return None if running[key] is None or empty[base] is None else round(running[key] - empty[base], 2)

    return MemoryRow(
        threads=threads,
        length=length,
        peak_mb=over_empty("peak", "resident"),
        anonymous_mb=over_empty("anonymous", "anonymous"),
        file_mb=over_empty("file", "file"),
        empty_runtime_mb=None if empty["resident"] is None else round(empty["resident"], 2),
        peak_is_exact=found["peak_is_exact"],
    )


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
            summary=summarize([one["samples_ms"] for one in found]),
            samples_ms=tuple(tuple(one["samples_ms"]) for one in found),
            warm_up_runs=tuple(one["warm_up_runs"] for one in found),
            others=tuple(one["contention"]["others"] for one in found),
            stolen=tuple(one["contention"]["stolen"] for one in found),
        )
        for (kind, length, threads), found in runs.items()
    }
    return rows, [one for found in runs.values() for one in found]


def timing_job(kind: str, length: int, threads: int, effort: Effort) -> dict[str, Any]:
    """A prompt takes as long as many tokens: fewer of them make up a session, by its time as by its count."""
    fewer = {"runs": max(3, effort.runs // 4), "warm_up_runs": 3} if kind == "prefill" else {}
    return {"kind": kind, "length": length, "threads": threads, "runs": effort.runs, "seconds": effort.seconds} | fewer


def _environment(first: dict[str, Any], runs: list[dict[str, Any]], median_length: int | None) -> dict[str, Any]:
    """The machine before the first and after the last run, the runtime, and how busy the machine was in between."""
    return {
        "machine": first["machine"],
        "machine_after": runs[-1]["machine"],
        "runtime": {key: first["runtime"][key] for key in ("name", "version", "numpy")},
        "load_average_highest": max((one["machine_before"]["load_average"] or 0.0 for one in runs), default=None),
        "data_median_length": median_length,
        "batch": 1,
    }
