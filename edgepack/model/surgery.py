"""Cuts a model physically: rows and columns of its linear layers, whole layers, and the counts that its modules keep."""

from collections.abc import Sequence

import torch
from torch import nn

from edgepack.errors import EdgepackError
from edgepack.families import FAMILIES, Family
from edgepack.shape import LayerShape


def family_of_model(model: nn.Module) -> Family:
    return FAMILIES[model.config.model_type]


def layers_of(model: nn.Module) -> nn.ModuleList:
    return model.base_model.get_submodule(family_of_model(model).layers)


def head_dim_of(model: nn.Module) -> int:
    config, family = model.config, family_of_model(model)
    stated = getattr(config, "head_dim", None)
    return stated or getattr(config, family.config_hidden) // getattr(config, family.config_heads)


def kv_groups_of(model: nn.Module) -> int:
    """Query heads that share one key and value head."""
    family = family_of_model(model)
    layer = next((layer for layer in layers_of(model) if has_attention(model, layer)), None)
    return layer.get_submodule(family.query).out_features // layer.get_submodule(family.key).out_features if layer else 1


def layer_shapes(model: nn.Module) -> list[LayerShape]:
    """Heads and FFN neurons of each layer, counted in the weights."""
    family, size = family_of_model(model), head_dim_of(model)
    return [
        LayerShape(
            heads=layer.get_submodule(family.query).out_features // size if has_attention(model, layer) else 0,
            ffn=layer.get_submodule(family.ffn_out).in_features,
        )
        for layer in layers_of(model)
    ]


def count_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def take_rows(linear: nn.Linear, rows: torch.Tensor) -> None:
    """Keeps these outputs of a linear layer; `rows` [kept] are indices into its outputs."""
    linear.weight = nn.Parameter(linear.weight.detach()[rows].clone())
    if linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias.detach()[rows].clone())
    linear.out_features = len(rows)


def take_columns(linear: nn.Linear, columns: torch.Tensor) -> None:
    """Keeps these inputs of a linear layer; `columns` [kept] are indices into its inputs."""
    linear.weight = nn.Parameter(linear.weight.detach()[:, columns].clone())
    linear.in_features = len(columns)


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
        query, key = layer.get_submodule(family.query), layer.get_submodule(family.key)
        group = query.out_features // key.out_features
        shared = sorted({head // group for head in heads})
        if len(shared) * group != len(heads):
            raise EdgepackError(
                f"heads {list(heads)} of layer {index} do not make up whole groups: {group} share a key and value head",
                "name all heads of a group, or none",
            )
        dims = _dims(heads, size)
        take_rows(query, dims)
        for path in (family.key, family.value):
            take_rows(layer.get_submodule(path), _dims(shared, size))
        take_columns(layer.get_submodule(family.attention_output), dims)
        for path, kind in family.attention_counts.items():
            owner, _, attribute = path.rpartition(".")
            setattr(layer.get_submodule(owner), attribute, len(heads) if kind == "heads" else len(dims))


def drop_attention(model: nn.Module, layers: Sequence[int]) -> None:
    """Takes the attention sublayer out of these layers. What stays is the bias of its output, the residual and the norm."""
    family = family_of_model(model)
    for index in layers:
        layer = layers_of(model)[index]
        if not has_attention(model, layer):
            continue
        output = layer.get_submodule(family.attention_output)
        bias, inside = _OutputBias(output), family.attention_output.startswith(f"{family.attention}.")
        nothing = _NoAttention(family.attention_output.rpartition(".")[2] if inside else None, bias)
        _put(layer, family.attention, nothing)
        if not inside:
            _put(layer, family.attention_output, bias)


class _OutputBias(nn.Module):
    """What an output projection without inputs computes: its bias, or nothing."""

    def __init__(self, projection: nn.Linear) -> None:
        super().__init__()
        if projection.bias is None:
            self.register_buffer("zero", torch.zeros(1), persistent=False)
        self.bias = None if projection.bias is None else nn.Parameter(projection.bias.detach().clone())

    def forward(self, nothing: torch.Tensor) -> torch.Tensor:
        return self.zero if self.bias is None else self.bias


class _NoAttention(nn.Module):
    """Stands where an attention module stood. With a name it holds the output's bias under it, as that module did."""

    def __init__(self, name: str | None, bias: _OutputBias) -> None:
        super().__init__()
        self.output_name = name
        if name:
            self.add_module(name, bias)

    def forward(self, hidden_states: torch.Tensor, *_: object, **__: object) -> tuple[torch.Tensor, None]:
        nothing = hidden_states[..., :0]
        return (self.get_submodule(self.output_name)(nothing) if self.output_name else nothing), None


def _put(layer: nn.Module, path: str, module: nn.Module) -> None:
    owner, _, name = path.rpartition(".")
    setattr(layer.get_submodule(owner) if owner else layer, name, module)


def _dims(heads: Sequence[int], size: int) -> torch.Tensor:
    return torch.cat([torch.arange(head * size, (head + 1) * size) for head in heads])


def cut_ffn(model: nn.Module, keep: Sequence[Sequence[int]]) -> None:
    """Keeps in each layer only the FFN neurons listed."""
    family = family_of_model(model)
    for layer, neurons in zip(layers_of(model), keep, strict=True):
        index = torch.as_tensor(list(neurons))
        for path in family.ffn_in:
            take_rows(layer.get_submodule(path), index)
        take_columns(layer.get_submodule(family.ffn_out), index)


def keep_layers(model: nn.Module, indices: Sequence[int]) -> None:
    """Keeps only these layers, in this order."""
    family = family_of_model(model)
    layers = layers_of(model)
    owner, _, attribute = family.layers.rpartition(".")
    parent = model.base_model.get_submodule(owner) if owner else model.base_model
    setattr(parent, attribute, nn.ModuleList([layers[index] for index in indices]))
    for position, index in enumerate(indices):
        for module in layers[index].modules():
            if hasattr(module, "layer_idx"):  # its place in a decoder's cache
                module.layer_idx = position
    setattr(model.config, family.config_layers, len(indices))
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[index] for index in indices]


def resize_layers(model: nn.Module, shapes: Sequence[LayerShape]) -> None:
    """Gives a freshly made model the uneven widths of a pruned checkpoint, so that its weights can be loaded."""
    now = layer_shapes(model)
    if any(wanted.heads > own.heads or wanted.ffn > own.ffn for wanted, own in zip(shapes, now, strict=True)):
        raise ValueError("the checkpoint's list has more heads or FFN neurons than its config")
    cut_heads(model, [range(shape.heads) for shape in shapes])
    cut_ffn(model, [range(shape.ffn) for shape in shapes])
