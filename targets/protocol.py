"""The jobs that a target can do with a pack, the same for every runtime: load, latency, memory, answer.

Runs on the device with the standard library, numpy and one runtime; never imports edgepack. Protocol: a fresh process for
each job; at least 10 warm-up runs and until the rolling median moves by less than 2 %; raw samples go home, no statistics.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import time
from pathlib import Path

import coded
import conditions
import machine
import numpy as np
import weight_source
from feeds import padded, random_text
from runnable import read_runnable

WARM_UP_RUNS = 10
WARM_UP_SECONDS = 5.0  # a runtime that is not steady by then never is; the report shows the spread
STEADY = 0.02
UNTIMED = ("answer", "count", "generate", "certain")  # jobs that tell something on an emulated CPU too, without their times
WEIGHT_CACHE = ".weight-cache"  # a folder in the pack for what a runtime makes of the weights at its first start


class Refused(Exception):
    """A job that cannot be done as asked: goes home as {"error": {"problem", "fix"}} instead of a result."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.problem, self.fix = problem, fix


def main(runtime_name: str, runtime_version: str, import_ms: float, *jobs_by_opener) -> None:
    """`target.py PACK JOB`: one job given as JSON (or a file of it), one JSON object on the last line of standard output.

    jobs_by_opener: pairs of jobs by kind and what they open a pack with. For JOBS that is open_session(folder, manifest, threads,
    exact), which returns run(feeds) -> list of arrays; feeds are arrays by name.
    """
    folder = Path(sys.argv[1])
    job = json.loads(Path(sys.argv[2]).read_text() if sys.argv[2].endswith(".json") else sys.argv[2])
    manifest = read_runnable(folder)
    work, opener = next((jobs[job["kind"]], opener) for jobs, opener in jobs_by_opener if job["kind"] in jobs)
    emulated_by = machine.emulated_by()
    try:
        if emulated_by and job["kind"] not in UNTIMED:
            raise Refused(
                "{} is not measured: this {} CPU is emulated by {}".format(job["kind"], platform.machine(), emulated_by),
                "measure on a real one: times and memory of an emulated CPU are no device's",
            )
        result = work(folder, manifest, job, opener)
    except (Refused, coded.Damaged) as refused:
        json.dump({"error": {"problem": refused.problem, "fix": refused.fix}}, sys.stdout)
        sys.exit(1)
    if emulated_by:
        import_ms = None
        result.update({name: None for name in result if name.endswith("_ms")})
    result["job"] = {key: value for key, value in job.items() if key not in ("rows", "prompt", "prompts")}
    result["runtime"] = {"name": runtime_name, "version": runtime_version, "numpy": np.__version__, "import_ms": import_ms}
    result["machine"] = machine.facts()
    json.dump(result, sys.stdout)


class Opened:
    """A session as jobs use it: run(feeds) -> arrays, and the weights that it was opened with, for what reading them took."""

    def __init__(self, run, weights) -> None:
        self._run, self.weights = run, weights

    def __call__(self, feeds) -> list:
        return self._run(feeds)


def weights_of(folder, manifest, threads) -> weight_source.Weights:
    """What a runtime is to open, decoded where it is coded, and timed."""
    return weight_source.weights_of(folder, manifest, threads, clock=time.perf_counter)


def load(folder, manifest, job, open_session) -> dict:
    """One session load, cold (files dropped from the page cache first) or warm, and the first inference after it.

    session_ms is all of it. read_ms, decode_ms: the parts of coded weights, read from the file and decoded; null where they are not coded.

    first: as on a machine that never ran the pack, without the weight cache that earlier starts left.
    """
    if job.get("first"):
        shutil.rmtree(folder / WEIGHT_CACHE, ignore_errors=True)
    if job["cold"]:
        machine.drop_from_cache(folder)
    before = machine.bytes_read_from_storage()
    start = time.perf_counter()
    run = open_session(folder, manifest, job["threads"], exact=False)
    session_ms = ms_since(start)
    start = time.perf_counter()
    run(random_text(manifest, job["length"]))
    first_ms = ms_since(start)
    after = machine.bytes_read_from_storage()
    read = None if before is None or after is None else after - before
    caches = (path for path in folder.glob(WEIGHT_CACHE + "/**/*") if path.is_file())
    times = {"session_ms": session_ms, "first_inference_ms": first_ms, "read_bytes": read}
    times["weight_cache_bytes"] = sum(path.stat().st_size for path in caches)
    weights = run.weights if manifest.get("coded") else None
    parts = (weights.read_ms, weights.decode_ms, weights.decoded_bytes) if weights else (None, None, None)
    return {**times, **dict(zip(("read_ms", "decode_ms", "decoded_bytes"), parts))}


def latency(folder, manifest, job, open_session) -> dict:
    """Raw times of single inferences of `length` tokens: at least `runs` of them and `seconds` long."""
    return timed(_next_text(folder, manifest, job, open_session), job)


