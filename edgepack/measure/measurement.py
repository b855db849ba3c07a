"""measure(): a pack's load, latency and memory on a target, by the protocol, with raw samples and the environment they came from."""

import functools
import time
from pathlib import Path
from typing import Any, Literal

from edgepack.frozen import Frozen
from edgepack.measure.machine import Machine, RunJob
from edgepack.measure.statistics import Summary, summarize
from edgepack.measure.transports.local import Here
from edgepack.pack import Manifest
from edgepack.profile import Profile
from edgepack.progress import bar

LENGTHS = (16, 64, 128)
CONTEXTS = (64, 512)  # tokens before the one that a decoder is timed on
PROMPTS = (16, 128, 512)
_PAUSE_S = 0.3


class Effort(Frozen):
    """How long to measure: all sessions together take `sessions * runs` inferences and `sessions * seconds` at least."""

    name: Literal["full", "quick"]
    sessions: int
    runs: int
    seconds: float
    loads: int


FULL = Effort(name="full", sessions=5, runs=40, seconds=2.0, loads=5)
QUICK = Effort(name="quick", sessions=2, runs=10, seconds=0.1, loads=2)


class LatencyRow(Frozen):
    """Single inferences of `length` tokens, or of one token behind `length` others; samples_ms holds each session's raw samples."""

    length: int
    threads: int
    summary: Summary
    samples_ms: tuple[tuple[float, ...], ...]
    warm_up_runs: tuple[int, ...]


class LoadRow(Frozen):
    """Session loads in fresh processes. cold_is_proved: the storage delivered at least half of the file's bytes each time."""

    cold: bool
    cold_is_proved: bool | None
    session_ms: tuple[float, ...]
    first_inference_ms: tuple[float, ...]
    read_bytes: tuple[int | None, ...]
    import_ms: tuple[float, ...]  # of the runtime's own module; not part of session_ms


class FirstStart(Frozen):
    """The start that fills the weight cache, which all loads in the other rows found there. disk_mb: what it takes beside the pack."""

    session_ms: float
    first_inference_ms: float
    disk_mb: float


class MemoryRow(Frozen):
    """Memory of one session, 10^6 bytes, less what the same process held with the runtime imported and nothing loaded."""

    threads: int
    length: int
    peak_mb: float | None
    anonymous_mb: float | None
    file_mb: float | None
    empty_runtime_mb: float | None
    peak_is_exact: bool


class Measurement(Frozen):
    """origin says what kind of number all of these are; `environment` where they come from."""

    origin: Literal["measured"] = "measured"
    pack_id: str
    target: str = "local"  # as the user named it
    where: str
    is_the_device: bool
    effort: Effort
    latency: tuple[LatencyRow, ...]  # of a decoder: of one token, by the tokens before it
    load: tuple[LoadRow, ...]
    memory: tuple[MemoryRow, ...]
    first_start: FirstStart | None = None  # where the pack keeps a weight cache
    first_token: tuple[LatencyRow, ...] = ()  # of a decoder: from a prompt of `length` tokens to the first token behind it
    environment: dict[str, Any]
    doubts: tuple[str, ...]


class Workload(Frozen):
    """What one model is timed on: kinds of jobs with their lengths in tokens, and the lengths that memory is measured at."""

    timed: tuple[tuple[str, tuple[int, ...]], ...]
    memory: tuple[str, tuple[int, ...]]


