"""Cuts a model physically: rows and columns of its linear layers, whole layers, and the counts that its modules keep."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from edgepack.core.errors import EdgepackError
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.family import Family
from edgepack.plan.shape import LayerShape

T = TypeVar("T")


def family_of_model(model: nn.Module) -> Family:
    return FAMILIES[model.config.model_type]


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The layers that have weights of their own: one, where a family runs the same layer again and again."""
    return model.base_model.get_submodule(family_of_model(model).layers)


def depth_of(model: nn.Module) -> int:
    """How many layers a token passes."""
    return getattr(model.config, family_of_model(model).config_layers)


def ffns_of(model: nn.Module) -> list[nn.Module]:
    """The modules that `ffn_in` and `ffn_out` are paths in, as they run: each layer, and the further FFNs that some layers have."""
    further = family_of_model(model).more_ffns
    return [ffn for layer in layers_of(model) for ffn in (*(getattr(layer, further, ()) if further else ()), layer)]


def head_dim_of(model: nn.Module) -> int:
    config, family = model.config, family_of_model(model)
    width = getattr(config, family.config_bottleneck or family.config_hidden)
    return getattr(config, "head_dim", None) or width // getattr(config, family.config_heads)


def kv_groups_of(model: nn.Module) -> int:
    """Query heads that share one key and value head."""
    layer = next((layer for layer in layers_of(model) if has_attention(model, layer)), None)
    return _group(model, layer) if layer else 1


def _group(model: nn.Module, layer: nn.Module) -> int:
    family = family_of_model(model)
    together = (family.query, family.key, family.value).count(family.key)
    return inputs_of(layer.get_submodule(family.attention_output)) * together // outputs_of(layer.get_submodule(family.key))


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
    return sum(parameter.numel() for parameter in model.parameters())


def matrix_of(linear: nn.Module) -> torch.Tensor:
    """[outputs, inputs], whichever way round the module keeps it."""
    return linear.weight.T if isinstance(linear, Conv1D) else linear.weight


def outputs_of(linear: nn.Module) -> int:
    return matrix_of(linear).shape[0]


def inputs_of(linear: nn.Module) -> int:
    return matrix_of(linear).shape[1]


def take_rows(linear: nn.Module, rows: torch.Tensor) -> None:
    """Keeps these outputs of a linear layer; `rows` [kept] are indices into its outputs."""
    _set_matrix(linear, matrix_of(linear).detach()[rows])
    if linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias.detach()[rows].clone())


def take_columns(linear: nn.Module, columns: torch.Tensor) -> None:
    """Keeps these inputs of a linear layer; `columns` [kept] are indices into its inputs."""
    _set_matrix(linear, matrix_of(linear).detach()[:, columns])


def _set_matrix(linear: nn.Module, matrix: torch.Tensor) -> None:
    outputs, inputs = matrix.shape
    if isinstance(linear, Conv1D):
        linear.weight, linear.nf, linear.nx = nn.Parameter(matrix.T.contiguous().clone()), outputs, inputs
    else:
        linear.weight, linear.out_features, linear.in_features = nn.Parameter(matrix.clone()), outputs, inputs


def _take_parts(owner: nn.Module, parts: Sequence[tuple[str, torch.Tensor]]) -> None:
    """Keeps rows of several paths; the parts of a path that stands several times lie in one matrix, equally high."""
    by_path: dict[str, list[torch.Tensor]] = {}
    for path, rows in parts:
        by_path.setdefault(path, []).append(rows)
    for path, found in by_path.items():
        linear = owner.get_submodule(path)
        height = outputs_of(linear) // len(found)
        take_rows(linear, torch.cat([rows + index * height for index, rows in enumerate(found)]))


def has_attention(model: nn.Module, layer: nn.Module) -> bool:
    family = family_of_model(model)
    return not isinstance(layer.get_submodule(family.attention_output), _OutputBias)


