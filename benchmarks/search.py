"""What a search brings: hypervolume of its front against random search at equal minutes, ranks of short and long trials, the
planner's choice distilled as long as the search's best pack within the budgets, kills, workers.

    python benchmarks/search.py minutes --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2 --minutes 60 --seeds 0 1 2
    python benchmarks/search.py minutes ... --variants tpe shared    # shared training beside plain trials
    python benchmarks/search.py kills --moments 20
    python benchmarks/search.py workers --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2    # with Ray and without

Each search has a cache of its own, so the teacher's outputs are made within its minutes.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from os import sysconf
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from sqlite3 import OperationalError, connect

VARIANTS = {"tpe": ["--sampler", "tpe"], "random": ["--sampler", "random"], "shared": ["--sampler", "tpe", "--shared-training"]}
_VALUES = ("score_drop", "latency_ms", "file_mb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    minutes = commands.add_parser("minutes", help="the first variant against the others, at equal minutes")
    minutes.add_argument("--model", required=True)
    minutes.add_argument("--data", required=True)
    minutes.add_argument("--profile", default="raspberry-pi")
    minutes.add_argument("--minutes", type=float, default=60.0)
    minutes.add_argument("--trials", type=int, help="equal trials in place of equal minutes, for a machine that does other work too")
    minutes.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    minutes.add_argument("--variants", nargs="+", choices=VARIANTS, default=["tpe", "random"])
    kills = commands.add_parser("kills", help="a search that is killed -9 and started again")
    kills.add_argument("--moments", type=int, default=20)
    workers = commands.add_parser("workers", help="so many trials by one process, one worker of a Ray cluster, and four")
    workers.add_argument("--model", required=True)
    workers.add_argument("--data", required=True)
    workers.add_argument("--profile", default="raspberry-pi")
    workers.add_argument("--trials", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.command == "minutes":
            result: object = equal_minutes(options, Path(folder))
        elif options.command == "kills":
            result = killed(options.moments, Path(folder))
        else:
            result = by_workers(options, Path(folder))
    print(json.dumps(result, indent=1))


def equal_minutes(options: argparse.Namespace, folder: Path) -> list[dict]:
    """A row for each seed: what each variant's front is worth, and the first one's hypervolume over each other's."""
    rows = []
    for seed in options.seeds:
        row: dict = {"seed": seed}
        for name in options.variants:
            row[name] = _searched(options, seed, name, folder / f"{name}-{seed}")
            print(json.dumps({"seed": seed, name: row[name]}), file=sys.stderr, flush=True)
        first, *others = options.variants
        row["planner"] = _planned(options, row[first], folder / f"planner-{seed}")
        row["ratios"] = {name: round(row[first]["hypervolume"] / (row[name]["hypervolume"] or 1e-9), 3) for name in others}
        rows.append(row)
    return rows


def _searched(options: argparse.Namespace, seed: int, variant: str, work: Path) -> dict:
    """One search with a cache of its own. Its hypervolume is of score, latency and MB, each over the teacher's (a score of 25 points).

    within_budgets: the same, each over the profile's limit; None where the profile has no limit for one of them.
    """
    from edgepack.plan.profile import load_profile

    limit = ["--trials", options.trials] if options.trials else ["--minutes", options.minutes]
    asked = ["search", options.model, "--data", options.data, "--profile", options.profile, *limit, "--seed", seed]
    _run(*asked, *VARIANTS[variant], "--out", work / "front", "--cache", work / "cache")
    front = json.loads((work / "front" / "front.json").read_text())
    reference = (25.0, front["teacher"]["latency_ms"], front["teacher"]["file_mb"])
    points = [(point["score_drop"], point["latency_ms"]["value"], point["file_mb"]["value"]) for point in front["points"]]
    budget = load_profile(options.profile).budget
    limits = [limit for name in _VALUES if (limit := getattr(budget, name)) is not None]
    best = min((point for point in front["points"] if not point["over"]), key=lambda point: point["score_drop"], default=None)
    return {
        "hypervolume": _filled(points, reference),
        "within_budgets": _filled(points, tuple(limits)) if len(limits) == len(_VALUES) else None,
        "packs": len(points),
        "trials": front["cost"]["trials"],
        "minutes": front["cost"]["minutes"],
        "correlation": front["correlation"],
        "best_within": best and points[front["points"].index(best)],
        "training_minutes_of_best": best and _training_minutes(work / "front" / str(best["number"])),
        "points": points,
    }


def _filled(points: list[tuple[float, ...]], worst: tuple[float, ...]) -> float:
    """The share of the box from nothing to `worst` that the points are better than."""
    from edgepack.search.pareto import hypervolume

    scaled = [tuple(max(0.0, value) / limit for value, limit in zip(point, worst, strict=True)) for point in points]
    return round(hypervolume(scaled, (1.0,) * len(_VALUES)), 4)


def _planned(options: argparse.Namespace, searched: dict, work: Path) -> dict | None:
    """The planner's choice, distilled for as many minutes as the search's best pack within the budgets. None where no pack is within."""
    minutes = searched["training_minutes_of_best"]
    if minutes is None:
        return None
    asked = ["build", options.model, "--data", options.data, "--profile", options.profile, "--minutes", minutes]
    _run(*asked, "--out", work / "pack", "--cache", work / "cache")
    pack = json.loads((work / "pack" / "pack.json").read_text())
    predicted, file_mb = pack["predictions"]["latency_ms"], round(pack["ladder"][-1]["file_mb"], 3)
    return {"minutes": minutes, "student": pack["plan"]["student"], "point": [pack["ladder"][-1]["score_drop"], predicted, file_mb]}


