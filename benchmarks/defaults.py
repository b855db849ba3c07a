"""What the defaults keep of a teacher's quality at 50 %, 25 % and 10 % of its parameters, on data that nobody tuned for.

    python benchmarks/defaults.py --shared ../shared                                   # all tasks; goes on where it was stopped
    python benchmarks/defaults.py --shared ../shared --tasks sst2-300 banking20-300    # some of them
    python benchmarks/defaults.py --shared ../shared --name before --table             # what was measured under that name, as a table

Each cell is one `edgepack build` for a Raspberry Pi with a size and nothing else. A size that no shape has is asked for once more with
`--vocabulary data`, and marked so. Kept: the score after training over the teacher's, and of the shipped file. Seconds are CPU time.
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from default_tasks import TASKS

from edgepack.core.errors import EdgepackError
from edgepack.core.files import write_atomically
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Distill

SIZES = ("50%", "25%", "10%")
GOALS = {"50%": (0.99, 0.95), "25%": (0.97, 0.90), "10%": (0.93, 0.80)}  # mean and worst of twelve tasks
_PROFILE = "raspberry-pi"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/defaults"), help="teachers, data and results; kept between runs")
    parser.add_argument("--name", default="today", help="the results are kept under this name")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--sizes", nargs="+", default=list(SIZES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--vocabulary", help="the build's --vocabulary, in place of its default")
    parser.add_argument("--table", action="store_true", help="only print what was measured")
    wanted = parser.parse_args()
    if not wanted.table:
        for task, size, seed in ((task, size, seed) for task in wanted.tasks for seed in wanted.seeds for size in wanted.sizes):
            place = wanted.work / "results" / wanted.name / f"{task} {size.rstrip('%')} {seed}.json"
            if not place.is_file():
                measured(wanted, task, size, seed, place)
    print_table(wanted)


def measured(wanted: argparse.Namespace, task: str, size: str, seed: int, place: Path) -> None:
    """One cell, written into its file."""
    model, data = TASKS[task].prepared(wanted.shared.resolve(), wanted.work / task)
    recipe = Recipe(model=str(model), data=str(data), student=size, seed=seed, vocabulary=wanted.vocabulary)
    try:
        cell = built(recipe, wanted.work)
    except EdgepackError as refused:
        try:
            cell = built(recipe.model_copy(update={"vocabulary": "data"}), wanted.work) | {"refused": refused.problem}
        except EdgepackError as again:
            cell = {"refused": again.problem, "kept": 0.0}
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, json.dumps(cell, indent=1))
    print(task, size, seed, json.dumps(cell), flush=True)


def built(recipe: Recipe, work: Path) -> dict[str, Any]:
    """What a build gives: shape, scores with their intervals, CPU seconds."""
    out, before = work / "pack", time.process_time()
    shutil.rmtree(out, ignore_errors=True)
    build(recipe, load_profile(_PROFILE), out, work / "cache", None)
    manifest = read_manifest(out)
    teacher, shipped = manifest.ladder[0], manifest.ladder[-1]
    trained = [row for row in manifest.ladder if row.stage == "distill"][-1]
    steps = [step for step in manifest.plan.steps if isinstance(step, Distill)]
    return {
        "shape": manifest.plan.student.name(),
        "share": trained.params / teacher.params,
        "teacher": _score(teacher),
        "trained": _score(trained),
        "shipped": _score(shipped),
        "kept": trained.score.value / teacher.score.value,
        "kept_shipped": shipped.score.value / teacher.score.value,
        "latency_ms": manifest.plan.predictions.latency_ms,
        "epochs": [getattr(step, "epochs", None) for step in steps],
        "details": getattr(trained, "details", None),
        "seconds": round(trained.seconds, 1),
        "cpu_seconds": round(time.process_time() - before, 1),
    }


def _score(row: Any) -> list[float]:
    return [row.score.value, row.score.low, row.score.high]


def print_table(wanted: argparse.Namespace) -> None:
    """A row a task, a pair of cells a size; then the means, the worst, and the goals."""
    cells = {size: {} for size in wanted.sizes}
    for size in wanted.sizes:
        for task in wanted.tasks:
            paths = sorted((wanted.work / "results" / wanted.name).glob(f"{task} {size.rstrip('%')} *.json"))
            if paths:
                cells[size][task] = [json.loads(path.read_text()) for path in paths]
    print("\n| task | " + " | ".join(f"{size} | shape, CPU s" for size in wanted.sizes) + " |")
    print("|---" * (1 + 2 * len(wanted.sizes)) + "|")
    for task in wanted.tasks:
        print(f"| {task} | " + " | ".join(_in_words(cells[size].get(task)) for size in wanted.sizes) + " |")
    for size in wanted.sizes:
        kept = [np.mean([cell["kept"] for cell in each]) for each in cells[size].values()]
        if kept:
            mean, worst = GOALS.get(size, (0.0, 0.0))
            print(f"{size}: mean {np.mean(kept):.1%} (goal {mean:.0%}), worst {min(kept):.1%} (goal {worst:.0%}), {len(kept)} tasks")


def _in_words(cells: list[dict[str, Any]] | None) -> str:
    if not cells:
        return "– | –"
    if "trained" not in cells[0]:
        return f"refused: {cells[0]['refused']} | –"
    low, high = (np.mean([cell["trained"][at] / cell["teacher"][0] for cell in cells]) for at in (1, 2))
    kept = f"{np.mean([cell['kept'] for cell in cells]):.1%} ({low:.1%} to {high:.1%})"
    cut = ", vocabulary cut" if "refused" in cells[0] else ""
    return f"{kept} | {cells[0]['shape']}{cut}, {np.mean([cell['cpu_seconds'] for cell in cells]):.0f}"


if __name__ == "__main__":
    main()
