"""Cuts a model physically: rows and columns of its linear layers, whole layers, and the counts that its modules keep."""

from collections.abc import Sequence

import torch
from torch import nn

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
    layer, family = layers_of(model)[0], family_of_model(model)
    return layer.get_submodule(family.query).out_features // layer.get_submodule(family.key).out_features


def layer_shapes(model: nn.Module) -> list[LayerShape]:
    """Heads and FFN neurons of each layer, counted in the weights."""
    family, size = family_of_model(model), head_dim_of(model)
    return [
        LayerShape(
            heads=layer.get_submodule(family.query).out_features // size,
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


def cut_heads(model: nn.Module, keep: Sequence[Sequence[int]]) -> None:
    """Keeps in each layer only the heads listed: rows of query, key and value, columns of the attention's output.

    Query heads that share a key and value head stay or go together. ValueError where a list would tear such a group apart.
    """
    family, size = family_of_model(model), head_dim_of(model)
    for layer, heads in zip(layers_of(model), keep, strict=True):
        query, key = layer.get_submodule(family.query), layer.get_submodule(family.key)
        group = query.out_features // key.out_features
        shared = sorted({head // group for head in heads})
        if len(shared) * group != len(heads):
            raise ValueError(f"heads {list(heads)} do not make up whole groups of {group}")
        dims = _dims(heads, size)
        take_rows(query, dims)
        for path in (family.key, family.value):
            take_rows(layer.get_submodule(path), _dims(shared, size))
        take_columns(layer.get_submodule(family.attention_output), dims)
        for path, kind in family.attention_counts.items():
            owner, _, attribute = path.rpartition(".")
            setattr(layer.get_submodule(owner), attribute, len(heads) if kind == "heads" else len(dims))


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
