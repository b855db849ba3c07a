"""Computes what is read of the first token for that token alone, as `onnx_one_token` does, in a graph that LiteRT's converter traced.

Shapes are fixed there, and attention is plain products: the axis of tokens is followed through them, back to the products that make
the last layer's queries. What keys and values are made of stays as long as the text.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import fx

_TOKENS = 1  # the axis that a classifier takes the first of
_Uses = list[tuple[fx.Node, int]]  # inputs with the axis of tokens in each


@contextmanager
def one_token() -> Iterator[None]:
    """While the block runs, the converter gets graphs that compute for one token what is read of one token."""
    from litert_torch._convert import core

    traced = core.export_torch_signature
    _RULES[torch.ops.tfl.batch_matmul.default] = _product  # the converter's import registers the op

    def export(*args: Any, **settings: Any) -> torch.export.ExportedProgram:
        program = traced(*args, **settings)
        compute_for_one_token(program.graph_module)
        return program

    core.export_torch_signature = export
    try:
        yield
    finally:
        core.export_torch_signature = traced


def compute_for_one_token(module: fx.GraphModule) -> int:
    """Changes the graph; returns how many nodes are computed for one token that were computed for all."""
    graph = module.graph
    takers = [node for node in graph.nodes if _takes_the_first(node)]
    sources = {node.args[0] for node in takers}
    if len(sources) != 1 or set(next(iter(sources)).users) != set(takers):
        return 0
    reduced = _reduced(graph, next(iter(sources)), takers)
    if not reduced:
        return 0
    sliced: dict[tuple[fx.Node, int], fx.Node] = {}
    for node in [node for node in graph.nodes if node in reduced]:
        for source, axis in _uses(node, reduced[node]) or []:
            if source not in reduced:
                if (source, axis) not in sliced:
                    with graph.inserting_after(source):
                        sliced[source, axis] = graph.call_function(torch.ops.aten.slice.Tensor, (source, axis, 0, 1))
                        sliced[source, axis].meta = dict(source.meta) | {"val": _shape_of(source, axis)}
                node.replace_input_with(source, sliced[source, axis])
        if node.target in _RESHAPES:
            shape = list(_value(node).shape)
            shape[reduced[node]] = 1
            node.args = (node.args[0], shape)
        node.meta["val"] = _shape_of(node, reduced[node])
    graph.lint()
    module.recompile()
    return len(reduced)


def _takes_the_first(node: fx.Node) -> bool:
    """hidden[:, 0]."""
    return node.target is torch.ops.aten.select.int and tuple(node.args[1:]) == (_TOKENS, 0) and _value(node.args[0]).dim() == 3


def _reduced(graph: fx.Graph, source: fx.Node, takers: list[fx.Node]) -> dict[fx.Node, int]:
    """Nodes whose values nothing reads in full, each with its axis of tokens."""
    axes: dict[fx.Node, int] = {source: _TOKENS}
    reduced: dict[fx.Node, int] = {}
    read_by_token: set[tuple[fx.Node, fx.Node]] = {(taker, source) for taker in takers}
    for node in reversed(graph.nodes):
        if node not in axes or any((user, node) not in read_by_token for user in node.users):
            continue
        uses = _uses(node, axes[node])
        if not uses or any(axes.get(read, axis) != axis or read.op != "call_function" for read, axis in uses):
            continue
        reduced[node] = axes[node]
        axes |= dict(uses)
        read_by_token |= {(node, read) for read, _ in uses}
    return reduced


def _value(node: Any) -> torch.Tensor:
    value: torch.Tensor = node.meta["val"]
    return value


def _shape_of(node: fx.Node, axis: int) -> torch.Tensor:
    """What the node makes, for one token."""
    return _value(node).narrow(axis, 0, 1)


def _uses(node: fx.Node, axis: int) -> _Uses | None:
    """The inputs that have an axis of tokens, where the node's `axis` is that; None where the node mixes tokens, or is not known."""
    rule = _RULES.get(node.target)
    return rule(node, axis) if rule and isinstance(node.meta.get("val"), torch.Tensor) else None


def _by_element(node: fx.Node, axis: int) -> _Uses | None:
    """Shapes are aligned at their ends; an input with one value along the axis is the same for every token."""
    output, uses = _value(node), []
    for read in node.all_input_nodes:
        at = axis - (output.dim() - _value(read).dim())
        if at >= 0 and _value(read).shape[at] != 1:
            uses.append((read, at))
    return uses


def _norm(node: fx.Node, axis: int) -> _Uses | None:
    return [(node.args[0], axis)] if axis < _value(node).dim() - len(node.args[1]) else None


def _along(node: fx.Node, axis: int) -> _Uses | None:
    """Softmax and slices work along an axis of their own."""
    input_node, *settings = node.args
    along = (settings or [0])[0] % _value(node).dim()
    return [(input_node, axis)] if along != axis else None


def _transpose(node: fx.Node, axis: int) -> _Uses | None:
    input_node, *swapped = node.args
    first, second = (each % _value(node).dim() for each in swapped)
    return [(input_node, {first: second, second: first}.get(axis, axis))]


def _reshape(node: fx.Node, axis: int) -> _Uses | None:
    """The axis that has as many values before it and in it."""
    shape, before = list(_value(node).shape), list(_value(node.args[0]).shape)
    same = [at for at, size in enumerate(before) if size == shape[axis] and prod(before[:at]) == prod(shape[:axis])]
    return [(node.args[0], same[0])] if len(same) == 1 else None


def _product(node: fx.Node, axis: int) -> _Uses | None:
    """left @ right: tokens are rows of the left side."""
    if axis != _value(node).dim() - 2 or node.kwargs.get("adj_x") or node.args[0] is node.args[1]:
        return None
    return [(node.args[0], _value(node.args[0]).dim() - 2)]


_aten = torch.ops.aten
_RESHAPES = (_aten.view.default, _aten.reshape.default)
_RULES: dict[Any, Callable[[fx.Node, int], _Uses | None]] = {
    **dict.fromkeys(
        [
            *(_aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor, _aten.div.Tensor, _aten.gelu.default, _aten.relu.default),
            *(_aten.silu.default, _aten.sigmoid.default, _aten.tanh.default, _aten.dropout.default, _aten.contiguous.default),
            *(_aten.clone.default, _aten.mul.Scalar, _aten.add.Scalar, _aten.div.Scalar),
        ],
        _by_element,
    ),
    _aten.layer_norm.default: _norm,
    _aten.softmax.int: _along,
    _aten.slice.Tensor: _along,
    _aten.transpose.int: _transpose,
    **dict.fromkeys(_RESHAPES, _reshape),
}
