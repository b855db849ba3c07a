"""Makes a tiny random model of a family, to try in seconds whether edgepack can work on the family."""

from typing import Any

import torch
from torch import nn

from edgepack.plan.family import Family
from edgepack.tasks import task_named

_ENLARGED = 4  # random weights as they come are so small that hardly any of them can be seen in the outputs


def tiny_config(family: Family, **more: Any) -> Any:
    """transformers' config of a tiny model; `more` are further settings, or others."""
    from transformers import AutoConfig

    return AutoConfig.for_model(family.model_type, **family.tiny_settings() | more)


def tiny_model(family: Family, task: str, **more: Any) -> nn.Module:
    """A tiny model for a task in eval mode; the same one each time. `more`: further settings of its config, or others."""
    import transformers

    torch.manual_seed(0)
    model_class = getattr(transformers, task_named(task).auto_class)
    plain = {"attn_implementation": "eager"} if family.config_attention_cap else {}  # fast attention forgets a cap on scores
    return enlarged(model_class.from_config(tiny_config(family, **more), dtype=torch.float32, **plain)).eval()


def enlarged(model: nn.Module) -> nn.Module:
    """The same model, its matrices and tables large enough to matter."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(_ENLARGED)
    return model
