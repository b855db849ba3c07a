"""Builds packs and measures files in turn, session by session, against the plain fp32 export of the same model."""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from plain_export import export_plainly

from edgepack.measure.answers import answer
from edgepack.measure.machines.transports.local import run_job
from edgepack.model.material import gather
from edgepack.model.quality import judge_outputs
from edgepack.plan.recipe import Recipe

RUNTIME = "onnxruntime"
PLAIN = "plain fp32 export"
GOAL_LENGTH = 128  # what goals of speed are judged at


@dataclass(frozen=True)
class Build:
    """Flags of one `edgepack build`, and what is asked of it; None: nothing."""

    flags: list[str]
    times: float | None = None  # as fast as the plain export
    keeps: float | None = None  # share of the teacher's score
    lost: float | None = None  # points of the score, at most

    def with_file(self, name: str, path: Path) -> "Build":
        """The same with a path for the word that stands for it."""
        return replace(self, flags=[str(path) if flag == name else flag for flag in self.flags])


@dataclass(frozen=True)
class Row:
    """One file: what it cost, how large and how good it is. `groups`: the score by language, where the data has such.

    Of several seeds, cost and size are of the first, `score` and `groups` are means, and `scores` has the score of each.
    """

    folder: Path
    seconds: float
    scores: list[float]
    low: float  # of the first seed, by bootstrap over rows
    high: float
    groups: dict[str, float]

    @property
    def score(self) -> float:
        return float(np.mean(self.scores))

    @property
    def file_mb(self) -> float:
        paths = [*self.folder.glob("model.onnx*"), *self.folder.glob("weights.coded")]
        return sum(path.stat().st_size for path in paths) / 1e6


def parser(description: str, work: str) -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--model", type=Path)
    result.add_argument("--data", type=Path, required=True)
    result.add_argument("--profile", default="raspberry-pi")
    result.add_argument("--work", type=Path, default=Path(work), help="folder for packs and cache; kept between runs")
    result.add_argument("--sessions", type=int, default=7)
    result.add_argument("--lengths", type=int, nargs="+", default=[16, 64, GOAL_LENGTH])
    result.add_argument("--loads", type=int, default=7)
    result.add_argument("--seeds", type=int, default=1, help="builds of each row; the first one's file is timed, scores are means")
    result.add_argument("--build-only", action="store_true", help="stop before anything is timed: that is done on a quiet machine")
    return result


def compare(wanted: argparse.Namespace, builds: dict[str, Build]) -> None:
    """Builds a pack for each list of flags, measures all of them beside the plain export, and prints the table and the goals."""
    rows = {PLAIN: _plain(wanted)}
    for name, build in builds.items():
        out = wanted.work / "".join(c if c.isalnum() else "-" for c in name)
        seeds = [_built(wanted, build.flags, out)]
        seeds += [_built(wanted, [*build.flags, "--seed", str(seed)], Path(f"{out}-seed-{seed}")) for seed in range(1, wanted.seeds)]
        rows[name] = _joined(seeds)
    if wanted.build_only:
        return
    folders = {name: row.folder for name, row in rows.items()}
    latency = _latencies(folders, wanted)
    turns = [cold for cold in (False, True) for _ in range(wanted.loads)]
    load = {name: [run_job(folder, RUNTIME, _load_job(cold)) for cold in turns] for name, folder in folders.items()}
    running = {"kind": "memory", "threads": 1, "length": GOAL_LENGTH}
    memory = {name: run_job(folder, RUNTIME, running) for name, folder in folders.items()}
    facts = run_job(folders[PLAIN], RUNTIME, _load_job(False))
    raw = {"latency_session_medians_ms": latency, "load": load, "memory": memory, "environment": facts["machine"]}
    (wanted.work / "raw.json").write_text(json.dumps(raw, indent=1))
    print(f"\n{facts['machine']['cpu']}, {RUNTIME} {facts['runtime']['version']}, one thread, medians of session medians\n")
    _print_table(rows, raw, wanted.lengths)
    _print_groups(rows)
    _print_goals(rows, builds, latency)
    print(f"\nraw samples: {wanted.work}/raw.json")


def _plain(wanted: argparse.Namespace) -> Row:
    """The plain export of the model, judged as a pack's file is."""
    folder, remaining = wanted.work / "plain", wanted.work / "plain" / "quality.json"
    if not remaining.exists():
        material = gather(Recipe(model=str(wanted.model), data=str(wanted.data)))
        export_plainly(wanted.model, material.task, folder)
        outputs = answer(folder, RUNTIME, material.test, threads=2, exact=True)
        quality = judge_outputs(material.task, outputs, material.test, material.rows("test"), material.labels, outputs)
        remaining.write_text(json.dumps(quality.as_json()))
    return _row(folder, json.loads(remaining.read_text()), 0.0)


def _built(wanted: argparse.Namespace, flags: list[str], out: Path) -> Row:
    """What `edgepack build` made of the flags, without measuring; nothing is done where an earlier run's pack stands."""
    if not out.exists():
        command = [sys.executable, "-m", "edgepack", "build", str(wanted.model), "--data", str(wanted.data), "--profile", wanted.profile]
        where = ["--out", str(out), "--cache", str(wanted.work / "cache"), "--measure", "off"]
        done = subprocess.run([*command, *flags, *where], check=False)
        if done.returncode == 1:
            sys.exit(1)
    ladder = json.loads((out / "pack.json").read_text())["ladder"]
    return _row(out, ladder[-1], sum(stage["seconds"] for stage in ladder))


