"""Distils: a student made of its teacher's weights learns the teacher's soft targets."""

from contextlib import nullcontext

import numpy as np
import torch
from torch import nn

from edgepack.errors import EdgepackError
from edgepack.model.training import train
from edgepack.recipe import Training
from edgepack.stages.context import StageContext
from edgepack.stages.sparsity import held_zeros
from edgepack.stages.student_init import make_student
from edgepack.steps import Distill


def distill(model: nn.Module, step: Distill, context: StageContext) -> nn.Module:
    """The student that `step` asks for, initialised from `model` and trained on the teacher's outputs.

    Hinton, Vinyals and Dean 2015: the Kullback-Leibler divergence between softened distributions, times T squared.
    """
    if context.task.name != "text-classification":
        raise EdgepackError(f"{context.task.name} cannot be distilled yet", "use --student same --prune-heads 0")
    student = make_student(model, step.layers, step.hidden, context.features)

    def loss(student: nn.Module, batch: dict[str, torch.Tensor], teacher_logits: torch.Tensor) -> torch.Tensor:
        return soft_target_loss(student(**batch).logits, teacher_logits, step.temperature)

    settings = Training(epochs=step.epochs, batch_rows=step.batch_rows, learning_rate=step.learning_rate, temperature=step.temperature)
    title = f"distil {step.layers}x{step.hidden}"
    with held_zeros(student) if step.hold_zeros else nullcontext():
        return train(student, context.features, np.stack(context.teacher_outputs), loss, settings, context.folder, context.seed, title)


def soft_target_loss(logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean over rows; logits and teacher_logits are [rows, labels]."""
    log_student = torch.log_softmax(logits.float() / temperature, dim=-1)
    teacher = torch.softmax(teacher_logits.float() / temperature, dim=-1)
    return temperature**2 * nn.functional.kl_div(log_student, teacher, reduction="batchmean")
