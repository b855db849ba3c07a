"""Two products for one against pruning with a refit, on one encoder: points lost, weights, and time, with nothing trained.

    python benchmarks/factorization.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2

A row is the teacher after one stage, in fp32 in torch: what rank and refit lose themselves, without what int8 or a recovery would hide.
Time is CPU time of 128 tokens on one thread, all rows in turns, the median. Widths of 768 and other models: give another --model.
"""

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgepack.compress.context import StageContext
from edgepack.compress.factorization import factorize
from edgepack.compress.pruning import prune_ffn, prune_heads
from edgepack.compress.sparsity import linears
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.material import Material, gather
from edgepack.model.quality import judge_outputs
from edgepack.model.structure import count_params, matrix_of
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Factorize, PruneFFN, PruneHeads

TOKENS, TURNS = 128, 15


def pruned(heads: float, ffn: float):
    def make(model: nn.Module, context: StageContext) -> nn.Module:
        for stage, step, fraction in ((prune_heads, PruneHeads, heads), (prune_ffn, PruneFFN, ffn)):
            if fraction:
                model = stage(model, step(fraction=fraction, scope="model", refit=True, why=""), context)
        return model

    return make


def factored(share: float, by: str):
    return lambda model, context: factorize(model, Factorize(fraction=share, by=by, why=""), context)


ROWS = {
    "whole": lambda model, context: model,
    "refit: 15 % of FFN": pruned(0.0, 0.15),
    "refit: 25 % of heads, 42 % of FFN": pruned(0.25, 0.42),
    "svd, 15 %": factored(0.15, "svd"),
    "svd, 30 %": factored(0.30, "svd"),
    "svd, 45 %": factored(0.45, "svd"),
    "tensor, 30 %": factored(0.30, "tensor"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    parser.add_argument("--texts", type=int, help="of the test split; all if left out")
    wanted = parser.parse_args()
    material = gather(Recipe(model=str(wanted.model), data=str(wanted.data)))
    teacher = load_checkpoint(material.source, material.task.name)
    models = {}
    for name in wanted.rows:
        context = StageContext(material.task, material.rows("train"), material.train, [], material.labels, Path(), 0)
        models[name] = ROWS[name](copy.deepcopy(teacher), context).eval()
        print(f"# {name}: made", flush=True)
    spent = times(models)
    print("| row | parameters, M | weights of layers, M | accuracy | points lost | ms of CPU, 128 tokens | times as fast |")
    print("|---|---|---|---|---|---|---|")
    whole = None
    for name, model in models.items():
        score = accuracy(model, material, wanted.texts)
        whole = score if whole is None else whole
        weights = sum(matrix_of(module).numel() for module in linears(model)) / 1e6
        first = spent[next(iter(models))]
        row = f"{count_params(model) / 1e6:.2f} | {weights:.2f} | {score:.4f} | {100 * (whole - score):+.2f}"
        print(f"| {name} | {row} | {spent[name]:.1f} | {first / spent[name]:.2f} |", flush=True)


def accuracy(model: nn.Module, material: Material, most: int | None) -> float:
    rows = material.rows("test")[:most]
    features = material.encoded(rows)
    outputs = run_model(model, material.task, features, "score")
    return judge_outputs(material.task, outputs, features, rows, material.labels, None).score.value


def times(models: dict[str, nn.Module]) -> dict[str, float]:
    """Milliseconds of CPU time."""
    torch.set_num_threads(1)
    ids = torch.randint(5, 1000, (1, TOKENS), generator=torch.Generator().manual_seed(0))
    samples: dict[str, list[float]] = {name: [] for name in models}
    with torch.inference_mode():
        for turn in range(TURNS + 1):
            for name, model in models.items():
                began = time.process_time()
                model(input_ids=ids, attention_mask=torch.ones_like(ids))
                samples[name] += [1e3 * (time.process_time() - began)] if turn else []
    return {name: float(np.median(values)) for name, values in samples.items()}


if __name__ == "__main__":
    main()
