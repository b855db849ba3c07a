"""What a training by need is given: texts enough, a distance to the teacher on the dev split, and a learning rate that fits the student."""

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgepack.compress.context import StageContext
from edgepack.compress.stretching import stretched
from edgepack.core.distributed import agreed, device_here, is_first
from edgepack.core.errors import EdgepackError
from edgepack.core.files import sha256_of, sync, write_atomically, write_json
from edgepack.core.progress import bar, say
from edgepack.core.reading import read_json_object
from edgepack.model.batches import batch_order, batches_with_targets
from edgepack.model.course import RANGE, RANGE_STEPS, best_rate
from edgepack.model.evaluation import run_model, use_all_cores
from edgepack.model.material import load_outputs, save_outputs
from edgepack.model.training import BatchLoss
from edgepack.plan.steps import Distill
from edgepack.tasks.common.task import Features, Outputs

_DEV_TEXTS = 300  # that progress is judged by
_DEV_SHARE = 0.1  # of the train split, where there is no dev split or nobody to ask about it
_WARM_UP = 5  # steps of the range test


@dataclass(frozen=True)
class Lessons:
    """Texts with the teacher's outputs: to learn from, and to see by how far the student is."""

    context: StageContext  # with every text to learn from, and the rows of all texts, those of `dev` too
    dev: Sequence[Features]
    dev_outputs: Outputs
    seconds: float  # that asking the teacher took


def lessons(step: Distill, context: StageContext) -> Lessons:
    """The train split, stretched where it is small, and a part of the dev split. The teacher's answers stay in the stage's folder."""
    train, outputs = list(context.features), list(context.teacher_outputs)
    asks_teacher = context.load_teacher is not None
    dev = [replace(item, row=len(context.rows) + item.row) for item in context.dev_features[:_DEV_TEXTS]] if asks_teacher else []
    held = 0 if dev else min(_DEV_TEXTS, math.ceil(len(train) * _DEV_SHARE)) if len(train) > 1 else 0
    held_texts, held_outputs = train[len(train) - held :], outputs[len(outputs) - held :]
    train, outputs = train[: len(train) - held], outputs[: len(outputs) - held]
    more = stretched(train, context.special, step.hard_weight > 0, context.seed) if asks_teacher and context.special else []
    answers, seconds = _asked([*dev, *more], context) if dev or more else ([], 0.0)
    rows = [*context.rows, *context.dev_rows]
    whole = replace(context, rows=rows, features=[*train, *more], teacher_outputs=[*outputs, *answers[len(dev) :]])
    return Lessons(whole, dev or held_texts, answers[: len(dev)] if dev else held_outputs, seconds)


def _asked(features: Sequence[Features], context: StageContext) -> tuple[Outputs, float]:
    """The teacher's outputs, and the seconds that they took."""

    def ask(path: Path) -> None:
        assert context.load_teacher is not None
        save_outputs(path, run_model(context.load_teacher(), context.task, features, "teacher", context.task.kept_outputs))

    path = context.folder / "asked.npz"
    seconds = _written_once(path, ask)
    return load_outputs(path), seconds


def _written_once(path: Path, write: Callable[[Path], None]) -> float:
    """The seconds that write(path) took, now or in an earlier run of this stage. The seal beside the file holds them, and its hash."""
    seal = path.with_name(f"{path.stem}-seal.json")
    if is_first() and not _is_intact(path, seal):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial, started = path.with_stem(f"{path.stem}-partial"), time.monotonic()
        write(partial)
        sync(partial)
        partial.replace(path)
        write_atomically(seal, json.dumps({"sha256": sha256_of(path), "seconds": time.monotonic() - started}))
    agreed(True)
    return float(read_json_object(seal)["seconds"])


def _is_intact(path: Path, seal: Path) -> bool:
    """Whether the file is as it was written. A kill before the seal leaves none."""
    if not path.is_file() or not seal.is_file():
        return False
    try:
        stated = read_json_object(seal)
    except EdgepackError:
        stated = {}
    if stated.get("sha256") == sha256_of(path) and isinstance(stated.get("seconds"), float | int):
        return True
    say(f"a file of the training is damaged and is made again: {path}")
    return False


def distance_judge(loss: BatchLoss, features: Sequence[Features], targets: Sequence[Any]) -> Callable[[nn.Module], float]:
    """Minus the loss over these texts: higher is better."""

    def judge(model: nn.Module) -> float:
        was_training = model.training
        model.eval()
        sums = 0.0
        by_length = sorted(range(len(features)), key=lambda index: len(features[index].ids))
        ordered = [features[index] for index in by_length], [targets[index] for index in by_length]
        with torch.no_grad():
            for batch, wanted in batches_with_targets(model, *ordered):
                sums += len(batch["input_ids"]) * float(loss(model, batch, wanted))
        model.train(was_training)
        return -sums / len(features)

    return judge


def fitting_rate(student: nn.Module, batch_rows: int, loss: BatchLoss, lesson: "Lesson", context: StageContext) -> tuple[float, float]:
    """The learning rate of a few that brings a copy of the student nearest to its teacher in the same few steps, and the seconds of that.

    A short form of the range test of Smith 2017, "Cyclical learning rates for training neural networks". What it found stays in the
    stage's folder.
    """

    def test(path: Path) -> None:
        use_all_cores()
        with bar("learning rates", len(RANGE) * RANGE_STEPS) as progress:
            distances = {rate: _distance_after(student, rate, batch_rows, loss, lesson, context.seed, progress.advance) for rate in RANGE}
        numbers = [distances[rate] if math.isfinite(distances[rate]) else None for rate in RANGE]
        write_json(path, {"rate": best_rate(distances), "distances": numbers})

    path = context.folder / "rates.json"
    seconds = _written_once(path, test)
    return float(read_json_object(path)["rate"]), seconds


@dataclass(frozen=True)
class Lesson:
    """Texts with their targets, and how far a model is on others."""

    features: Sequence[Features]
    targets: Sequence[Any]
    judge: Callable[[nn.Module], float]


def _distance_after(
    student: nn.Module, rate: float, batch_rows: int, loss: BatchLoss, lesson: Lesson, seed: int, advance: Callable[[int], None]
) -> float:
    """Infinite where the loss is no number any more."""
    model = copy.deepcopy(student).to(device_here()).train()
    for ours, copied in zip(student.parameters(), model.parameters(), strict=True):
        for hook in (ours._backward_hooks or {}).values():  # a copy lacks them: they hold zeros of pruned weights
            copied.register_hook(hook)
    for dropout in (module for module in model.modules() if isinstance(module, nn.Dropout)):
        dropout.p = 0.0
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=rate, weight_decay=0.01, fused=True)
    rows = min(batch_rows, len(lesson.features))
    epochs = -(-RANGE_STEPS // (len(lesson.features) // rows))
    order = batch_order([len(item.ids) for item in lesson.features], rows, epochs, seed)
    drawn = order[: RANGE_STEPS * rows]
    texts, targets = [lesson.features[index] for index in drawn], [lesson.targets[index] for index in drawn]
    for step, (batch, wanted) in enumerate(batches_with_targets(model, texts, targets, rows)):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / _WARM_UP)
        value = loss(model, batch, wanted)
        if not math.isfinite(value.item()):
            return math.inf
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        advance(1)
    return -lesson.judge(model)
