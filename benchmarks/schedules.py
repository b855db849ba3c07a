"""Iterative against one-shot pruning, and logits alone against all losses, at equal training tokens, over seeds.

    python benchmarks/schedules.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2

The steps are those that `edgepack build` plans for the flags in the table. A seed draws the sentences that are trained on
and their order; all variants of a seed see the same ones equally often.
"""

import argparse
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from intervals import points_lost, right_answers

from edgepack.compress.context import StageContext
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.material import Material, gather
from edgepack.pipeline.model_stage import stage_of
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Export, Quantize
from edgepack.plan.training_settings import Training

HALVED: dict[str, Any] = {"student": "same", "prune_heads": 0.5, "prune_ffn": 0.5}
COMPARED: dict[str, dict[str, dict[str, Any]]] = {
    "half of the heads and of the FFN neurons": {
        "one shot": HALVED,
        "4 iterations": HALVED | {"iterations": 4},
    },
    "3 of 6 layers": {
        "logits alone": {"student": "3x384", "prune_heads": 0.0},
        "logits, hidden states, relations, labels": {
            "student": "3x384",
            "prune_heads": 0.0,
            "weights": {"hidden_weight": 1.0, "relation_weight": 1.0, "hard_weight": 1.0},
        },
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1000, help="sentences that a seed trains on")
    parser.add_argument("--epochs", type=int, default=4, help="over them, in all iterations together")
    parser.add_argument("--work", type=Path, default=Path("build/schedules"), help="results are kept there, variant by variant")
    wanted = parser.parse_args()
    material = gather(Recipe(model=wanted.model, data=wanted.data))
    base = np.array([right(load_checkpoint(material.source, material.task.name), material)])
    print(f"teacher {base.mean():.4f}; {wanted.seeds} seeds, {wanted.rows:,} sentences, {wanted.epochs} epochs\n")
    for title, variants in COMPARED.items():
        result = {
            name: np.array([run(wanted, material, name, wish, seed) for seed in range(wanted.seeds)]) for name, wish in variants.items()
        }
        print_table(title, base, result)


def run(wanted: argparse.Namespace, material: Material, name: str, wish: dict[str, Any], seed: int) -> list[int]:
    """The right answers of one variant; from its file where an earlier run left it."""
    folder = wanted.work / f"{''.join(c if c.isalnum() else '-' for c in name)}-{wanted.rows}x{wanted.epochs}-{seed}"
    if (folder / "right.json").is_file():
        return json.loads((folder / "right.json").read_text())
    started = time.monotonic()
    weights = wish.get("weights", {})
    training = Training(epochs=wanted.epochs, **weights)
    recipe = Recipe(model=wanted.model, data=wanted.data, seed=seed, training=training, **{k: v for k, v in wish.items() if k != "weights"})
    plan = make_plan(load_profile("raspberry-pi"), recipe, material.source.shape(material.task.name))
    model = load_checkpoint(material.source, material.task.name)
    context = drawn_context(wanted, material, model, seed)
    for index, step in enumerate(plan.steps):
        if not isinstance(step, Export | Quantize):
            model = stage_of(step)(model, step, replace(context, folder=folder / f"step-{index}"))
    answers = right(model, material)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "right.json").write_text(json.dumps(answers))
    print(f"{name}, seed {seed}: {np.mean(answers):.4f} in {time.monotonic() - started:.0f} s", flush=True)
    return answers


def drawn_context(wanted: argparse.Namespace, material: Material, teacher, seed: int) -> StageContext:
    drawn = np.random.default_rng(seed).permutation(len(material.train))[: wanted.rows]
    features = [material.train[index] for index in drawn]
    outputs = run_model(teacher, material.task, features, "teacher")
    load = lambda: load_checkpoint(material.source, material.task.name)  # noqa: E731
    return StageContext(material.task, material.rows("train"), features, outputs, material.labels, Path(), seed, load)


def right(model, material: Material) -> list[int]:
    outputs = run_model(model, material.task, material.test, "test")
    return right_answers(outputs, material.test, material.rows("test"), material.labels).tolist()


def print_table(title: str, base: np.ndarray, result: dict[str, np.ndarray]) -> None:
    first, before = next(iter(result.items()))
    print(f"\n| {title} | accuracy by seed | points lost (95 % interval) | points lost against {first} |\n|---|---|---|---|")
    for name, answers in result.items():
        by_seed = ", ".join(f"{value:.4f}" for value in answers.mean(axis=1))
        against = points_lost(before, answers) if name != first else "–"
        print(f"| {name} | {by_seed} | {points_lost(base, answers)} | {against} |", flush=True)


if __name__ == "__main__":
    main()