def _training_minutes(pack: Path) -> float:
    ladder = json.loads((pack / "pack.json").read_text())["ladder"]
    return round(sum(row["seconds"] for row in ladder if row["stage"] == "distill") / 60, 2)


def by_workers(options: argparse.Namespace, folder: Path) -> list[dict]:
    """The same trials, one thread each: seconds until the page of one pack is there, and until the last trial was written."""
    ray = Path(sys.executable).with_name("ray")
    asked = ["search", options.model, "--data", options.data, "--profile", options.profile, "--trials", options.trials, "--packs", 1]
    places = {
        "one process": ["--workers", 1],
        "Ray, one worker": ["--ray", "auto", "--workers", 1],
        "Ray, four": ["--ray", "auto", "--workers", 4],
    }
    os.environ["OMP_NUM_THREADS"] = "1"
    subprocess.run([ray, "start", "--head", "--num-cpus", "4"], stdout=subprocess.DEVNULL, check=True)
    rows = []
    try:
        for name, place in places.items():
            work = folder / name.replace(" ", "-")
            began = datetime.now()
            _run(*asked, *place, "--out", work / "front", "--cache", work / "cache")
            whole_s = (datetime.now() - began).total_seconds()
            last = max(datetime.fromisoformat(written) for _, written in _trials(work / "cache").values())
            front = json.loads((work / "front" / "front.json").read_text())
            tried = [(each["settings"], each["score_drop"]) for each in front["tried"]]
            rows.append({"place": name, "trials_s": round((last - began).total_seconds(), 1), "whole_s": round(whole_s, 1), "tried": tried})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    finally:
        subprocess.run([ray, "stop"], stdout=subprocess.DEVNULL, check=False)
    first = rows[0]["tried"]
    return [row | {"same_study": row.pop("tried") == first} for row in rows]


def killed(moments: int, folder: Path) -> dict:
    """Searches of a tiny model, killed so many times in all at moments of their own processor time, against the same search in one go.

    By processor time, and not by the clock, because the machine may do other work. A search that ends before all kills is begun anew.
    """
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from small import make_data, make_model

    make_model(folder / "model")
    make_data(folder / "data", {"train": 96, "dev": 24, "test": 24})
    (folder / "space.toml").write_text("vocabulary = false\nprune_heads = false\nprune_ffn = [0.0, 0.5]\nembedding_bits = false\n")
    asked = ["search", folder / "model", "--data", folder / "data", "--profile", "raspberry-pi", "--epochs", 1, "--score-drop", 100]
    asked += ["--space", folder / "space.toml", "--trials", 8, "--packs", 1]
    before_s = _children_s()
    _run(*asked, "--cache", folder / "whole", "--out", folder / "whole-out")
    whole_s = _children_s() - before_s
    drawn, counts = random.Random(0), {"kills": 0, "lost_or_repeated": 0, "ended": 0, "same_study": 0, "trials_when_killed": []}
    while counts["kills"] < moments:
        _killed_until_it_ends(asked, folder, drawn, whole_s, counts, moments)
    return counts | {"seconds_of_a_whole_search": round(whole_s, 1)}


def _killed_until_it_ends(asked: list, folder: Path, drawn: random.Random, whole_s: float, counts: dict, moments: int) -> None:
    """One search that is killed again and again; what it finds in the end is compared with the search in one go."""
    cache, out = folder / f"cache-{counts['ended']}", folder / f"out-{counts['ended']}"
    kept: dict = {}
    while counts["kills"] < moments:
        process = subprocess.Popen(_command(*asked, "--cache", cache, "--out", out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not _reaches(process, drawn.uniform(0.1, 0.9) * whole_s):
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        counts["kills"] += 1
        now = _trials(cache)
        counts["lost_or_repeated"] += sum(now.get(number) != row for number, row in kept.items())
        counts["trials_when_killed"].append(len(now))
        kept = now
    _run(*asked, "--cache", cache, "--out", out)
    counts["ended"] += 1
    fronts = [json.loads((place / "front.json").read_text()) for place in (out, folder / "whole-out")]
    tried = [[(each["number"], each["settings"], each["score_drop"]) for each in front["tried"]] for front in fronts]
    counts["same_study"] += tried[0] == tried[1]
    counts["lost_or_repeated"] += sum(_trials(cache).get(number) != row for number, row in kept.items())
    print(json.dumps(counts), file=sys.stderr, flush=True)
    shutil.rmtree(cache, ignore_errors=True)


def _reaches(process: subprocess.Popen, seconds: float) -> bool:
    """Waits until the process has used so much processor time. False: it ended before."""
    ticks = sysconf("SC_CLK_TCK")
    while process.poll() is None:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        if (int(fields[11]) + int(fields[12])) / ticks >= seconds:
            return True
        time.sleep(0.05)
    return False


def _children_s() -> float:
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _trials(cache: Path) -> dict:
    """Each finished trial by its number, with the moment at which it was written: one that ran again would have another."""
    for path in cache.glob("searches/*/study.sqlite3"):
        try:
            with connect(path) as database:
                rows = database.execute(
                    "select value_json, trials.trial_id, datetime_complete from trials join trial_user_attributes using (trial_id) "
                    "where key = 'number'"
                ).fetchall()
        except OperationalError:
            continue
        return {row[0]: row[1:] for row in rows}
    return {}


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "edgepack", *map(str, arguments)]


def _run(*arguments: object) -> None:
    """2: every pack is over a budget, which is a result too."""
    done = subprocess.run(_command(*arguments), stdout=subprocess.DEVNULL, check=False)
    if done.returncode not in (0, 2):
        raise SystemExit(f"edgepack ended with {done.returncode}")


if __name__ == "__main__":
    main()
