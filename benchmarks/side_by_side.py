"""Builds packs and measures files in turn, session by session, against the plain fp32 export of the same model."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from plain_export import export_plainly

from edgepack.measure.answers import answer
from edgepack.measure.local import run_job
from edgepack.model.material import gather
from edgepack.model.quality import score_outputs
from edgepack.recipe import Recipe

RUNTIME = "onnxruntime"
PLAIN = "plain fp32 export"
LENGTHS = (16, 64, 128)
LOADS = 7


def arguments(description: str, work: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--profile", default="raspberry-pi")
    parser.add_argument("--work", type=Path, default=Path(work), help="folder for packs and cache; kept between runs")
    parser.add_argument("--sessions", type=int, default=7)
    return parser.parse_args()


def compare(wanted: argparse.Namespace, builds: dict[str, list[str]]) -> None:
    """Builds a pack for each list of flags, measures all of them beside the plain export, and prints the table."""
    folders = {PLAIN: wanted.work / "plain"}
    export_plainly(wanted.model, folders[PLAIN])
    seconds = {PLAIN: 0.0}
    for name, flags in builds.items():
        folders[name] = wanted.work / "".join(c if c.isalnum() else "-" for c in name)
        seconds[name] = _build(wanted, flags, folders[name])
    scores = {name: _accuracy(wanted, folder) for name, folder in folders.items()}
    latency = _latencies(folders, wanted.sessions)
    turns = [cold for cold in (False, True) for _ in range(LOADS)]
    load = {name: [run_job(folder, RUNTIME, _load_job(cold)) for cold in turns] for name, folder in folders.items()}
    running = {"kind": "memory", "threads": 1, "length": 128}
    memory = {name: run_job(folder, RUNTIME, running) for name, folder in folders.items()}
    facts = run_job(folders[PLAIN], RUNTIME, _load_job(False))
    raw = {"latency_session_medians_ms": latency, "load": load, "memory": memory, "environment": facts["machine"]}
    (wanted.work / "raw.json").write_text(json.dumps(raw, indent=1))
    print(f"\n{facts['machine']['cpu']}, {RUNTIME} {facts['runtime']['version']}, one thread, medians of session medians\n")
    _print_table(folders, seconds, scores, raw)
    print(f"\nraw samples: {wanted.work}/raw.json")


def _build(wanted: argparse.Namespace, flags: list[str], out: Path) -> float:
    """Seconds of `edgepack build` without measuring; 0 where an earlier run's pack stands."""
    if out.exists():
        return 0.0
    command = [sys.executable, "-m", "edgepack", "build", str(wanted.model), "--data", str(wanted.data), "--profile", wanted.profile]
    started = time.monotonic()
    where = ["--out", str(out), "--cache", str(wanted.work / "cache"), "--measure", "off"]
    done = subprocess.run([*command, *flags, *where], check=False)
    if done.returncode == 1:
        sys.exit(1)
    return time.monotonic() - started


def _accuracy(wanted: argparse.Namespace, folder: Path) -> float:
    """Of the file itself on the test split, with exact products: as the profile's CPU computes them."""
    material = gather(Recipe(model=str(wanted.model), data=str(wanted.data)))
    outputs = answer(folder, RUNTIME, material.test, threads=2, exact=True)
    return score_outputs(material.task, outputs, material.test, material.rows("test"), material.labels, outputs).value


def _latencies(folders: dict[str, Path], sessions: int) -> dict[str, dict[int, list[float]]]:
    """Session medians in ms by file and length, one thread; the files take turns."""
    found: dict[str, dict[int, list[float]]] = {name: {length: [] for length in LENGTHS} for name in folders}
    for _ in range(sessions):
        for length in LENGTHS:
            for name, folder in folders.items():
                job = {"kind": "latency", "length": length, "threads": 1, "runs": 40, "seconds": 2.0}
                found[name][length].append(float(np.median(run_job(folder, RUNTIME, job)["samples_ms"])))
    return found


def _load_job(cold: bool) -> dict[str, Any]:
    return {"kind": "load", "cold": cold, "threads": 1, "length": 16}


def _print_table(folders: dict[str, Path], seconds: dict[str, float], scores: dict[str, float], raw: dict[str, Any]) -> None:
    print("| file | build s | MB | accuracy | of the teacher | " + " | ".join(f"S{n} ms" for n in LENGTHS), end=" | ")
    print("load warm ms | cold ms | peak MB over an empty runtime |")
    print("|---" * (8 + len(LENGTHS)) + "|")
    latency = raw["latency_session_medians_ms"]
    for name, folder in folders.items():
        speeds = []
        for length in LENGTHS:
            ratios = [own / other for own, other in zip(latency[PLAIN][length], latency[name][length], strict=True)]
            low, middle, high = np.percentile(ratios, [0, 50, 100])
            times = "" if name == PLAIN else f" ({middle:.2f}; {low:.2f} to {high:.2f})"
            speeds.append(f"{np.median(latency[name][length]):.2f}{times}")
        warm, cold = ([one["session_ms"] for one in raw["load"][name] if one["job"]["cold"] is wish] for wish in (False, True))
        found = raw["memory"][name]
        peak_mb = found["running_mb"]["peak"] - found["empty_mb"]["resident"]
        file_mb = sum(path.stat().st_size for path in folder.glob("model.onnx*")) / 1e6
        cells = [name, f"{seconds[name]:.0f}" if seconds[name] else "–", f"{file_mb:.2f}", f"{scores[name]:.4f}"]
        cells += [f"{scores[name] / scores[PLAIN]:.2%}", *speeds, f"{np.median(warm):.1f}", f"{np.median(cold):.1f}", f"{peak_mb:.1f}"]
        print("| " + " | ".join(cells) + " |")
