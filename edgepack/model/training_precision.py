"""In which precision a training computes its products: bf16 where the machine has instructions for it, else fp32.

Weights, optimizer states and losses stay in fp32 (Micikevicius 2018, "Mixed precision training"; Kalamkar 2019, "A study of BFLOAT16").
"""

from typing import Any

import torch
from torch import nn

from edgepack.core.host import multiplies_bf16
from edgepack.model.training import BatchLoss
from edgepack.plan.steps import Distill
from edgepack.plan.training_settings import TrainingPrecision


def in_fastest_precision(step: Distill, decodes: bool) -> Distill:
    """The step with the precision that its training takes where nobody asked for one.

    decodes: a decoder's distillation was compared in fp32 alone on CPUs. Where weights are trained as they will be rounded, bf16 would
    round them once more.
    """
    if step.training_precision is not None:
        return step
    is_fast = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else multiplies_bf16() and not decodes
    return step.model_copy(update={"training_precision": "bf16" if is_fast and step.rounding is None else "fp32"})


def computed_in(precision: TrainingPrecision | None, loss: BatchLoss) -> BatchLoss:
    """The same loss with its products in `precision`, wherever the model is."""
    if precision != "bf16":
        return loss

    def lowered(model: nn.Module, batch: dict[str, torch.Tensor], targets: Any) -> torch.Tensor:
        with torch.autocast(next(model.parameters()).device.type, torch.bfloat16):
            return loss(model, batch, targets)

    return lowered
