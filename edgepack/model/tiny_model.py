"""A tiny random model of a family, as its file describes it: what shows in seconds whether edgepack can work on the family."""

from typing import Any

import torch
from torch import nn

from edgepack.plan.family import Family

_ENLARGED = 4  # random weights as they come are so small that hardly any of them can be seen in the outputs


def tiny_config(family: Family, **more: Any) -> Any:
    """transformers' config of a tiny model; `more` are further settings, or others."""
    from transformers import AutoConfig

    return AutoConfig.for_model(family.model_type, **family.tiny_settings() | more)


def enlarged(model: nn.Module) -> nn.Module:
    """The same model, its matrices and tables large enough to matter."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(_ENLARGED)
    return model
