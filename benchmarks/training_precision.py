"""A distillation with products in bf16 beside one in fp32: CPU seconds a step, and the scores of the students.

    python benchmarks/training_precision.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2 --seeds 2

Steps of both precisions take turns in one process, on the same batches; the median of their CPU times counts, so other work on the
machine hardly touches it. The scores are those of whole builds. It tells nothing on a CPU without instructions for bf16.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from edgepack.compress.context import StageContext
from edgepack.compress.distillation import distillation_loss, targets_of
from edgepack.compress.student_init import make_student
from edgepack.core.host import multiplies_bf16
from edgepack.model.batches import batch_order, collate
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import pad_id_of, run_model, takes_types
from edgepack.model.material import gather
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Distill
from edgepack.plan.training_settings import Training

PRECISIONS = ("fp32", "bf16")
BATCH_ROWS, WARM_UP = 32, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=2, help="0: the times alone")
    parser.add_argument("--work", type=Path, default=Path("build/training-precision"))
    wanted = parser.parse_args()
    print(f"instructions for bf16: {'yes' if multiplies_bf16() else 'no'}; {torch.get_num_threads()} threads")
    print("\n| loss | fp32: CPU ms a step | bf16 | times as fast |\n|---|---|---|---|")
    for name, hidden_weight in (("outputs", 0.0), ("outputs and hidden states", 1.0)):
        times = _step_times(wanted, hidden_weight)
        print(f"| {name} | {times['fp32']:.0f} | {times['bf16']:.0f} | {times['fp32'] / times['bf16']:.2f} |", flush=True)
    if wanted.seeds:
        print("\n| seed | score in fp32 | in bf16 |\n|---|---|---|")
    for seed in range(wanted.seeds):
        print(f"| {seed} | {' | '.join(f'{_score(wanted, precision, seed):.4f}' for precision in PRECISIONS)} |", flush=True)


def _step_times(wanted: argparse.Namespace, hidden_weight: float) -> dict[str, float]:
    """Median CPU ms of a forward pass, the backward pass and the optimizer's step, by precision."""
    material = gather(Recipe(model=str(wanted.model), data=str(wanted.data)))
    teacher, features = load_checkpoint(material.source), material.train[: BATCH_ROWS * wanted.steps]
    with tempfile.TemporaryDirectory() as folder:
        context = StageContext(material.task, material.rows("train"), features, [], material.labels, Path(folder), 0)
    context = replace(context, teacher_outputs=run_model(teacher, material.task, features, "teacher"))
    order = batch_order([len(item.ids) for item in features], BATCH_ROWS, 1, 0)
    students = {precision: make_student(teacher, wanted.layers, teacher.config.hidden_size, features) for precision in PRECISIONS}
    steps = {}
    for precision, student in students.items():
        sizes = {"layers": wanted.layers, "hidden": teacher.config.hidden_size, "batch_rows": BATCH_ROWS, "temperature": 2.0}
        step = Distill(**sizes, hidden_weight=hidden_weight, training_precision=precision, why="")
        optimizer = torch.optim.AdamW(student.train().parameters(), 1e-4, fused=True)
        steps[precision] = (distillation_loss(step, context, teacher if hidden_weight else None), optimizer)
    targets = targets_of(step, context, teacher)
    times: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for at in range(0, len(order) - BATCH_ROWS + 1, BATCH_ROWS):
        for precision, student in students.items():
            items = [(features[index], targets[index]) for index in order[at : at + BATCH_ROWS]]
            batch = collate(items, pad_id_of(student), takes_types(student))
            truth, (loss, optimizer) = batch.pop("targets"), steps[precision]
            start = time.process_time()
            loss(student, batch, truth).backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            times[precision].append((time.process_time() - start) * 1e3)
            optimizer.zero_grad()
    return {precision: statistics.median(each[WARM_UP:]) for precision, each in times.items()}


def _score(wanted: argparse.Namespace, precision: str, seed: int) -> float:
    out = wanted.work / f"{precision}-{seed}"
    if not (out / "pack.json").is_file():
        training = Training(epochs=wanted.epochs, hidden_weight=1.0, training_precision=precision)
        size = f"{wanted.layers}x{load_hidden(wanted.model)}"
        recipe = Recipe(model=str(wanted.model), data=str(wanted.data), student=size, training=training, seed=seed, precision="fp32")
        build(recipe, load_profile("x86-server"), out, wanted.work / "cache", effort=None)
    return next(row.score.value for row in read_manifest(out).ladder if row.stage == "distill")


def load_hidden(model: Path) -> int:
    """The teacher's hidden width, which the student keeps."""
    return gather(Recipe(model=str(model))).source.shape("text-classification").hidden


if __name__ == "__main__":
    main()
