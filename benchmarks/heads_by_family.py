"""What a model loses without a share of its heads, by ranking, one shot and refitted, over seeds: for decoders and encoders alike.

    python benchmarks/heads_by_family.py --model ../shared/models/stories260k --texts build/stories.txt --shares 0.25 0.5
    python benchmarks/heads_by_family.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2 --rows 64 --test-rows 400

A decoder is judged by its perplexity, others by how far their outputs are from the whole model's (the soft loss) and by the task's metric.
A seed draws the texts that importance is measured on, and the die of `random`. `--texts FILE` that is not there is written by the decoder
itself, drawn token by token. `--sums` compares how scores of a group's query heads are joined.
"""

import argparse
import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgepack.compress.context import StageContext
from edgepack.compress.importance import head_importance
from edgepack.compress.pruning import choose_heads
from edgepack.compress.refit import refit
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.material import Material, gather
from edgepack.model.quality import score_outputs
from edgepack.model.structure import kv_groups_of
from edgepack.model.surgery import cut_heads
from edgepack.plan.recipe import Recipe

_OWN_TEXTS, _OWN_TOKENS = 120, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data")
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.5])
    parser.add_argument("--measures", nargs="+", default=["gradient", "activation", "magnitude", "remainder", "random"])
    parser.add_argument("--scopes", nargs="+", default=["model"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=64, help="that importance is measured on, and what is left is refitted on")
    parser.add_argument("--test-rows", type=int, default=400)
    parser.add_argument("--one-shot", action="store_true", help="without the rows for refit")
    wanted = parser.parse_args()
    if wanted.texts and not wanted.texts.exists():
        write_own_texts(wanted.model, wanted.texts)
    material = gather(Recipe(model=wanted.model, data=str(wanted.data or wanted.texts)))
    teacher = load_checkpoint(material.source, material.task.name)
    print(f"whole: {judged(teacher, material, wanted.test_rows):.4f}, groups of {kv_groups_of(teacher)}", flush=True)
    print("| ranking | " + " | ".join(f"{share:.0%}" for share in wanted.shares) + " |\n" + "|---" * (len(wanted.shares) + 1) + "|")
    for refits in (False,) if wanted.one_shot else (False, True):
        for scope in wanted.scopes:
            for measure in wanted.measures:
                rows = [row_of(teacher, material, wanted, measure, scope, refits, seed) for seed in range(wanted.seeds)]
                cells = [f"{np.mean(each):.4f} ({min(each):.4f} to {max(each):.4f})" for each in zip(*rows, strict=True)]
                print(f"| {measure}, {scope}{', refit' * refits} | " + " | ".join(cells) + " |", flush=True)


def row_of(teacher: nn.Module, material: Material, wanted: argparse.Namespace, measure: str, scope: str, refits: bool, seed: int):
    """The metric at each share."""
    order = np.random.default_rng(seed).permutation(len(material.train))[: wanted.rows]
    context = StageContext(material.task, material.rows("train"), material.train, [], material.labels, Path(), seed)
    context = replace(context, features=[material.train[index] for index in order])
    scores = head_importance(teacher, context, measure)
    result = []
    for share in wanted.shares:
        keep, model = choose_heads(scores, share, scope, kv_groups_of(teacher)), copy.deepcopy(teacher)
        if refits:
            refit(model, "heads", keep, context.features)
        cut_heads(model, keep)
        result.append(judged(model, material, wanted.test_rows))
    return result


def judged(model: nn.Module, material: Material, rows: int) -> float:
    features = material.test[:rows]
    part = material.rows("test")[: max(item.row for item in features) + 1]
    outputs = run_model(model, material.task, features, "")
    return score_outputs(material.task, outputs, features, part, material.labels, []).value


def write_own_texts(model: str, path: Path) -> None:
    """Texts that a decoder draws: of its own kind, where no others are at hand."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, writer = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    torch.manual_seed(0)
    start = torch.full((_OWN_TEXTS, 1), tokenizer.bos_token_id)
    drawn = writer.generate(start, do_sample=True, max_new_tokens=_OWN_TOKENS, pad_token_id=tokenizer.eos_token_id or 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(text.replace("\n", " ") for text in tokenizer.batch_decode(drawn, skip_special_tokens=True)))


if __name__ == "__main__":
    main()
