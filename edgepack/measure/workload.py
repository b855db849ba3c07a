"""What a pack is timed on, and the jobs that ask a machine for it."""

from typing import Any

from edgepack.core.records import Frozen
from edgepack.measure.measurement import Effort, headline_length
from edgepack.pack.manifest import Manifest

LENGTHS = (16, 64, 128)
CONTEXTS = (64, 512)  # tokens before the one that a decoder is timed on
PROMPTS = (16, 128, 512)


class Workload(Frozen):
    """What one model is timed on: kinds of jobs with their lengths in tokens, and the lengths that memory is measured at."""

    timed: tuple[tuple[str, tuple[int, ...]], ...]
    memory: tuple[str, tuple[int, ...]]


def workload(manifest: Manifest, median_length: int | None) -> Workload:
    """A decoder is timed on single tokens by context and on prompts, any other model on whole texts."""
    headline = headline_length(manifest)
    if not manifest.is_decoder:
        lengths = (*LENGTHS, manifest.recipe.length, *([median_length] if median_length else []))
        return Workload(timed=(("latency", _up_to(manifest.max_length, lengths)),), memory=("memory", (headline,)))
    contexts = _up_to(manifest.positions - 1, (*CONTEXTS, headline))
    prompts = _up_to(manifest.positions, (*PROMPTS, headline))
    return Workload(timed=(("decode", contexts), ("prefill", prompts)), memory=("decode_memory", contexts))


def _up_to(most: int, lengths: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted({min(length, most) for length in lengths}))


def load_job(cold: bool, threads: int = 1, length: int = 16) -> dict[str, Any]:
    """The job that opens a session and runs one inference of `length` tokens. cold: the file is out of the page cache first."""
    return {"kind": "load", "cold": cold, "threads": threads, "length": length}


def timing_job(kind: str, length: int, threads: int, effort: Effort) -> dict[str, Any]:
    """A prompt takes as long as many tokens: fewer of them make up a session, by its time as by its count."""
    fewer = {"runs": max(3, effort.runs // 4), "warm_up_runs": 3} if kind == "prefill" else {}
    return {"kind": kind, "length": length, "threads": threads, "runs": effort.runs, "seconds": effort.seconds} | fewer
