"""The main job against the plain fp32 export of the same model: size, accuracy, speed and load, side by side in one run.

    python benchmarks/main_job.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2

Builds both packs with the command line (minutes), then measures all files in turn, session by session. Run it alone.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from plain_export import export_plainly

from edgepack.measure.answers import answer
from edgepack.measure.local import run_job
from edgepack.model.material import gather
from edgepack.model.quality import score_outputs
from edgepack.recipe import Recipe

RUNTIME = "onnxruntime"
LENGTHS = (16, 64, 128)
BUILDS = {
    "int8, same": ["--student", "same", "--prune-heads", "0"],
    "int8, 17M, 25 % of heads pruned": ["--student", "17M", "--prune-heads", "25%"],
}
LOADS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--profile", default="raspberry-pi")
    parser.add_argument("--work", type=Path, default=Path("build/main_job"), help="folder for packs and cache; kept between runs")
    parser.add_argument("--sessions", type=int, default=7)
    parser.add_argument("--fresh", action="store_true", help="build without what an earlier run left in the cache")
    wanted = parser.parse_args()

    folders = {"plain fp32 export": wanted.work / "plain"}
    export_plainly(wanted.model, folders["plain fp32 export"])
    seconds = {"plain fp32 export": 0.0}
    for name, flags in BUILDS.items():
        folders[name] = wanted.work / name.replace(" ", "-").replace(",", "").replace("%", "percent")
        seconds[name] = build(wanted, flags, folders[name])

    scores = {name: accuracy(wanted, folder) for name, folder in folders.items()}
    latency = latencies(folders, wanted.sessions)
    turns = [cold for cold in (False, True) for _ in range(LOADS)]
    load = {name: [run_job(folder, RUNTIME, load_job(cold)) for cold in turns] for name, folder in folders.items()}
    running = {"kind": "memory", "threads": 1, "length": 128}
    memory = {name: run_job(folder, RUNTIME, running) for name, folder in folders.items()}
    machine = run_job(folders["plain fp32 export"], RUNTIME, load_job(False))
    print_table(folders, seconds, scores, latency, load, memory, machine)


def build(wanted: argparse.Namespace, flags: list[str], out: Path) -> float:
    """Seconds of `edgepack build` without measuring; 0 where an earlier run's pack stands."""
    if out.exists():
        return 0.0
    cache = wanted.work / (f"cache-{time.time_ns()}" if wanted.fresh else "cache")
    command = [sys.executable, "-m", "edgepack", "build", str(wanted.model), "--data", str(wanted.data), "--profile", wanted.profile]
    started = time.monotonic()
    done = subprocess.run([*command, *flags, "--out", str(out), "--cache", str(cache), "--measure", "off"], check=False)
    if done.returncode == 1:
        sys.exit(1)
    return time.monotonic() - started


def accuracy(wanted: argparse.Namespace, folder: Path) -> float:
    """Of the file itself on the test split, with exact products: as the profile's CPU computes them."""
    material = gather(Recipe(model=str(wanted.model), data=str(wanted.data)))
    outputs = answer(folder, RUNTIME, material.test, threads=2, exact=True)
    return score_outputs(material.task, outputs, material.test, material.rows("test"), material.labels, outputs).value


def latencies(folders: dict[str, Path], sessions: int) -> dict[str, dict[int, list[float]]]:
    """Session medians in ms by file and length, one thread; the files take turns."""
    found: dict[str, dict[int, list[float]]] = {name: {length: [] for length in LENGTHS} for name in folders}
    for _ in range(sessions):
        for length in LENGTHS:
            for name, folder in folders.items():
                job = {"kind": "latency", "length": length, "threads": 1, "runs": 40, "seconds": 2.0}
                found[name][length].append(float(np.median(run_job(folder, RUNTIME, job)["samples_ms"])))
    return found


def load_job(cold: bool) -> dict:
    return {"kind": "load", "cold": cold, "threads": 1, "length": 16}


def print_table(folders, seconds, scores, latency, load, memory, machine) -> None:
    plain = next(iter(folders))
    where, runtime = machine["machine"]["cpu"], machine["runtime"]
    print(f"\n{where}, {runtime['name']} {runtime['version']}, one thread, medians of session medians\n")
    print("| file | build s | MB | accuracy | of the teacher | " + " | ".join(f"S{n} ms (times as fast)" for n in LENGTHS), end=" | ")
    print("load warm ms | cold ms | peak MB over an empty runtime |")
    print("|---" * (8 + len(LENGTHS)) + "|")
    for name, folder in folders.items():
        speeds = []
        for length in LENGTHS:
            ratios = [own / other for own, other in zip(latency[plain][length], latency[name][length], strict=True)]
            low, middle, high = np.percentile(ratios, [0, 50, 100])
            speeds.append(f"{np.median(latency[name][length]):.2f} ({middle:.2f}; {low:.2f} to {high:.2f})")
        warm, cold = ([one["session_ms"] for one in load[name] if one["job"]["cold"] is wish] for wish in (False, True))
        peak_mb = memory[name]["running_mb"]["peak"] - memory[name]["empty_mb"]["resident"]
        file_mb = sum(path.stat().st_size for path in folder.glob("model.onnx*")) / 1e6
        cells = [name, f"{seconds[name]:.0f}" if seconds[name] else "–", f"{file_mb:.2f}", f"{scores[name]:.4f}"]
        cells += [f"{scores[name] / scores[plain]:.2%}", *speeds, f"{np.median(warm):.1f}", f"{np.median(cold):.1f}", f"{peak_mb:.1f}"]
        print("| " + " | ".join(cells) + " |")
    raw = {"latency_session_medians_ms": latency, "load": load, "memory": memory, "environment": machine["machine"]}
    (folders[plain].parent / "raw.json").write_text(json.dumps(raw, indent=1))
    print(f"\nraw samples: {folders[plain].parent}/raw.json")


if __name__ == "__main__":
    main()
