"""What a model consists of, read from its modules: layers, heads, FFN neurons, and where their matrices are. Changes nothing."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from edgepack.model.factored import LINEARS, whole_matrix
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.family import Family
from edgepack.plan.shape import LayerShape

T = TypeVar("T")

_SOURCES = "edgepack_sources"  # on a model that surgery has left fewer layers


class OutputBias(nn.Module):
    """What an output projection without inputs computes: its bias, or nothing. It stands where a layer's attention was dropped."""

    def __init__(self, projection: nn.Module) -> None:
        super().__init__()
        if projection.bias is None:
            self.register_buffer("zero", torch.zeros(1), persistent=False)
        self.bias = None if projection.bias is None else nn.Parameter(projection.bias.detach().clone())

    def forward(self, nothing: torch.Tensor) -> torch.Tensor:
        return self.zero if self.bias is None else self.bias


def family_of_model(model: nn.Module) -> Family:
    """The family of a model, by the model_type of its config."""
    return FAMILIES[model.config.model_type]


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The layers that have weights of their own: one, where a family runs the same layer again and again."""
    return model.base_model.get_submodule(family_of_model(model).layers)


def depth_of(model: nn.Module) -> int:
    """How many layers a token passes."""
    return getattr(model.config, family_of_model(model).config_layers)


def sources_of(model: nn.Module) -> list[int]:
    """Which layers of the model that was read its layers are: all of them in order, unless surgery has left some out."""
    return list(getattr(model, _SOURCES, range(depth_of(model))))


def note_sources(model: nn.Module, sources: Sequence[int]) -> None:
    """Says which layers of the model that was read the model's layers are."""
    setattr(model, _SOURCES, list(sources))


def depths_in(student: nn.Module, teacher: nn.Module) -> list[int]:
    """For each hidden state of the student, the embeddings' first, which state of the teacher it stands for.

    It is what goes into the layer that the student has next, and at the end what comes out of the teacher.
    """
    theirs = sources_of(teacher)
    return [*(theirs.index(source) for source in sources_of(student)), len(theirs)]


def ffns_of(model: nn.Module) -> list[nn.Module]:
    """The modules that `ffn_in` and `ffn_out` are paths in, as they run: each layer, and the further FFNs that some layers have."""
    further = family_of_model(model).more_ffns
    return [ffn for layer in layers_of(model) for ffn in (*(getattr(layer, further, ()) if further else ()), layer)]


def head_dim_of(model: nn.Module) -> int:
    """How many numbers one head has."""
    config, family = model.config, family_of_model(model)
    width = getattr(config, family.config_bottleneck or family.config_hidden)
    return getattr(config, "head_dim", None) or width // getattr(config, family.config_heads)


def kv_groups_of(model: nn.Module) -> int:
    """Query heads that share one key and value head."""
    layer = next((layer for layer in layers_of(model) if has_attention(model, layer)), None)
    return group_size(model, layer) if layer else 1


def group_size(model: nn.Module, layer: nn.Module) -> int:
    """How many query heads of a layer share a key and value head; 1 without grouped attention."""
    return inputs_of(layer.get_submodule(family_of_model(model).attention_output)) // kv_width_of(model, layer)


def kv_width_of(model: nn.Module, layer: nn.Module) -> int:
    """Outputs of a layer's key projection, and as many of its value projection."""
    family = family_of_model(model)
    rows = outputs_of(layer.get_submodule(family.key))
    if family.key != family.query:
        return rows
    return (rows - inputs_of(layer.get_submodule(family.attention_output))) // 2  # query, key and value in one matrix


def projections_of(model: nn.Module, layer: nn.Module) -> list[tuple[str, slice]]:
    """Where a layer's query, key and value projections are: each one's path, and its rows in the matrix there."""
    family = family_of_model(model)
    width, kv_width = inputs_of(layer.get_submodule(family.attention_output)), kv_width_of(model, layer)
    places, start_of = [], dict.fromkeys((family.query, family.key, family.value), 0)
    for path, height in ((family.query, width), (family.key, kv_width), (family.value, kv_width)):
        places.append((path, slice(start_of[path], start_of[path] + height)))
        start_of[path] += height
    return places


def layer_shapes(model: nn.Module) -> list[LayerShape]:
    """Heads and FFN neurons of each layer with weights of its own, counted in the weights."""
    family, size = family_of_model(model), head_dim_of(model)
    return [
        LayerShape(
            heads=inputs_of(layer.get_submodule(family.attention_output)) // size if has_attention(model, layer) else 0,
            ffn=inputs_of(layer.get_submodule(family.ffn_out)),
        )
        for layer in layers_of(model)
    ]


def count_params(model: nn.Module) -> int:
    """The number of parameters; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def matrix_of(linear: nn.Module) -> torch.Tensor:
    """[outputs, inputs], whichever way round the module keeps it; of a factored one its product, which is no place to write to."""
    if isinstance(linear, LINEARS):
        return whole_matrix(linear)
    return linear.weight.T if isinstance(linear, Conv1D) else linear.weight


def outputs_of(linear: nn.Module) -> int:
    """How many numbers a linear module gives."""
    return linear.factor.rows if isinstance(linear, LINEARS) else matrix_of(linear).shape[0]


def inputs_of(linear: nn.Module) -> int:
    """How many numbers a linear module takes."""
    return linear.factor.columns if isinstance(linear, LINEARS) else matrix_of(linear).shape[1]


def has_attention(model: nn.Module, layer: nn.Module) -> bool:
    """Whether a layer still has its attention: --drop-attention leaves only a bias."""
    family = family_of_model(model)
    return not isinstance(layer.get_submodule(family.attention_output), OutputBias)


def by_ffn(model: nn.Module, by_layer: Sequence[T]) -> list[T]:
    """A value for each of `ffns_of`, from one for each layer."""
    each = len(ffns_of(model)) // max(1, len(layers_of(model)))
    return [value for value in by_layer for _ in range(each)]