def sustained(folder, manifest, job, open_session) -> dict:
    """Texts of `length` tokens, one behind the other for `seconds`: see conditions.sustained."""
    return conditions.sustained(_next_text(folder, manifest, job, open_session), job)


def _next_text(folder, manifest, job, open_session):
    run = open_session(folder, manifest, job["threads"], exact=False)
    feeds = random_text(manifest, job["length"])
    return lambda: run(feeds)


def memory(folder, manifest, job, open_session) -> dict:
    """Peak resident memory of loading and running, beside that of the runtime with nothing loaded."""

    def run_some(run) -> None:
        for _ in range(5):
            run(random_text(manifest, job["length"]))

    return occupied(lambda: open_session(folder, manifest, job["threads"], exact=False), run_some)


def answer(folder, manifest, job, open_session) -> dict:
    """Outputs for given token ids: `rows` holds {input name: ids}; `batch` rows at a time, padded to the longest.

    at_once: tokens that a decoder reads in one go, all of them where it is left out; `batch` is 1 then.
    """
    exact = job.get("exact", False)
    if job.get("batch", 1) > 1 and "attention_mask" not in manifest["inputs"]:
        raise Refused("the file reads one text at a time, not {}".format(job["batch"]), "build the pack with --batch")
    scored = {**manifest, "model": manifest.get("score_model") or manifest["model"]}
    run = open_session(folder, scored, job["threads"], exact=exact)
    rows = job["rows"]
    outputs = []
    for at in range(0, len(rows), job.get("batch", 1)):
        group = rows[at : at + job.get("batch", 1)]
        arrays = _outputs(run, manifest, padded(manifest, group), job.get("at_once"))
        stacked = arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=-1)
        for row, output in zip(group, stacked):
            length = len(row["input_ids"])
            outputs.append(_reduced(manifest, row["input_ids"], output[:length] if manifest["per_token"] else output))
    return {"outputs": outputs, "exact_int8": exact}


JOBS = {"load": load, "latency": latency, "sustained": sustained, "memory": memory, "answer": answer, **conditions.JOBS}


def _outputs(run, manifest, feeds, at_once) -> list:
    """The pack's outputs without its cache. A decoder that reads so many tokens `at_once` gets its cache back with each part."""
    count = len(manifest["outputs"])
    if at_once is None:
        return run(feeds)[:count]
    parts: list = []
    cache = {name: array for name, array in feeds.items() if name not in manifest["inputs"]}
    for at in range(0, feeds["input_ids"].shape[1], at_once):
        end = at + at_once
        outputs = run({"input_ids": feeds["input_ids"][:, at:end], "attention_mask": feeds["attention_mask"][:, :end], **cache})
        parts.append(outputs[:count])
        cache = dict(zip(cache, outputs[count:]))
    return [np.concatenate(arrays, axis=1) for arrays in zip(*parts)]


def _reduced(manifest, ids, output) -> list:
    """Next-token logits become the true next token's negative log-likelihood and the likeliest token: two numbers a token."""
    if manifest["task"] != "text-generation":
        return output.tolist()
    logits = output[:-1].astype(np.float64)
    peak = logits.max(axis=-1)
    log_sum = np.log(np.exp(logits - peak[:, None]).sum(axis=-1)) + peak
    nll = log_sum - logits[np.arange(len(logits)), ids[1:]]
    return np.stack([nll, logits.argmax(axis=-1)], axis=-1).tolist()


def timed(act, job) -> dict:
    """Raw times of `act()`, warmed up: at least job["runs"] of them and job["seconds"] long."""
    warm_up_runs = _warm_up(act, job.get("warm_up_runs", WARM_UP_RUNS))
    before, around = machine.facts(), conditions.Contention()
    samples = []
    began = time.perf_counter()
    while len(samples) < job["runs"] or time.perf_counter() - began < job["seconds"]:
        start = time.perf_counter()
        act()
        samples.append(round(ms_since(start), 4))
    return {"samples_ms": samples, "warm_up_runs": warm_up_runs, "machine_before": before, "contention": around.since()}


def occupied(open_it, use_it) -> dict:
    """Memory before `open_it()`, after it, and at the peak of `use_it(what it returned)`."""
    could_reset = machine.reset_peak()
    empty = machine.resident_mb()
    opened = open_it()
    loaded = machine.resident_mb()
    use_it(opened)
    return {"empty_mb": empty, "loaded_mb": loaded, "running_mb": machine.resident_mb(), "peak_is_exact": could_reset}


def _warm_up(act, at_least) -> int:
    times: list = []
    began = time.perf_counter()
    while True:
        start = time.perf_counter()
        act()
        times.append(ms_since(start))
        recent, earlier = times[-WARM_UP_RUNS // 2 :], times[-WARM_UP_RUNS : -WARM_UP_RUNS // 2]
        steady = len(times) >= WARM_UP_RUNS and abs(_median(recent) / _median(earlier) - 1) < STEADY
        if len(times) >= at_least and (steady or time.perf_counter() - began > WARM_UP_SECONDS):
            return len(times)


def _median(values) -> float:
    return float(np.median(values))


def ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3
