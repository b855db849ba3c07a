"""compare_on(): measures several packs on one machine in turn, so that a disturbance affects all of them."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from edgepack.core.progress import bar
from edgepack.core.records import Frozen
from edgepack.measure.doubts import highest, is_too_much, share_in_words, wait_for_quiet
from edgepack.measure.machines.machine import Machine, check_can
from edgepack.measure.measurement import Effort, headline_length
from edgepack.measure.statistics import Ratio, Summary, ratio, summarize
from edgepack.measure.workload import load_job, timing_job
from edgepack.pack.manifest import Manifest

_LENGTHS = (16, 64)
_PAUSE_S = 0.3
What = Literal["latency_ms", "first_token_ms", "cold_load_ms", "warm_load_ms", "ram_mb"]
Packs = Sequence[tuple[Path, Manifest]]


class Compared(Frozen):
    """One figure of one pack. samples: raw, by session. ratio: to the first pack's, of the same sessions; None for the first itself."""

    what: What
    length: int | None
    threads: int
    pack: int  # its index among those that were named
    summary: Summary
    samples: tuple[tuple[float, ...], ...]
    ratio: Ratio | None


class Comparison(Frozen):
    """All packs on one target. doubts: why the figures may be off, such as other work or other guests on the cores."""

    target: str
    where: str
    effort: Effort
    rows: tuple[Compared, ...]
    runtimes: tuple[str, ...]  # of each pack
    machine: dict[str, Any]
    doubts: tuple[str, ...]
    origin: Literal["measured"] = "measured"


Job = tuple[What, int | None, int, Callable[[dict[str, Any]], list[float]], dict[str, Any]]


def compare_on(machine: Machine, target: str, packs: Packs, effort: Effort) -> Comparison:
    """EdgepackError: other work goes on there (unless `effort` takes that), or a pack does not run there."""
    check_can(machine, "times", target)
    first_folder, first = packs[0]
    machine.push(first_folder, first)
    if not effort.force and "quiet" in machine.can:
        wait_for_quiet(functools.partial(machine.run_job, first_folder, first.plan.runtime), target)
    facts = machine.run_job(first_folder, first.plan.runtime, load_job(cold=False))["machine"]
    jobs = _jobs([manifest for _, manifest in packs], sorted({1, facts["cores"]}), effort)
    samples: dict[tuple[int, int], list[list[float]]] = {(job, pack): [] for job in range(len(jobs)) for pack in range(len(packs))}
    crowd: list[tuple[float | None, float | None]] = []
    runtimes = [""] * len(packs)
    with bar(f"compare on {target}", effort.sessions * len(jobs) * len(packs)) as progress:
        for session in range(effort.sessions):
            order = range(len(packs)) if session % 2 == 0 else reversed(range(len(packs)))  # so that none is always the first
            for pack in order:
                folder, manifest = packs[pack]
                machine.push(folder, manifest)
                for index, (_, _, _, read, job) in enumerate(jobs):
                    result = machine.run_job(folder, manifest.plan.runtime, job)
                    samples[index, pack].append(read(result))
                    contention = result.get("contention", {})
                    crowd.append((contention.get("others"), contention.get("stolen")))
                    runtimes[pack] = f"{result['runtime']['name']} {result['runtime']['version']}"
                    progress.advance()
            time.sleep(_PAUSE_S)
    known = [index for index in range(len(jobs)) if all(session for pack in range(len(packs)) for session in samples[index, pack])]
    rows = tuple(_row(jobs[index], pack, samples[index, pack], samples[index, 0]) for index in known for pack in range(len(packs)))
    return Comparison(
        target=target,
        where=f"{facts['arch']} {machine.place} ({facts['cpu']})",
        effort=effort,
        rows=rows,
        runtimes=tuple(runtimes),
        machine=facts,
        doubts=tuple(_doubts(rows, crowd)),
    )


def _jobs(manifests: Sequence[Manifest], threads: Sequence[int], effort: Effort) -> list[Job]:
    """Kinds, lengths and thread counts that all packs can do; loads are one sample a session."""
    decodes = manifests[0].is_decoder
    headline = min(headline_length(manifest) for manifest in manifests)
    lengths = sorted({*(length for length in _LENGTHS if length < headline), headline})
    kinds: list[tuple[What, str]] = [("latency_ms", "decode"), ("first_token_ms", "prefill")] if decodes else [("latency_ms", "latency")]
    timed: list[Job] = [
        (what, length, count, lambda result: result["samples_ms"], timing_job(kind, length, count, effort))
        for what, kind in kinds
        for length in lengths
        for count in threads
    ]
    memory = {"kind": "decode_memory" if decodes else "memory", "threads": threads[-1], "length": headline}
    return [
        *timed,
        ("cold_load_ms", None, 1, lambda result: [result["session_ms"]], load_job(cold=True)),
        ("warm_load_ms", None, 1, lambda result: [result["session_ms"]], load_job(cold=False)),
        ("ram_mb", headline, threads[-1], _peak_mb, memory),
    ]


def _peak_mb(result: dict[str, Any]) -> list[float]:
    """Over an empty runtime; nothing where the system does not tell."""
    peak, empty = result["running_mb"]["peak"], result["empty_mb"]["resident"]
    return [] if peak is None or empty is None else [round(peak - empty, 3)]


def _row(job: Job, pack: int, samples: list[list[float]], first: list[list[float]]) -> Compared:
    what, length, threads, *_ = job
    return Compared(
        what=what,
        length=length,
        threads=threads,
        pack=pack,
        summary=summarize(samples),
        samples=tuple(tuple(session) for session in samples),
        ratio=ratio(samples, first) if pack else None,
    )


def _doubts(rows: Sequence[Compared], crowd: Sequence[tuple[float | None, float | None]]) -> Iterator[str]:
    timed = [row for row in rows if row.length and row.what != "ram_mb"]
    unsteady = [row for row in timed if not row.summary.steady]
    if unsteady:
        yield (
            f"{len(unsteady)} of {len(timed)} rows: the medians of their sessions differ by "
            "over 5 %, so a ratio compares figures of one session"
        )
    others, stolen = highest(share for share, _ in crowd), highest(share for _, share in crowd)
    if is_too_much(others, stolen):
        most = share_in_words(others)
        yield f"other programs ran: at most {most} of the cores in one session, and {share_in_words(stolen)} went to other guests"