def _row(folder: Path, judged: dict[str, Any], seconds: float) -> Row:
    """`judged`: of the file itself on the test split, computed by the runtime as the profile's CPU would."""
    score = judged["score"]
    groups = {group["name"]: group["value"] for group in judged["groups"] if group["kind"] == "group"}
    return Row(folder, seconds, [score["value"]], score["low"], score["high"], dict(sorted(groups.items())))


def _joined(seeds: list[Row]) -> Row:
    groups = {name: float(np.mean([row.groups[name] for row in seeds])) for name in seeds[0].groups}
    return replace(seeds[0], scores=[row.score for row in seeds], groups=groups)


def _latencies(folders: dict[str, Path], wanted: argparse.Namespace) -> dict[str, dict[int, list[float]]]:
    """Session medians in ms by file and length, one thread; the files take turns."""
    result: dict[str, dict[int, list[float]]] = {name: {length: [] for length in wanted.lengths} for name in folders}
    for _ in range(wanted.sessions):
        for length in wanted.lengths:
            for name, folder in folders.items():
                job = {"kind": "latency", "length": length, "threads": 1, "runs": 40, "seconds": 2.0}
                result[name][length].append(float(np.median(run_job(folder, RUNTIME, job)["samples_ms"])))
    return result


def _load_job(cold: bool) -> dict[str, Any]:
    return {"kind": "load", "cold": cold, "threads": 1, "length": 16}


def _times(latency: dict[str, dict[int, list[float]]], name: str, length: int) -> np.ndarray:
    """How many times as fast as the plain export: lowest, median and highest session."""
    pairs = zip(latency[PLAIN][length], latency[name][length], strict=True)
    return np.percentile([ms / other for ms, other in pairs], [0, 50, 100])


def _print_table(rows: dict[str, Row], raw: dict[str, Any], lengths: list[int]) -> None:
    print("| file | build s | MB | score | of the teacher | " + " | ".join(f"S{n} ms" for n in lengths), end=" | ")
    print("load warm ms | cold ms | peak MB over an empty runtime |")
    print("|---" * (8 + len(lengths)) + "|")
    latency = raw["latency_session_medians_ms"]
    for name, row in rows.items():
        speeds = []
        for length in lengths:
            low, middle, high = _times(latency, name, length)
            times = "" if name == PLAIN else f" ({middle:.2f}; {low:.2f} to {high:.2f})"
            speeds.append(f"{np.median(latency[name][length]):.2f}{times}")
        warm, cold = ([each["session_ms"] for each in raw["load"][name] if each["job"]["cold"] is wish] for wish in (False, True))
        result = raw["memory"][name]
        peak_mb = result["running_mb"]["peak"] - result["empty_mb"]["resident"]
        smaller = "" if name == PLAIN else f" ({rows[PLAIN].file_mb / row.file_mb:.2f})"
        cells = [name, f"{row.seconds:.0f}" if row.seconds else "–", f"{row.file_mb:.2f}{smaller}"]
        scores = ", ".join(f"{score:.4f}" for score in row.scores)
        cells += [f"{scores} ({row.low:.3f} to {row.high:.3f})", f"{row.score / rows[PLAIN].score:.2%}", *speeds]
        cells += [f"{np.median(warm):.1f}", f"{np.median(cold):.1f}", f"{peak_mb:.1f}"]
        print("| " + " | ".join(cells) + " |")


def _print_groups(rows: dict[str, Row]) -> None:
    names = list(rows[PLAIN].groups)
    if not names:
        return
    print("\n| file | " + " | ".join(names) + " | mean | points lost |\n" + "|---" * (len(names) + 3) + "|")
    mean = {name: float(np.mean(list(row.groups.values()))) for name, row in rows.items()}
    for name, row in rows.items():
        cells = [name, *(f"{row.groups[group]:.4f}" for group in names), f"{mean[name]:.4f}", f"{100 * (mean[PLAIN] - mean[name]):.2f}"]
        print("| " + " | ".join(cells) + " |")


def _print_goals(rows: dict[str, Row], builds: dict[str, Build], latency: dict[str, dict[int, list[float]]]) -> None:
    """Where rows have groups, points are lost on their mean."""
    asked = [(name, build) for name, build in builds.items() if (build.times, build.keeps, build.lost) != (None, None, None)]
    if not asked:
        return
    print("\n| goal | here | |\n|---|---|---|")
    teacher = rows[PLAIN]
    for name, build in asked:
        row = rows[name]
        if build.times is not None:
            times, smaller = _times(latency, name, GOAL_LENGTH)[1], teacher.file_mb / row.file_mb
            result = f"{times:.2f} (by size {smaller:.2f})"
            print(f"| {name}: S{GOAL_LENGTH} at least {build.times:g} times as fast | {result} | {_verdict(times >= build.times)} |")
        if build.keeps is not None:
            remaining = row.score / teacher.score
            print(f"| {name}: at least {build.keeps:.0%} of the teacher | {remaining:.2%} | {_verdict(remaining >= build.keeps)} |")
        if build.lost is not None:
            ours, theirs = (list(each.groups.values()) or [each.score] for each in (row, teacher))
            lost = 100 * float(np.mean(theirs) - np.mean(ours))
            print(f"| {name}: at most {build.lost:g} points lost | {lost:.2f} | {_verdict(lost <= build.lost)} |")


def _verdict(met: bool) -> str:
    return "met" if met else "**missed**"
