"""Removes the attention from layers, and replaces it by modules that compute the part that stays."""

from collections.abc import Sequence

import torch
from torch import nn

from edgepack.model.structure import OutputBias, family_of_model, has_attention, layers_of


def drop_attention(model: nn.Module, layers: Sequence[int]) -> None:
    """Takes the attention sublayer out of these layers. What stays is the bias of its output, the residual and the norm.

    Where layers share their weights, all of them lose it.
    """
    family, owners = family_of_model(model), layers_of(model)
    for index in layers:
        layer = owners[0 if family.shared_layers else index]
        if not has_attention(model, layer):
            continue
        output = layer.get_submodule(family.attention_output)
        bias, inside = OutputBias(output), family.attention_output.startswith(f"{family.attention}.")
        norm = layer.get_submodule(family.attention).get_submodule(family.attention_norm) if family.attention_norm else None
        nothing = _NoAttention(family.attention_output.rpartition(".")[2] if inside else None, bias, family.attention_norm, norm)
        _put(layer, family.attention, nothing)
        if not inside:
            _put(layer, family.attention_output, bias)


class _NoAttention(nn.Module):
    """Stands where an attention module stood, and holds under their names what of that module stays.

    output_name: the output's bias, where it lay inside. norm_name: a norm behind the residual, where that lay inside.
    """

    def __init__(self, output_name: str | None, bias: OutputBias, norm_name: str, norm: nn.Module | None) -> None:
        super().__init__()
        self.output_name, self.norm_name = output_name, norm_name
        if output_name:
            self.add_module(output_name, bias)
        if norm is not None:
            self.add_module(norm_name, norm)

    def forward(self, hidden_states: torch.Tensor, *_: object, **__: object) -> tuple[torch.Tensor, None]:
        nothing = hidden_states[..., :0]
        output = self.get_submodule(self.output_name)(nothing) if self.output_name else nothing
        return (self.get_submodule(self.norm_name)(hidden_states + output) if self.norm_name else output), None


def _put(layer: nn.Module, path: str, module: nn.Module) -> None:
    owner, _, name = path.rpartition(".")
    setattr(layer.get_submodule(owner) if owner else layer, name, module)