def measure(
    folder: Path, manifest: Manifest, median_length: int | None, effort: Effort = FULL, on: Machine | None = None, target: str = "local"
) -> Measurement:
    """Measures the pack on this machine, or `on` another that has it, called `target`. median_length: the data's own, in tokens,
    beside 16, 64 and 128."""
    on = on or Here()
    run = functools.partial(on.run_job, folder, manifest.plan.runtime)
    machine = run(_load_job(cold=False))
    threads = sorted({1, machine["machine"]["cores"]})
    work = workload(manifest, median_length)
    configurations = [(kind, length, count) for kind, lengths in work.timed for length in lengths for count in threads]
    kind, lengths = work.memory
    total = effort.sessions * len(configurations) + 2 * effort.loads + len(threads) * len(lengths)
    first_start = _first_start(run) if manifest.weight_cache else None
    with bar("measure", total) as progress:
        load = tuple(_loads(run, manifest, cold, effort, progress) for cold in (True, False))
        memory = tuple(_memory(run, kind, length, count, progress) for length in lengths for count in threads)
        rows, runs = _latencies(run, configurations, effort, progress)
    environment = _environment(machine, runs, median_length)
    arch = environment["machine"]["arch"]
    latency, first_token = _of_kind(rows, ("latency", "decode")), _of_kind(rows, ("prefill",))
    return Measurement(
        pack_id=manifest.pack_id,
        target=target,
        where=f"{arch} {on.place} ({environment['machine']['cpu']})",
        is_the_device=is_the_device(manifest.profile, environment["machine"]),
        effort=effort,
        latency=latency,
        load=load,
        memory=memory,
        first_start=first_start,
        first_token=first_token,
        environment=environment,
        doubts=tuple(_doubts((*latency, *first_token), load, environment)),
    )


def headline_length(manifest: Manifest) -> int:
    """The tokens that the latency budget is for; behind them a decoder has room for one more."""
    length = min(manifest.recipe.length, manifest.max_length)
    return min(length, manifest.positions - 1) if manifest.cache else length


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


def is_the_device(profile: Profile, machine: dict[str, Any]) -> bool:
    """Whether this machine is the profile's: the same architecture and the CPU part that the profile names."""
    arch = {"AMD64": "x86_64", "arm64": "aarch64"}.get(machine["arch"], machine["arch"])
    names = [_plain(machine[key]) for key in ("cpu", "cpu_part") if machine.get(key)]
    return arch == profile.cpu.arch and any(_plain(profile.cpu.part) in name for name in names)


def _plain(name: str) -> str:
    return "".join(c for c in name.lower().replace("(r)", "").replace("(tm)", "") if c.isalnum())


def _load_job(cold: bool, threads: int = 1, length: int = 16) -> dict[str, Any]:
    return {"kind": "load", "cold": cold, "threads": threads, "length": length}


def _loads(run: RunJob, manifest: Manifest, cold: bool, effort: Effort, progress) -> LoadRow:
    found = []
    for _ in range(effort.loads):
        found.append(run(_load_job(cold)))
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
    found = run(_load_job(cold=True) | {"first": True})
    return FirstStart(
        session_ms=round(found["session_ms"], 3),
        first_inference_ms=round(found["first_inference_ms"], 3),
        disk_mb=round(found["weight_cache_bytes"] / 1e6, 3),
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
            runs[configuration].append(run(_timing_job(*configuration, effort)))
            progress.advance()
        time.sleep(_PAUSE_S)
    rows = {
        (kind, length, threads): LatencyRow(
            length=length,
            threads=threads,
            summary=summarize([one["samples_ms"] for one in found]),
            samples_ms=tuple(tuple(one["samples_ms"]) for one in found),
            warm_up_runs=tuple(one["warm_up_runs"] for one in found),
        )
        for (kind, length, threads), found in runs.items()
    }
    return rows, [one for found in runs.values() for one in found]


def _timing_job(kind: str, length: int, threads: int, effort: Effort) -> dict[str, Any]:
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


def _doubts(latency: tuple[LatencyRow, ...], load: tuple[LoadRow, ...], environment: dict[str, Any]) -> list[str]:
    doubts = [
        f"{row.length} tokens, {row.threads} threads: session medians spread by {row.summary.spread:.0%} (over 5 %)"
        for row in latency
        if not row.summary.steady
    ]
    if not all(row.cold_is_proved for row in load if row.cold):
        doubts.append("cold load is not proved: the storage delivered less than half of the file")
    before, after = environment["machine"]["clock_mhz"], environment["machine_after"]["clock_mhz"]
    if before and after and abs(after / before - 1) > 0.05:
        doubts.append(f"the clock went from {before:.0f} to {after:.0f} MHz")
    busy = environment["load_average_highest"]
    if busy is not None and busy > environment["machine"]["cores"] + 0.5:
        doubts.append(f"other work was running: load average {busy:.1f} on {environment['machine']['cores']} cores")
    return doubts
