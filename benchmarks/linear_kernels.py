"""What oneDNN brings for linear layers in fp32: single products, asking a teacher about texts, and making a narrow student.

    python benchmarks/linear_kernels.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2 [--shape 6x288] [--texts 2000]

Best of six for a product, medians of three turns for the rest: with torch's own layers (MKL on x86) and by oneDNN, in turn. Run it alone.
"""

import argparse
import copy
import time
from collections.abc import Callable
from contextlib import contextmanager
from statistics import median

import torch
from torch import nn

from edgepack.compress.student_init import make_student
from edgepack.model import linear_kernels
from edgepack.model.evaluation import run_model
from edgepack.model.material import gather
from edgepack.pipeline.scoring import load_model
from edgepack.plan.recipe import Recipe

_PRODUCTS = ((16384, 384, 384), (2048, 384, 1536), (2048, 1536, 384))  # tokens, inputs, outputs
_TURNS = 3


@contextmanager
def by_onednn(wanted: bool):
    """Whatever the CPU is."""
    before = linear_kernels.is_amd_with_avx512
    linear_kernels.is_amd_with_avx512 = lambda: wanted
    try:
        yield
    finally:
        linear_kernels.is_amd_with_avx512 = before


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def product_rates(tokens: int, inputs: int, outputs: int) -> list[float]:
    """10^9 operations a second: fp32 by torch, fp32 by oneDNN, bf16."""
    layer, rows = nn.Linear(inputs, outputs), torch.randn(tokens, inputs)
    low, low_rows = copy.deepcopy(layer).bfloat16(), rows.bfloat16()

    def rate(module: nn.Module, given: torch.Tensor, wanted: bool = False) -> float:
        with torch.no_grad(), by_onednn(wanted), linear_kernels.fast_linears(module):
            return 2e-9 * tokens * inputs * outputs / min(seconds(lambda: module(given)) for _ in range(6))

    return [rate(layer, rows), rate(layer, rows, True), rate(low, low_rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--shape", default="6x288")
    parser.add_argument("--texts", type=int, default=2000)
    wanted = parser.parse_args()
    layers, hidden = map(int, wanted.shape.split("x"))
    print(f"{torch.get_num_threads()} threads\n\n| product | fp32, torch | fp32, oneDNN | bf16 |\n|---|---|---|---|")
    for product in _PRODUCTS:
        print(f"| {' x '.join(map(str, product))} | " + " | ".join(f"{rate:.0f}" for rate in product_rates(*product)) + " |", flush=True)
    material = gather(Recipe(model=wanted.model, data=wanted.data))
    teacher = load_model(material, material.source)
    jobs: dict[str, Callable[[], object]] = {
        f"{wanted.texts} texts asked": lambda: run_model(teacher, material.task, material.train[: wanted.texts], "teacher"),
        f"{wanted.shape} made": lambda: make_student(copy.deepcopy(teacher), layers, hidden, material.train),
    }
    print("\n| job | s, torch | s, oneDNN |\n|---|---|---|")
    for name, job in jobs.items():
        taken: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(2 * _TURNS):
            with by_onednn(bool(turn % 2)):
                taken[bool(turn % 2)].append(seconds(job))
        print(f"| {name} | {median(taken[False]):.1f} | {median(taken[True]):.1f} |", flush=True)


if __name__ == "__main__":
    main()
