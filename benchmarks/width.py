"""Heads and FFN cut, without training and with three minutes of recovery: speed and accuracy against the whole model.

    python benchmarks/width.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2

Each row is one `edgepack build` with the flags in the table. Files of one precision are compared: what was cut against the
whole model's own export, both optimized alike, at 128 tokens on one thread, in turn. Run it alone. What is cut without
training depends on no seed; three minutes of recovery are one draw.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from intervals import points_lost, right_answers

from edgepack.measure.answers import answer
from edgepack.measure.machines.transports.local import run_job
from edgepack.model.material import gather
from edgepack.plan.recipe import Recipe

RUNTIME, LENGTH = "onnxruntime", 128
WHOLE = "whole"
NO_TRAINING, RECOVERY = (1.5, 0.5), (2.0, 1.5)  # goals: times as fast, points lost at most
UNTRAINED = ["--refit", "--epochs", "0"]
ROWS = {  # name: flags, goal
    WHOLE: (["--prune-heads", "0"], None),
    "heads and FFN": (["--prune-heads", "25%", "--prune-ffn", "42%", *UNTRAINED], NO_TRAINING),
    "the same in each layer": (["--prune-heads", "25%", "--prune-ffn", "42%", "--scope", "layer", *UNTRAINED], NO_TRAINING),
    "FFN alone": (["--prune-heads", "0", "--prune-ffn", "58%", *UNTRAINED], NO_TRAINING),
    "3 minutes": (["--prune-heads", "50%", "--prune-ffn", "55%", "--refit", "--minutes", "3", "--epochs", "20"], RECOVERY),
}
FILES = [(name, "fp32") for name in ROWS] + [(name, "int8") for name in (WHOLE, "heads and FFN", "3 minutes")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/width"), help="folder for packs and cache; kept between runs")
    parser.add_argument("--sessions", type=int, default=7)
    parser.add_argument("--build-only", action="store_true")
    wanted = parser.parse_args()
    packs = {(name, precision): build(wanted, name, precision) for name, precision in FILES}
    if wanted.build_only:
        return
    right = {key: answers(wanted, folder) for key, folder in packs.items()}
    latency = latencies(packs, wanted.sessions)
    (wanted.work / "raw.json").write_text(json.dumps({" ".join(key): values for key, values in latency.items()}, indent=1))
    print_table(packs, right, latency)


def build(wanted: argparse.Namespace, name: str, precision: str) -> Path:
    out = wanted.work / f"{''.join(c if c.isalnum() else '-' for c in name)}-{precision}"
    if not out.exists():
        command = [sys.executable, "-m", "edgepack", "build", str(wanted.model), "--data", str(wanted.data), "--profile", "raspberry-pi"]
        where = ["--out", str(out), "--cache", str(wanted.work / "cache"), "--measure", "off", "--precision", precision]
        if subprocess.run([*command, "--student", "same", *ROWS[name][0], *where], check=False).returncode == 1:
            sys.exit(1)
    return out


def answers(wanted: argparse.Namespace, folder: Path) -> np.ndarray:
    """Right answers [1, rows] of the file itself on the test split, with exact products."""
    material = gather(Recipe(model=str(wanted.model), data=str(wanted.data)))
    outputs = answer(folder, RUNTIME, material.test, threads=2, exact=True)
    return right_answers(outputs, material.test, material.rows("test"), material.labels)[None]


def latencies(packs: dict[tuple[str, str], Path], sessions: int) -> dict[tuple[str, str], list[float]]:
    """Session medians in ms; the files take turns."""
    job = {"kind": "latency", "length": LENGTH, "threads": 1, "runs": 40, "seconds": 2.0}
    result: dict[tuple[str, str], list[float]] = {key: [] for key in packs}
    for _ in range(sessions):
        for key, folder in packs.items():
            result[key].append(float(np.median(run_job(folder, RUNTIME, job)["samples_ms"])))
    return result


def print_table(packs: dict, right: dict, latency: dict) -> None:
    teacher = right[WHOLE, "fp32"]
    print(f"\nteacher, fp32: accuracy {teacher.mean():.4f}; {teacher.shape[1]:,} test sentences, one thread, {LENGTH} tokens\n")
    print("| file | flags | MB | accuracy | points lost to the whole fp32 | to the whole of its precision | ms | times as fast | goal | |")
    print("|---" * 10 + "|")
    for (name, precision), folder in packs.items():
        flags, goal = ROWS[name]
        ratios = np.array(latency[WHOLE, precision]) / np.array(latency[name, precision])
        low, times, high = np.percentile(ratios, [0, 50, 100])
        lost, drop = points_lost(teacher, right[name, precision]), points_lost(right[WHOLE, precision], right[name, precision])
        file_mb = sum(path.stat().st_size for path in folder.glob("model.onnx*")) / 1e6
        cells = [f"{name}, {precision}", f"`{' '.join(flags)}`", f"{file_mb:.1f}", f"{right[name, precision].mean():.4f}", str(lost)]
        cells += [str(drop), f"{np.median(latency[name, precision]):.2f}", f"{times:.2f} ({low:.2f} to {high:.2f})"]
        if goal:
            met = times >= goal[0] and drop.mean <= goal[1]
            cells += [f"{goal[0]}x, {goal[1]} points", "met" if met else "**missed**"]
        else:
            cells += ["–", ""]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
