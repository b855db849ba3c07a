"""Asks a machine for one kind of figure, and makes its record of the answers. Times of inferences are in measuring.py."""

from typing import Any

import numpy as np

from edgepack.core.progress import say
from edgepack.measure.machines.job_answers import required
from edgepack.measure.machines.machine import RunJob
from edgepack.measure.measurement import (
    CodingRow,
    Decoding,
    Effort,
    FirstStart,
    LoadRow,
    MemoryRow,
    Slice,
    StorageRow,
    Sustained,
    TextTimes,
    ThrottledLoad,
    headline_length,
)
from edgepack.measure.statistics import summarize
from edgepack.measure.workload import load_job
from edgepack.pack.manifest import Manifest

_RATES_MB_S = (10, 20, 40, 90, 400)  # a slow card, cards, an eMMC, a SATA disk
_DECODINGS = 5


def loads(run: RunJob, manifest: Manifest, cold: bool, effort: Effort, progress) -> LoadRow:
    """Session and first inference in ms, `effort.loads` times, each in a new process. cold: the file is out of the page cache first."""
    loads = []
    for _ in range(effort.loads):
        loads.append(run(load_job(cold)))
        progress.advance()
    half = manifest.file_mb * 1e6 / 2
    read = tuple(load["read_bytes"] for load in loads)
    return LoadRow(
        cold=cold,
        cold_is_proved=all(count is not None and count >= half for count in read) if cold else None,
        session_ms=tuple(round(required(load, "session_ms"), 3) for load in loads),
        first_inference_ms=tuple(round(required(load, "first_inference_ms"), 3) for load in loads),
        read_bytes=read,
        import_ms=tuple(round(required(load["runtime"], "import_ms"), 1) for load in loads),
        **_parts(loads, manifest),
    )


def _parts(loads: list[dict[str, Any]], manifest: Manifest) -> dict[str, tuple[float | None, ...]]:
    """What reading and decoding coded weights took of each load."""
    if manifest.coded is None:
        return {}
    rounded = {name: [load.get(name) for load in loads] for name in ("read_ms", "decode_ms")}
    return {name: tuple(None if ms is None else round(ms, 3) for ms in values) for name, values in rounded.items()}


def coding(run: RunJob, threads: int) -> CodingRow:
    """Decoding in memory, and cold loads at the rates of slow and fast storages."""
    answer = run({"kind": "coding", "threads": threads, "runs": _DECODINGS, "rates": list(_RATES_MB_S)})
    decoded_mb, coded_mb = answer["decoded_bytes"] / 1e6, answer["coded_bytes"] / 1e6
    decoding = tuple(
        Decoding(
            threads=row["threads"],
            mb_s=round(decoded_mb / float(np.median(row["samples_ms"])) * 1e3, 1),
            samples_ms=tuple(row["samples_ms"]),
        )
        for row in answer["decode"]
    )
    return CodingRow(
        decoded_mb=round(decoded_mb, 3),
        coded_mb=round(coded_mb, 3),
        decoding=decoding,
        break_even_mb_s=round(decoding[-1].mb_s * (1 - coded_mb / decoded_mb), 1),
        throttled=tuple(_throttled(row) for row in answer["throttled"]),
    )


def _throttled(row: dict[str, Any]) -> ThrottledLoad:
    rates = {name: round(row[name]["read_bytes"] / row[name]["read_ms"] / 1e3, 2) for name in ("coded", "plain")}
    return ThrottledLoad(
        mb_s=row["mb_s"],
        coded_mb_s=rates["coded"],
        coded_load_ms=row["coded"]["load_ms"],
        plain_mb_s=rates["plain"],
        plain_load_ms=row["plain"]["load_ms"],
    )


def first_start(run: RunJob) -> FirstStart:
    """The start that packs the weights: its times in ms, and the MB that it leaves on the disk."""
    load = run(load_job(cold=True) | {"first": True})
    return FirstStart(
        session_ms=round(required(load, "session_ms"), 3),
        first_inference_ms=round(required(load, "first_inference_ms"), 3),
        disk_mb=round(required(load, "weight_cache_bytes") / 1e6, 3),
    )


def storage(run: RunJob) -> StorageRow | None:
    """Times in ms to read and to map the model's files, and MB/s; is_proved is None where the machine does not count reads."""
    storage = run({"kind": "storage"})
    read = storage["read_bytes"]
    return StorageRow(
        mb=round(storage["bytes"] / 1e6, 3),
        read_ms=round(storage["read_ms"], 3),
        map_ms=round(storage["map_ms"], 3),
        read_mb_s=round(storage["bytes"] / 1e3 / storage["read_ms"], 1),
        is_proved=None if read is None else read >= storage["bytes"] / 2,
    )


def texts(run: RunJob) -> TextTimes | None:
    """Times in ms of the tokenizer and of the decision, for the golden texts; None where the pack has no texts."""
    texts = run({"kind": "texts", "threads": 1})
    if texts["texts"] is None:
        return None
    before, after = (required(texts, name) for name in ("tokenizer_ms", "after_ms"))
    return TextTimes(
        texts=texts["texts"],
        tokenizer=summarize([before]),
        after=summarize([after]),
        tokenizer_ms=tuple(before),
        after_ms=tuple(after),
    )


def sustained(run: RunJob, manifest: Manifest, effort: Effort, threads: int) -> Sustained:
    """At the length that the latency budget is for, on all cores: the most heat that an app makes."""
    length = headline_length(manifest)
    say(f"  {effort.sustained_s / 60:g} minutes without a pause")
    kind = "sustained_decode" if manifest.is_decoder else "sustained"
    result = run({"kind": kind, "threads": threads, "length": length, "seconds": effort.sustained_s})
    slices = tuple(Slice(**{name: part.get(name) for name in Slice.model_fields}) for part in result["slices"])
    end = slices[-1].at_s
    first, last = (
        float(np.average([part.p50 for part in group], weights=[part.n for part in group]))
        for group in ([part for part in slices if part.at_s < 60] or slices[:1], [part for part in slices if part.at_s > end - 60])
    )
    return Sustained(
        length=length,
        threads=threads,
        seconds=effort.sustained_s,
        first_minute_ms=round(first, 4),
        last_minute_ms=round(last, 4) if effort.sustained_s >= 120 else None,
        slices=slices,
    )


def memory(run: RunJob, kind: str, length: int, threads: int, progress) -> MemoryRow:
    """Peak memory in MB over an empty runtime; None where the machine does not report it. kind: the job that runs meanwhile."""
    result = run({"kind": kind, "threads": threads, "length": length})
    progress.advance()
    empty, running = result["empty_mb"], result["running_mb"]

    def over_empty(key: str, base: str) -> float | None:
        return None if running[key] is None or empty[base] is None else round(running[key] - empty[base], 2)

    return MemoryRow(
        threads=threads,
        length=length,
        peak_mb=over_empty("peak", "resident"),
        anonymous_mb=over_empty("anonymous", "anonymous"),
        file_mb=over_empty("file", "file"),
        empty_runtime_mb=None if empty["resident"] is None else round(empty["resident"], 2),
        peak_is_exact=result["peak_is_exact"],
    )
