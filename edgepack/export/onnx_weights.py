"""Reads and writes the weights file beside an ONNX graph, one tensor at a time, so that memory never holds a whole model.

Own code, not onnx_ir's external data: two tensors that share their bytes (`seen_as`) become two copies there, so that a tiny decoder's
weights in 8 bits took 340 kB for 308 kB, and 45 of its 55 tensors lay on lines of 64 bytes, here all of them do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

_PAGE_BYTES, _LINE_BYTES = 4096, 64  # large tensors are mapped by themselves, small ones lie aligned
_SMALLEST_OUTSIDE_BYTES = 1024


def load_mapped(path: Path) -> onnx.ModelProto:
    """A graph whose weights stay in the files beside it: their places are absolute, so that copies of it can be read anywhere."""
    model = onnx.load(path, load_external_data=False)
    for tensor in _outside(model):
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = str((path.parent / entry.value).resolve())
    return model


def with_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that holds all of its weights, for what is small enough."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    for tensor in _outside(whole):
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(read_weight(tensor), order="C"), tensor.name))
    return whole


def save_whole(model: onnx.ModelProto, path: Path) -> None:
    """Writes a model that is small enough for one file, with all of its weights."""
    onnx.save(with_weights(model), path)


def open_mapped(model: onnx.ModelProto, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """A session of a graph whose weights outside lie in files of one folder, which the runtime maps. The rest must stay below 2 GB."""
    light = onnx.ModelProto()
    light.CopyFrom(model)
    folders = set()
    for entry in (entry for tensor in _outside(light) for entry in tensor.external_data if entry.key == "location"):
        place = Path(entry.value)
        folders.add(str(place.parent))
        entry.value = place.name
    for folder in folders:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    return onnxruntime.InferenceSession(light.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _outside(model: onnx.ModelProto) -> list[TensorProto]:
    return [tensor for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]


def read_weight(tensor: TensorProto) -> np.ndarray:
    """The tensor's values; those in a file are mapped, not read."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor)
    where = {entry.key: entry.value for entry in tensor.external_data}
    kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return np.memmap(where["location"], kind, "r", int(where.get("offset", 0)), tuple(tensor.dims))


@dataclass
class WeightsFile:
    """The file that a graph's weights go to."""

    file: BinaryIO

    def put(self, name: str, values: np.ndarray) -> TensorProto:
        """A tensor for the graph, its values in the file; a handful of bytes stays in the graph."""
        if values.nbytes < _SMALLEST_OUTSIDE_BYTES:
            return numpy_helper.from_array(np.asarray(values, order="C"), name)
        aligned = _PAGE_BYTES if values.nbytes >= 16 * _PAGE_BYTES else _LINE_BYTES
        self.file.write(b"\0" * (-self.file.tell() % aligned))
        at = self.file.tell()
        np.asarray(values, order="C").tofile(self.file)
        tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(values.dtype), dims=values.shape)
        _place(tensor, {"location": Path(self.file.name).name, "offset": at, "length": values.nbytes})
        return tensor


@contextmanager
def weights_file(path: Path) -> Iterator[WeightsFile]:
    """A file for weights, open for writing within the block."""
    with path.open("wb") as file:
        yield WeightsFile(file)


def seen_as(tensor: TensorProto, name: str, dims: tuple[int, ...]) -> TensorProto:
    """The same bytes under another name and shape: two ops read them, the file holds them once."""
    other = TensorProto()
    other.CopyFrom(tensor)
    other.name, other.dims[:] = name, dims
    return other


def _place(tensor: TensorProto, where: dict[str, str | int]) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.extend(onnx.StringStringEntryProto(key=key, value=str(value)) for key, value in where.items())
