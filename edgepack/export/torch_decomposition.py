"""Decomposes ops that ONNX has no function for where they stand. torch 2.13 traces the whole model again for them: half of an export.

What a model's graph has of such ops are conversions of types and a logical and. Where it has anything else, torch traces it again, as
it would without this file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

_aten = torch.ops.aten
_CONVERSIONS = frozenset({_aten.to.dtype, _aten.to.device, _aten.to.dtype_layout})
_DETACH = _aten.detach_.default  # of a constant that the model makes as it runs: nothing learns here
_AND = _aten.__and__.Tensor
_RETRACED = frozenset({_aten.flatten.using_ints, _aten.unflatten.int})  # ONNX's functions compute shapes anew at each run
_CHECKS = frozenset({_aten._assert_scalar.default, _aten._assert_tensor_metadata.default})  # torch removes them afterwards


@contextmanager
def decomposed_in_place() -> Iterator[None]:
    """While the block runs, torch.onnx.export decomposes in this way."""
    from torch.onnx._internal.exporter import _decomp, _fx_passes

    trace_again = _fx_passes.decompose_with_registry

    def decompose(program: ExportedProgram, registry: Any) -> ExportedProgram:
        implemented = {*_decomp.get_onnx_implemented_overloads(registry), *_CHECKS} - _RETRACED
        others = [node for node in program.graph.nodes if node.op == "call_function" and node.target not in implemented]
        if not all(map(_has_twin, others)):
            return trace_again(program, registry)
        for node in others:
            _replace(program.graph, node)
        return program

    _fx_passes.decompose_with_registry = decompose
    try:
        yield
    finally:
        _fx_passes.decompose_with_registry = trace_again


def _has_twin(node: fx.Node) -> bool:
    """Whether another node says the same. Outputs of a program are known by the names of their nodes, so they stay."""
    if any(user.op == "output" for user in node.users) or not node.args or not isinstance(node.args[0], fx.Node):
        return False
    return node.target in _CONVERSIONS or node.target in (_DETACH, _AND)


def _replace(graph: fx.Graph, node: fx.Node) -> None:
    source, after = node.args[0], node.meta["val"].dtype
    with graph.inserting_before(node):
        if node.target is _DETACH or (node.target in _CONVERSIONS and source.meta["val"].dtype == after):
            node.replace_all_uses_with(source)
        else:
            if node.target is _AND:
                twin = graph.call_function(_aten.bitwise_and.Tensor, node.args)
            else:
                twin = graph.call_function(_aten._to_copy.default, (source,), {"dtype": after})
            twin.meta = dict(node.meta)
            node.replace_all_uses_with(twin)
    graph.erase_node(node)
