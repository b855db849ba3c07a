"""Distils: a student made of its teacher's weights learns the teacher's outputs, hidden states and relations, and labels."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from edgepack.compress.context import StageContext
from edgepack.compress.hidden_states import fitted_projection, recording
from edgepack.compress.need import Lesson, distance_judge, fitting_rate, lessons
from edgepack.compress.rounding import seen_as_rounded
from edgepack.compress.sparsity import held_zeros
from edgepack.compress.student_init import make_student
from edgepack.model.course import RANGE, RANGE_STEPS, SHORT_RATE, Course, most_steps
from edgepack.model.evaluation import run_model
from edgepack.model.losses import hidden_loss, relation_heads, relation_loss
from edgepack.model.quality import score_outputs
from edgepack.model.structure import depths_in, family_of_model
from edgepack.model.training import BatchLoss, bare, train
from edgepack.model.training_precision import computed_in, in_fastest_precision
from edgepack.plan.steps import Distill
from edgepack.plan.training_settings import STATED_RATE, Training
from edgepack.tasks.common.task import Outputs

_PROJECTION = "edgepack_projection"  # lives on the student while it trains, so that checkpoints hold it
_DEV_INPUTS = 500  # what the best checkpoint is chosen by
_TURNED_BY = 1000  # texts that tell how the outputs of a narrower student lie to its teacher's
_LEAST_TESTED = 3 * RANGE_STEPS * len(RANGE)  # steps: a training that may not be longer has no time for a test of learning rates
_LEAST_MINUTES = 0.05  # for the training itself, where the teacher and the test of rates took the time


def distill(model: nn.Module, step: Distill, context: StageContext) -> nn.Module:
    """The student that `step` asks for, initialised from `model` and trained on the teacher's outputs.

    The soft targets are read from disk; for hidden states and relations the teacher runs beside the student.
    """
    step = in_fastest_precision(step, context.task.decodes)
    context.details["training_precision"] = str(step.training_precision)
    started = time.monotonic()
    student = make_student(model, step.layers, step.hidden, context.features)
    live = context.load_teacher() if step.hidden_weight or step.relation_weight else None
    if live is not None:
        live.requires_grad_(False)
    loss = distillation_loss(step, context, live)
    with held_zeros(student) if step.hold_zeros else nullcontext(), seen_as_rounded(student, step.rounding, context):
        # Within, so that it is not seen as rounded: no file holds the projection.
        if step.hidden_weight and live and (projection := fitted_projection(student, live, context.features)):
            student.add_module(_PROJECTION, projection)
        context.notes["initialization_s"] = round(time.monotonic() - started, 2)
        student = _trained(student, step, context, loss) if step.epochs is not None else _trained_by_need(student, step, context, loss)
    if hasattr(student, _PROJECTION):
        delattr(student, _PROJECTION)
    return student


def _trained(student: nn.Module, step: Distill, context: StageContext, loss: BatchLoss) -> nn.Module:
    """After the epochs that the user stated, or the best checkpoint within the minutes."""
    judge = _dev_judge(context) if step.minutes else None
    targets = targets_of(step, context, student)
    settings, title = training_of(step), _title(step)
    student, steps = train(student, context.features, targets, loss, settings, context.folder, context.seed, title, judge)
    context.details.update({"steps": steps, "texts": len(context.features)})
    return student


def _trained_by_need(student: nn.Module, step: Distill, context: StageContext, loss: BatchLoss) -> nn.Module:
    """As long as it brings something, on texts enough, at a learning rate that fits. The context's details say how that went."""
    lesson = lessons(step, context)
    whole = lesson.context
    both = replace(whole, features=[*whole.features, *lesson.dev], teacher_outputs=[*whole.teacher_outputs, *lesson.dev_outputs])
    targets = targets_of(step, both, student)  # at once: a narrower student's axes are those of all outputs
    count = len(whole.features)
    judge = distance_judge(_loss_of_outputs(step, context, loss), lesson.dev, targets[count:]) if lesson.dev else None
    most = most_steps(count, step.batch_rows, step.share)
    course = Course(most if step.training_steps is None else min(most, step.training_steps))
    settings, seconds = training_of(step), lesson.seconds
    if step.learning_rate is None and step.training_steps is not None and step.training_steps < _LEAST_TESTED:
        settings = settings.model_copy(update={"learning_rate": SHORT_RATE})
    elif step.learning_rate is None and judge is not None:
        rate, tested_seconds = fitting_rate(student, step.batch_rows, loss, Lesson(whole.features, targets[:count], judge), context)
        settings, seconds = settings.model_copy(update={"learning_rate": rate}), seconds + tested_seconds
    if settings.minutes:
        left = max(min(_LEAST_MINUTES, settings.minutes), settings.minutes - seconds / 60)
        settings = settings.model_copy(update={"minutes": left})
    arguments = whole.features, targets[:count], loss, settings, context.folder, context.seed, _title(step), judge, course
    student, _ = train(student, *arguments)
    context.details.update({"steps": course.last, "texts": count, "learning_rate": settings.learning_rate or STATED_RATE})
    if course.climbing:
        context.details["still_improving"] = "yes"
    return student


