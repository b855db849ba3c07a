"""Removes rows and columns of a model's linear layers, and whole layers, and corrects the counts that its modules keep."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from edgepack.core.errors import EdgepackError
from edgepack.model.dropped_attention import drop_attention
from edgepack.model.structure import (
    by_ffn,
    family_of_model,
    ffns_of,
    group_size,
    head_dim_of,
    inputs_of,
    kv_width_of,
    layer_shapes,
    layers_of,
    matrix_of,
    note_sources,
    sources_of,
)
from edgepack.plan.shape import LayerShape


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


def _take_parts(owner: nn.Module, parts: Sequence[tuple[str, torch.Tensor, int]]) -> None:
    """Keeps rows of several paths, each with its height; parts with the same path lie in one matrix, one below the other."""
    rows_of: dict[str, list[torch.Tensor]] = {}
    height_of: dict[str, int] = {}
    for path, rows, height in parts:
        start = height_of.get(path, 0)
        rows_of.setdefault(path, []).append(rows + start)
        height_of[path] = start + height
    for path, rows in rows_of.items():
        take_rows(owner.get_submodule(path), torch.cat(rows))


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
        group = group_size(model, layer)
        shared = sorted({head // group for head in heads})
        if len(shared) * group != len(heads):
            raise EdgepackError(
                f"heads {list(heads)} of layer {index} do not make up whole groups: {group} share a key and value head",
                "name all heads of a group, or none",
            )
        dims, shared_dims = _dims(heads, size), _dims(shared, size)
        width, kv_width = inputs_of(layer.get_submodule(family.attention_output)), kv_width_of(model, layer)
        _take_parts(layer, [(family.query, dims, width), (family.key, shared_dims, kv_width), (family.value, shared_dims, kv_width)])
        take_columns(layer.get_submodule(family.attention_output), dims)
        _count_again(model, layer, {"heads": len(heads), "kv_heads": len(shared), "width": len(dims)})
        if family.head_bias and len(heads) * size != width:
            _keep_bias_of(layer.get_submodule(family.attention), heads, width // size)


def _count_again(model: nn.Module, layer: nn.Module, counts: dict[str, int]) -> None:
    """Tells a layer's modules how many heads they have now."""
    family = family_of_model(model)
    for path, kind in family.attention_counts.items():
        owner, _, attribute = path.rpartition(".")
        setattr(layer.get_submodule(owner), attribute, counts[kind])
    if family.heads_from_config:
        attention = layer.get_submodule(family.attention)
        attention.config = _LayerConfig(model.config, {family.config_heads: counts["heads"]})


class _LayerConfig:
    """The model's config as one layer sees it: with its own number of heads."""

    def __init__(self, config: Any, settings: dict[str, int]) -> None:
        self.__dict__.update(settings, _model_config=config)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_model"):  # asked for while a copy is made, before it is filled
            raise AttributeError(name)
        return getattr(self._model_config, name)


def _keep_bias_of(attention: nn.Module, heads: Sequence[int], before: int) -> None:
    """From now on `attention` adds to its scores the shared table's columns of these heads alone."""
    first = not hasattr(attention, "kept_heads")
    current = torch.arange(before) if first else attention.kept_heads
    attention.register_buffer("kept_heads", current[list(heads)])  # stored with the weights, as the table has the columns of all
    if first:
        attention.register_forward_pre_hook(_with_own_bias, with_kwargs=True)


def _with_own_bias(attention: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """MPNet's attention takes (hidden states, mask, position bias [rows, heads, tokens, tokens])."""
    hidden, mask, bias = inputs
    return (hidden, mask, bias.index_select(1, attention.kept_heads)), named


def _dims(heads: Sequence[int], size: int) -> torch.Tensor:
    return torch.cat([torch.arange(head * size, (head + 1) * size) for head in heads])


def cut_ffn(model: nn.Module, keep: Sequence[Sequence[int]]) -> None:
    """Keeps in each FFN only the neurons listed; `keep` goes by `ffns_of`."""
    family = family_of_model(model)
    for owner, neurons in zip(ffns_of(model), keep, strict=True):
        index = torch.as_tensor(list(neurons))
        _take_parts(owner, [(path, index, inputs_of(owner.get_submodule(family.ffn_out))) for path in family.ffn_in])
        take_columns(owner.get_submodule(family.ffn_out), index)


def keep_layers(model: nn.Module, indices: Sequence[int]) -> None:
    """Keeps only these layers, in this order. Where layers share their weights, only their number counts."""
    family = family_of_model(model)
    if family.first_layer_stays and indices[0] != 0:
        raise EdgepackError(f"layers {list(indices)} leave out the first layer, which a {family.model_type} needs", "keep layer 0")
    sources = sources_of(model)
    note_sources(model, [sources[index] for index in indices])
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
    for name in family.config_by_layer:
        if getattr(model.config, name, None):
            setattr(model.config, name, [getattr(model.config, name)[index] for index in indices])


def resize_layers(model: nn.Module, shapes: Sequence[LayerShape]) -> None:
    """Gives a freshly made model the uneven widths of a pruned checkpoint, so that its weights can be loaded."""
    now = layer_shapes(model)
    if any(wanted.heads > present.heads or wanted.ffn > present.ffn for wanted, present in zip(shapes, now, strict=True)):
        raise ValueError("the checkpoint's list has more heads or FFN neurons than its config")
    cut_heads(model, [range(shape.heads) for shape in shapes])
    cut_ffn(model, [range(width) for width in by_ffn(model, [shape.ffn for shape in shapes])])