def cut_heads(model: nn.Module, keep: Sequence[Sequence[int]]) -> None:
    """Keeps in each layer only the heads listed: rows of query, key and value, columns of the attention's output.

    A layer left with no head loses its attention. EdgepackError: a list that tears apart query heads that share a key and
    value head.
    """
    family, size = family_of_model(model), head_dim_of(model)
    for index, (layer, heads) in enumerate(zip(layers_of(model), keep, strict=True)):
        if not len(heads):
            drop_attention(model, [index])
            continue
        group = _group(model, layer)
        shared = sorted({head // group for head in heads})
        if len(shared) * group != len(heads):
            raise EdgepackError(
                f"heads {list(heads)} of layer {index} do not make up whole groups: {group} share a key and value head",
                "name all heads of a group, or none",
            )
        dims, shared_dims = _dims(heads, size), _dims(shared, size)
        _take_parts(layer, [(family.query, dims), (family.key, shared_dims), (family.value, shared_dims)])
        take_columns(layer.get_submodule(family.attention_output), dims)
        for path, kind in family.attention_counts.items():
            owner, _, attribute = path.rpartition(".")
            setattr(layer.get_submodule(owner), attribute, len(heads) if kind == "heads" else len(dims))


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
        bias, inside = _OutputBias(output), family.attention_output.startswith(f"{family.attention}.")
        norm = layer.get_submodule(family.attention).get_submodule(family.attention_norm) if family.attention_norm else None
        nothing = _NoAttention(family.attention_output.rpartition(".")[2] if inside else None, bias, family.attention_norm, norm)
        _put(layer, family.attention, nothing)
        if not inside:
            _put(layer, family.attention_output, bias)


class _OutputBias(nn.Module):
    """What an output projection without inputs computes: its bias, or nothing."""

    def __init__(self, projection: nn.Module) -> None:
        super().__init__()
        if projection.bias is None:
            self.register_buffer("zero", torch.zeros(1), persistent=False)
        self.bias = None if projection.bias is None else nn.Parameter(projection.bias.detach().clone())

    def forward(self, nothing: torch.Tensor) -> torch.Tensor:
        return self.zero if self.bias is None else self.bias


class _NoAttention(nn.Module):
    """Stands where an attention module stood, and holds under their names what of that module stays.

    output_name: the output's bias, where it lay inside. norm_name: a norm behind the residual, where that lay inside.
    """

    def __init__(self, output_name: str | None, bias: _OutputBias, norm_name: str, norm: nn.Module | None) -> None:
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


def _dims(heads: Sequence[int], size: int) -> torch.Tensor:
    return torch.cat([torch.arange(head * size, (head + 1) * size) for head in heads])


def cut_ffn(model: nn.Module, keep: Sequence[Sequence[int]]) -> None:
    """Keeps in each FFN only the neurons listed; `keep` goes by `ffns_of`."""
    family = family_of_model(model)
    for owner, neurons in zip(ffns_of(model), keep, strict=True):
        index = torch.as_tensor(list(neurons))
        _take_parts(owner, [(path, index) for path in family.ffn_in])
        take_columns(owner.get_submodule(family.ffn_out), index)


def keep_layers(model: nn.Module, indices: Sequence[int]) -> None:
    """Keeps only these layers, in this order. Where layers share their weights, only their number counts."""
    family = family_of_model(model)
    if family.first_layer_stays and indices[0] != 0:
        raise EdgepackError(f"layers {list(indices)} leave out the first, which a {family.model_type} cannot", "keep layer 0")
    setattr(model.config, family.config_layers, len(indices))
    if family.shared_layers:
        return
    layers = layers_of(model)
    owner, _, attribute = family.layers.rpartition(".")
    parent = model.base_model.get_submodule(owner) if owner else model.base_model
    setattr(parent, attribute, nn.ModuleList([layers[index] for index in indices]))
    for position, index in enumerate(indices):
        for module in layers[index].modules():
            if hasattr(module, "layer_idx"):  # its place in a decoder's cache
                module.layer_idx = position
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[index] for index in indices]


def resize_layers(model: nn.Module, shapes: Sequence[LayerShape]) -> None:
    """Gives a freshly made model the uneven widths of a pruned checkpoint, so that its weights can be loaded."""
    now = layer_shapes(model)
    if any(wanted.heads > own.heads or wanted.ffn > own.ffn for wanted, own in zip(shapes, now, strict=True)):
        raise ValueError("the checkpoint's list has more heads or FFN neurons than its config")
    cut_heads(model, [range(shape.heads) for shape in shapes])
    cut_ffn(model, [range(width) for width in by_ffn(model, [shape.ffn for shape in shapes])])


def by_ffn(model: nn.Module, by_layer: Sequence[T]) -> list[T]:
    """A value for each of `ffns_of`, from one for each layer."""
    each = len(ffns_of(model)) // len(layers_of(model))
    return [value for value in by_layer for _ in range(each)]