def _loss_of_outputs(step: Distill, context: StageContext, loss: BatchLoss) -> BatchLoss:
    """What progress is judged by: the distance of outputs, where they are learned. Hidden states are a way to it, and level off earlier."""
    if not step.soft_weight:
        return loss
    return distillation_loss(step.model_copy(update={"hidden_weight": 0.0, "relation_weight": 0.0}), context, None)


def training_of(step: Distill) -> Training:
    """The settings of the training that the step states."""
    return Training(**{name: getattr(step, name) for name in Training.model_fields.keys() & Distill.model_fields.keys()})


def _title(step: Distill) -> str:
    return f"distil {step.layers}x{step.hidden}"


def targets_of(step: Distill, context: StageContext, student: nn.Module) -> list[dict[str, Any]]:
    """What a row is trained on: `soft` and, where the step weighs them, `hard`."""
    task, soft = context.task, context.teacher_outputs
    narrow = task.narrowed(soft, getattr(student.config, family_of_model(student).config_hidden))
    if narrow is not soft:
        some = slice(0, _TURNED_BY)
        narrow = turned(narrow, narrow[some], run_model(student, task, context.features[some], "student"))
    targets: list[dict[str, Any]] = [{"soft": each} for each in narrow]
    if step.hard_weight and task.hard_targets:
        for target, hard in zip(targets, task.hard_targets(context.features, context.rows, context.labels), strict=True):
            target["hard"] = hard
    return targets


def turned(outputs: Outputs, some: Outputs, towards: Outputs) -> Outputs:
    """The outputs turned as a whole, so that `some` of them come as near as they can to `towards`; no angle between two of them changes.

    Orthogonal Procrustes (Schönemann 1966). So a student with vectors of its own width need not learn a rotation first.
    """
    left, _, right = np.linalg.svd(np.stack(some).astype(np.float64).T @ np.stack(towards))
    return list(np.stack(outputs) @ (left @ right).astype(np.float32))


def distillation_loss(step: Distill, context: StageContext, teacher: nn.Module | None) -> BatchLoss:
    """The loss of a batch: the weighted sum of the parts that the step names. teacher: None where no part needs its hidden states."""
    task = context.task
    watched = {"states": teacher is not None and step.hidden_weight > 0, "relations": teacher is not None and step.relation_weight > 0}

    def loss(model: nn.Module, batch: dict[str, torch.Tensor], targets: dict[str, torch.Tensor]) -> torch.Tensor:
        mask, student = batch["attention_mask"], bare(model)
        with recording(student, **watched) as ours:
            outputs = task.forward(model, batch)
        total = outputs.sum() * 0.0
        if step.soft_weight:
            total = total + step.soft_weight * task.soft_loss(outputs, batch, targets["soft"], step.temperature)
        if step.hard_weight and task.label_loss:
            total = total + step.hard_weight * task.label_loss(outputs, batch, targets["hard"])
        if teacher is None:
            return total
        teacher.to(mask.device)
        with torch.no_grad(), recording(teacher, **watched) as theirs:
            task.forward(teacher, batch)
        if step.hidden_weight:
            depths, projection = depths_in(student, teacher), getattr(student, _PROJECTION, None)
            total = total + step.hidden_weight * hidden_loss(ours.states, theirs.states, depths, projection, mask)
        if step.relation_weight:
            heads = relation_heads([x.shape[-1] for x in ours.relations], [x.shape[-1] for x in theirs.relations], _heads(teacher))
            total = total + step.relation_weight * relation_loss(ours.relations, theirs.relations, heads, mask)
        return total

    return computed_in(step.training_precision, loss)


def _heads(model: nn.Module) -> int:
    return getattr(model.config, family_of_model(model).config_heads)


def _dev_judge(context: StageContext) -> Callable[[nn.Module], float] | None:
    """The task's metric on a part of the dev split, higher is better; None where there is nothing to judge by."""
    features: Sequence = context.dev_features[:_DEV_INPUTS]
    if not features or context.task.needs_teacher:
        return None
    rows = context.dev_rows[: max(item.row for item in features) + 1]

    def judge(model: nn.Module) -> float:
        score = score_outputs(context.task, run_model(model, context.task, features, "dev"), features, rows, context.labels, [])
        if score is None:  # a correlation of one row, or of equal numbers, is none: nothing says which weights are better
            return -math.inf
        return -score.value if score.lower_is_better else score.value

    return judge
