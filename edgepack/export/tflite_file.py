"""Rewrites a TFLite file so that its signatures share what they have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

_IDENTIFIER, _MORE_BYTES, _MOST_BYTES = b"TFL3", 2**20, 2**31 - 1  # of a TFLite file; what an edit adds; what offsets reach


def edit_model(file: Path, edit: Callable[[Any], None] = lambda model: None) -> None:
    """Reads the whole model, lets `edit` change it and writes it back, whichever way its weights were stored.

    In memory stands the file once more. ai_edge_litert's own writer doubles its buffer as it goes and holds three copies.
    """
    model = read_model(file)
    edit(model)
    _share_scales(model)
    builder = flatbuffers.Builder(min(file.stat().st_size + _MORE_BYTES, _MOST_BYTES))
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    with file.open("wb") as stream:
        stream.write(memoryview(builder.Bytes)[builder.Head() :])


def read_model(file: Path) -> Any:
    """The file as objects of LiteRT's schema; its weights stay where they are until they are read."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(file))
    for buffer in model.buffers:
        if buffer.data is not None:  # what is not an array is written byte by byte in Python: minutes for BERT-base
            buffer.data = np.frombuffer(buffer.data, np.uint8)
    return model


def _share_scales(model: Any) -> None:
    """A weight's scales, one for each channel, stand in every signature that reads it: a twentieth of an int8 file with four."""
    shared: dict[tuple[bytes, bytes, int], _Once] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            quantization = tensor.quantization
            if quantization is None or quantization.scale is None or len(quantization.scale) < 2 or quantization.detailsType:
                continue
            scales = np.asarray(quantization.scale, np.float32).tobytes()
            zeros = b"" if quantization.zeroPoint is None else np.asarray(quantization.zeroPoint, np.int64).tobytes()
            tensor.quantization = shared.setdefault((scales, zeros, quantization.quantizedDimension), _Once(quantization))


class _Once:
    """Writes a part of a file the first time, and refers to it from then on."""

    def __init__(self, part: Any) -> None:
        self.part, self.offset = part, None

    def Pack(self, builder: Any) -> int:
        if self.offset is None:
            self.offset = self.part.Pack(builder)
        return self.offset
