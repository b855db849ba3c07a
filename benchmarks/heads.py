"""Accuracy by share of heads cut, without training: four measures of importance, uneven and uniform, over seeds.

    python benchmarks/heads.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2

A seed draws the sentences that importance is measured on, and the die of `random`. Heads are really cut out, not masked.
"""

import argparse
import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.material import gather
from edgepack.model.quality import score_outputs
from edgepack.recipe import Recipe
from edgepack.stages.context import StageContext
from edgepack.stages.pruning import prune_heads
from edgepack.steps import PruneHeads

FRACTIONS = [share / 10 for share in range(1, 10)]
VARIANTS = {
    "gradient, uneven": ("gradient", "model"),
    "activation, uneven": ("activation", "model"),
    "magnitude, uneven": ("magnitude", "model"),
    "random, uneven": ("random", "model"),
    "gradient, uniform": ("gradient", "layer"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/heads.json"))
    wanted = parser.parse_args()
    material = gather(Recipe(model=wanted.model, data=wanted.data))
    teacher = load_checkpoint(material.source, material.task.name)
    base = accuracy(teacher, material)
    found = {name: {fraction: [] for fraction in FRACTIONS} for name in VARIANTS}
    for seed in range(wanted.seeds):
        context = drawn_context(material, seed)
        for name, (importance, scope) in VARIANTS.items():
            for fraction in FRACTIONS:
                step = PruneHeads(fraction=fraction, scope=scope, importance=importance, why="benchmark")
                found[name][fraction].append(accuracy(prune_heads(copy.deepcopy(teacher), step, context), material))
                wanted.out.parent.mkdir(parents=True, exist_ok=True)
                wanted.out.write_text(json.dumps({"teacher": base, "accuracy": found}, indent=1))
    print_table(base, found)


def drawn_context(material, seed: int) -> StageContext:
    order = np.random.default_rng(seed).permutation(len(material.train))
    context = StageContext(material.task, material.rows("train"), material.train, [], material.labels, Path(), seed)
    return replace(context, features=[material.train[index] for index in order])


def accuracy(model, material) -> float:
    outputs = run_model(model, material.task, material.test, "")
    return score_outputs(material.task, outputs, material.test, material.rows("test"), material.labels, outputs).value


def print_table(base: float, found: dict[str, dict[float, list[float]]]) -> None:
    """Points lost against the teacher: the mean over seeds, and the lowest and highest."""
    print(f"teacher: accuracy {base:.4f}\n\n| points lost when cut | " + " | ".join(f"{share:.0%}" for share in FRACTIONS) + " |")
    print("|---" * (len(FRACTIONS) + 1) + "|")
    for name, rows in found.items():
        lost = [100 * (base - np.array(rows[share])) for share in FRACTIONS]
        print(f"| {name} | " + " | ".join(f"{drop.mean():.1f} ({drop.min():.1f} to {drop.max():.1f})" for drop in lost) + " |")
    better = [np.mean(found["gradient, uneven"][share]) > np.mean(found["random, uneven"][share]) for share in FRACTIONS]
    print(f"\ngradient above random at {sum(better)} of {len(FRACTIONS)} shares")


if __name__ == "__main__":
    main()
