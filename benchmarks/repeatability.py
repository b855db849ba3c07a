"""Whether the same pack measures the same again, and what the harness costs beside a bare loop over the runtime.

    python benchmarks/repeatability.py --pack packs/mine            # five runs of `edgepack measure`, then both loops in turn; run it alone
    python benchmarks/repeatability.py --pack packs/mine --beside packs/other      # five runs of pairs, also where other work goes on

A run that the tool itself calls not steady counts as refused. The bare loop is ten lines with onnxruntime alone and the pack's own
session settings, in a process of its own, timed by tens; of the harness's single samples tens are taken together alike.

Pairs: both packs lie open in one process and take turns as ABBA, so that what slows the machine for a while slows both, and a drift cancels
out. A run is a process; its figure is the median of the ratios of its ABBAs.
"""

import argparse
import json
import multiprocessing
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import edgepack
from edgepack.measure.machines.transports.local import run_job
from edgepack.measure.measurement import FULL, headline_length
from edgepack.measure.measuring import measure
from edgepack.pack.manifest import Manifest, read_manifest

_BARE = """
import json, sys, time, numpy as np, onnxruntime as ort
pack, ids, threads, runs = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
manifest = json.load(open(pack + "/pack.json"))
options = ort.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
levels = {"disable_all": 0, "basic": 1, "extended": 2, "all": 99}
options.graph_optimization_level = ort.GraphOptimizationLevel(levels[manifest["session"]["graph_optimization_level"]])
for key, value in manifest["session"]["config"].items():
    options.add_session_config_entry(key, value)
session = ort.InferenceSession(pack + "/" + manifest["model"], options, disabled_optimizers=manifest["session"]["disabled_optimizers"])
array = np.array([ids], np.int64)
known = {"input_ids": array, "attention_mask": np.ones_like(array), "token_type_ids": np.zeros_like(array)}
feeds = {name: known[name] for name in manifest["inputs"]}
for _ in range(20):
    session.run(None, feeds)
times = []
for _ in range(runs):
    start = time.perf_counter()
    for _ in range(10):
        session.run(None, feeds)
    times.append((time.perf_counter() - start) * 1e3 / 10)
print(json.dumps(float(np.median(times))))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--force", action="store_true", help="measure also where other work goes on")
    parser.add_argument("--beside", type=Path, help="another pack of an encoder: pairs alone are measured")
    parser.add_argument("--turns", type=int, default=60, help="ABBAs of each run of pairs")
    wanted = parser.parse_args()
    if wanted.beside:
        pairs(wanted)
        return
    manifest = read_manifest(wanted.pack)
    effort = FULL.model_copy(update={"force": wanted.force})
    result = [measure(wanted.pack, manifest, None, effort) for _ in range(wanted.runs)]
    print("\n| tokens | threads | p90 ms of each run | spread of p90 | of p50 | called steady |\n|---|---|---|---|---|---|")
    for index, row in enumerate(result[0].latency):
        rows = [each.latency[index].summary for each in result]
        p90, p50 = ([getattr(each, name) for each in rows] for name in ("p90", "p50"))
        steady = f"{sum(each.steady for each in rows)} of {len(rows)}"
        text = ", ".join(f"{each:.2f}" for each in p90)
        print(f"| {row.length} | {row.threads} | {text} | {_spread(p90):.1%} | {_spread(p50):.1%} | {steady} |")
    print(f"\nruns that the tool called steady as a whole: {sum(each.is_steady for each in result)} of {len(result)}")
    overhead(wanted.pack, manifest, wanted.runs)


def pairs(wanted: argparse.Namespace) -> None:
    """How far runs differ in their times, and in the ratio of two packs."""
    fresh = multiprocessing.get_context("spawn")
    print("| tokens | by | pack ms of each run | spread | other ms | spread | ratio | spread |\n|---|---|---|---|---|---|---|---|")
    for length in (16, 128):
        runs = []
        for _ in range(wanted.runs):
            with fresh.Pool(1) as pool:
                runs.append(pool.apply(paired, (wanted.pack, wanted.beside, length, wanted.turns)))
        for clock in _CLOCKS:
            columns = list(zip(*(run[clock] for run in runs), strict=True))
            cells = [f"{', '.join(f'{value:.3f}' for value in column)} | {_spread(list(column)):.1%}" for column in columns]
            print(f"| {length} | {clock} | {' | '.join(cells)} |", flush=True)


_CLOCKS = {"clock": time.perf_counter, "CPU": time.process_time}


def paired(pack: Path, beside: Path, length: int, turns: int) -> dict[str, tuple[float, float, float]]:
    """By clock: medians in ms of both packs, and the median of the ratios of the ABBAs. One thread."""
    models = {name: edgepack.load(path, 1) for name, path in (("A", pack), ("B", beside))}
    ids = {"A": _ids(pack, length), "B": _ids(beside, length)}
    samples = [[(name, _timed(models[name], ids[name])) for name in "ABBA"] for _ in range(turns + 5)][5:]
    figures = {}
    for clock in _CLOCKS:
        times = {name: [[each[clock] for which, each in four if which == name] for four in samples] for name in "AB"}
        ratios = [sum(ours) / sum(theirs) for ours, theirs in zip(times["A"], times["B"], strict=True)]
        medians = [1e3 * statistics.median(value for four in times[name] for value in four) for name in "AB"]
        figures[clock] = (medians[0], medians[1], statistics.median(ratios))
    return figures


def _timed(model: Any, ids: list[int]) -> dict[str, float]:
    began = {name: clock() for name, clock in _CLOCKS.items()}
    model.session.run(ids, [0] * len(ids))
    return {name: clock() - began[name] for name, clock in _CLOCKS.items()}


def overhead(pack: Path, manifest: Manifest, rounds: int) -> None:
    """The harness's median against the bare loop's, in turn."""
    print("\n| tokens | threads | harness ms | bare loop ms | overhead |\n|---|---|---|---|---|")
    for length in sorted({16, headline_length(manifest)}):
        ours, bare = [], []
        for _ in range(rounds):
            job = {"kind": "latency", "length": length, "threads": 1, "runs": 100, "seconds": 1.0}
            ours.append(_median_of_tens(run_job(pack, "onnxruntime", job)["samples_ms"]))
            bare.append(_bare(pack, length))
        times = statistics.median(mine / theirs for mine, theirs in zip(ours, bare, strict=True))
        print(f"| {length} | 1 | {statistics.median(ours):.3f} | {statistics.median(bare):.3f} | {times - 1:+.1%} |")


def _median_of_tens(samples: list[float]) -> float:
    return statistics.median(statistics.mean(samples[at : at + 10]) for at in range(0, len(samples) - 9, 10))


def _bare(pack: Path, length: int) -> float:
    """Median over tens of an inference's ms, over the same random ids that the harness takes."""
    ids = _ids(pack, length)
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(_BARE)
        file.flush()
        done = subprocess.run(
            [sys.executable, file.name, str(pack), json.dumps(ids), "1", "20"], capture_output=True, text=True, check=True
        )
    return json.loads(done.stdout)


def _ids(pack: Path, length: int) -> list[int]:
    """As targets/protocol.py draws them."""
    draw, vocab = random.Random(length), read_manifest(pack).vocab
    return [draw.randrange(vocab) for _ in range(length)]


def _spread(values: list[float]) -> float:
    return (max(values) - min(values)) / statistics.median(values)


if __name__ == "__main__":
    main()
