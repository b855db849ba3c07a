"""What torch 2.13 works out anew for each export, though it stays the same, is kept: a tenth of the export of a small model."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_onnx_functions: dict[int, Any] = {}  # of each opset: torch's table from its ops to ONNX, which an export reads and does not change


@contextmanager
def lookups_kept() -> Iterator[None]:
    """While the block runs, torch lists its composite ops once, not once for each library of ops, and reads its ONNX functions once a
    process."""
    from torch._export import utils
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    list_ops, read_functions = utils._materialize_cpp_cia_ops, vars(ONNXRegistry)["from_torchlib"]

    def functions_of(opset_version: int) -> Any:
        if opset_version not in _onnx_functions:
            _onnx_functions[opset_version] = read_functions.__get__(None, ONNXRegistry)(opset_version)
        return _onnx_functions[opset_version]

    utils._materialize_cpp_cia_ops, ONNXRegistry.from_torchlib = functools.cache(list_ops), staticmethod(functions_of)
    try:
        yield
    finally:
        utils._materialize_cpp_cia_ops, ONNXRegistry.from_torchlib = list_ops, read_functions
