"""Accuracy by share of heads cut, without training: four measures of importance, uneven and uniform, over seeds.

    python benchmarks/heads.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2

A seed draws the sentences that importance is measured on, and the die of `random`. Heads are really cut out, not masked.
`refit`: those that stay take over what is cut by least squares, on the same sentences and without labels or training.
"""

import argparse
import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from intervals import Lost, points_lost, right_answers
from torch import nn

from edgepack.compress.context import StageContext
from edgepack.compress.importance import head_importance
from edgepack.compress.pruning import choose_heads
from edgepack.compress.refit import refit
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.material import Material, gather
from edgepack.model.surgery import cut_heads
from edgepack.plan.recipe import Recipe
from edgepack.tasks.common.task import Features

FRACTIONS = [share / 10 for share in range(1, 10)]
VARIANTS = {
    "gradient, uneven": ("gradient", "model", False),
    "activation, uneven": ("activation", "model", False),
    "magnitude, uneven": ("magnitude", "model", False),
    "random, uneven": ("random", "model", False),
    "gradient, uniform": ("gradient", "layer", False),
    "gradient, uneven, refit": ("gradient", "model", True),
    "random, uneven, refit": ("random", "model", True),
}
GOAL_SHARE, GOAL_POINTS, GOAL_WINS = 0.4, 1.0, 8

Answers = dict[str, dict[float, list[list[int]]]]  # by variant and share, for each seed the right answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/heads.json"), help="right answers by what was kept; goes on from there")
    wanted = parser.parse_args()
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    material = gather(Recipe(model=wanted.model, data=wanted.data))
    teacher = load_checkpoint(material.source, material.task.name)
    base = right(teacher, material)
    judged: dict[str, list[int]] = json.loads(wanted.out.read_text()) if wanted.out.is_file() else {}  # seeds often agree on what to cut
    result: Answers = {name: {share: [] for share in FRACTIONS} for name in VARIANTS}
    for seed in range(wanted.seeds):
        context = drawn_context(material, seed)
        for name, (importance, scope, refits) in VARIANTS.items():
            scores = head_importance(teacher, context, importance)
            for share in FRACTIONS:
                keep = choose_heads(scores, share, scope)
                key = f"{keep} {seed if refits else ''}"
                if key not in judged:
                    judged[key] = right(with_heads(teacher, keep, context.features if refits else None), material)
                    wanted.out.write_text(json.dumps(judged))
                result[name][share].append(judged[key])
            print(f"seed {seed}, {name}: {[round(float(np.mean(result[name][share][-1])), 4) for share in FRACTIONS]}", flush=True)
    print_table(np.array([base]), result)


def drawn_context(material: Material, seed: int) -> StageContext:
    order = np.random.default_rng(seed).permutation(len(material.train))
    context = StageContext(material.task, material.rows("train"), material.train, [], material.labels, Path(), seed)
    return replace(context, features=[material.train[index] for index in order])


def with_heads(teacher: nn.Module, keep: list[list[int]], refit_on: list[Features] | None) -> nn.Module:
    model = copy.deepcopy(teacher)
    if refit_on:
        refit(model, "heads", keep, refit_on)
    cut_heads(model, keep)
    return model


def right(model: nn.Module, material: Material) -> list[int]:
    outputs = run_model(model, material.task, material.test, "")
    return right_answers(outputs, material.test, material.rows("test"), material.labels).tolist()


def print_table(base: np.ndarray, result: Answers) -> None:
    """Points lost against the teacher, the mean over seeds, with a 95 % interval over seeds and sentences; then the goals."""
    lost: dict[str, dict[float, Lost]] = {
        name: {share: points_lost(base, np.array(answers)) for share, answers in rows.items()} for name, rows in result.items()
    }
    print(f"\nteacher: accuracy {base.mean():.4f}\n\n| points lost when cut | " + " | ".join(f"{share:.0%}" for share in FRACTIONS) + " |")
    print("|---" * (len(FRACTIONS) + 1) + "|")
    for name, rows in lost.items():
        print(f"| {name} | " + " | ".join(map(str, rows.values())) + " |")
    print()
    for name, rows in lost.items():
        die = "random, uneven" + ", refit" * name.endswith("refit")
        wins = [share for share in FRACTIONS if rows[share].mean < lost[die][share].mean]
        if name != die:
            worse = ", ".join(f"{share:.0%}" for share in FRACTIONS if share not in wins)
            met = "met" if len(wins) >= GOAL_WINS else "missed"
            print(f"{name}: better than {die} at {len(wins)} of {len(FRACTIONS)} shares ({met})" + (f", not at {worse}" if worse else ""))
    for name in ("gradient, uneven", "gradient, uneven, refit"):
        at_goal = lost[name][GOAL_SHARE]
        verdict = "met" if at_goal.mean <= GOAL_POINTS else "missed"
        print(f"{GOAL_SHARE:.0%} of the heads, {name}: {at_goal} points lost, goal {GOAL_POINTS} ({verdict})")


if __name__ == "__main__":
    main()
