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
from intervals import Lost, points_lost, right_answers
from torch import nn

from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.material import Material, gather
from edgepack.model.surgery import cut_heads
from edgepack.recipe import Recipe
from edgepack.stages.context import StageContext
from edgepack.stages.importance import head_importance
from edgepack.stages.pruning import choose_heads

FRACTIONS = [share / 10 for share in range(1, 10)]
VARIANTS = {
    "gradient, uneven": ("gradient", "model"),
    "activation, uneven": ("activation", "model"),
    "magnitude, uneven": ("magnitude", "model"),
    "random, uneven": ("random", "model"),
    "gradient, uniform": ("gradient", "layer"),
}
GOAL_SHARE, GOAL_POINTS, GOAL_WINS = 0.4, 1.0, 8

Answers = dict[str, dict[float, list[list[int]]]]  # by variant and share, for each seed the right answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/heads.json"), help="raw accuracies")
    wanted = parser.parse_args()
    material = gather(Recipe(model=wanted.model, data=wanted.data))
    teacher = load_checkpoint(material.source, material.task.name)
    base = right(teacher, material)
    judged: dict[str, list[int]] = {}  # magnitude knows no seed, and seeds often agree on what to cut
    found: Answers = {name: {share: [] for share in FRACTIONS} for name in VARIANTS}
    for seed in range(wanted.seeds):
        for name, (importance, scope) in VARIANTS.items():
            scores = head_importance(teacher, drawn_context(material, seed), importance)
            for share in FRACTIONS:
                keep = choose_heads(scores, share, scope)
                if str(keep) not in judged:
                    judged[str(keep)] = right(with_heads(teacher, keep), material)
                found[name][share].append(judged[str(keep)])
            print(f"seed {seed}, {name}: {[round(float(np.mean(found[name][share][-1])), 4) for share in FRACTIONS]}", flush=True)
    raw = {name: {share: np.mean(answers, axis=1).tolist() for share, answers in rows.items()} for name, rows in found.items()}
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    wanted.out.write_text(json.dumps({"teacher": float(np.mean(base)), "accuracy": raw}, indent=1))
    print_table(np.array([base]), found)


def drawn_context(material: Material, seed: int) -> StageContext:
    order = np.random.default_rng(seed).permutation(len(material.train))
    context = StageContext(material.task, material.rows("train"), material.train, [], material.labels, Path(), seed)
    return replace(context, features=[material.train[index] for index in order])


def with_heads(teacher: nn.Module, keep: list[list[int]]) -> nn.Module:
    model = copy.deepcopy(teacher)
    cut_heads(model, keep)
    return model


def right(model: nn.Module, material: Material) -> list[int]:
    outputs = run_model(model, material.task, material.test, "")
    return right_answers(outputs, material.test, material.rows("test"), material.labels).tolist()


def print_table(base: np.ndarray, found: Answers) -> None:
    """Points lost against the teacher, the mean over seeds, with a 95 % interval over seeds and sentences; then the goals."""
    lost: dict[str, dict[float, Lost]] = {
        name: {share: points_lost(base, np.array(answers)) for share, answers in rows.items()} for name, rows in found.items()
    }
    print(f"\nteacher: accuracy {base.mean():.4f}\n\n| points lost when cut | " + " | ".join(f"{share:.0%}" for share in FRACTIONS) + " |")
    print("|---" * (len(FRACTIONS) + 1) + "|")
    for name, rows in lost.items():
        print(f"| {name} | " + " | ".join(map(str, rows.values())) + " |")
    print()
    for name, rows in lost.items():
        wins = [share for share in FRACTIONS if rows[share].mean < lost["random, uneven"][share].mean]
        if not name.startswith("random"):
            worse = ", ".join(f"{share:.0%}" for share in FRACTIONS if share not in wins)
            met = "met" if len(wins) >= GOAL_WINS else "missed"
            print(f"{name}: better than random at {len(wins)} of {len(FRACTIONS)} shares ({met})" + (f", not at {worse}" if worse else ""))
    at_goal = lost["gradient, uneven"][GOAL_SHARE]
    verdict = "met" if at_goal.mean <= GOAL_POINTS else "missed"
    print(f"{GOAL_SHARE:.0%} of the heads by gradient, uneven: {at_goal} points lost, goal {GOAL_POINTS} ({verdict})")


if __name__ == "__main__":
    main()
