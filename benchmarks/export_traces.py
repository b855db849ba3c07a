"""What an export to ONNX takes that traces the model once, beside one that traces it twice, as torch does by itself.

    python benchmarks/export_traces.py [--model ../shared/models/minilm-l6-sst2]

CPU time of the process, one thread, both ways in turn; medians of three turns behind one that is not counted. Without a model: a tiny one
of each family.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch
from torch import nn

from edgepack.core.errors import EdgepackError
from edgepack.export import onnx_export
from edgepack.export.onnx_decoder import export_decoder
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.source import find_model
from edgepack.model.tiny_model import tiny_model
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.steps import Export
from edgepack.tasks import task_named

_TURNS = 3


@contextlib.contextmanager
def in_two_traces() -> Iterator[None]:
    once = onnx_export.decomposed_in_place
    onnx_export.decomposed_in_place = contextlib.nullcontext
    try:
        yield
    finally:
        onnx_export.decomposed_in_place = once


def cpu_s(model: nn.Module, task: str, folder: Path) -> float:
    step, started = Export(opset=20, why=""), time.process_time()
    if task == "text-generation":
        export_decoder(model, step, folder)
    else:
        onnx_export.export_onnx(model, task_named(task), step, folder / "graph.onnx")
    return time.process_time() - started


def compare(name: str, model: nn.Module, task: str) -> None:
    once, twice = [], []
    with tempfile.TemporaryDirectory() as place:
        for turn in range(_TURNS + 1):
            seconds = cpu_s(model, task, Path(place))
            with in_two_traces():
                others = cpu_s(model, task, Path(place))
            if turn:
                once.append(seconds)
                twice.append(others)
    print(f"| {name} | {median(twice):.1f} | {median(once):.1f} | {median(once) / median(twice):.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--families", nargs="*", default=sorted(FAMILIES))
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | two traces, CPU s | one, CPU s | ratio |\n|---|---|---|---|")
    if given.model:
        source = find_model(given.model)
        task = source.task()
        compare(source.name, load_checkpoint(source, task).eval(), task)
        return
    for name in given.families:
        for task in ("text-classification", "text-generation"):
            with contextlib.suppress(EdgepackError, ValueError, KeyError):  # a family of the other kind
                compare(name, tiny_model(FAMILIES[name], task), task)
                break


if __name__ == "__main__":
    main()
