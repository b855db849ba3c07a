"""A safetensors file's header: whether the file is whole, and what it holds. No torch."""

import struct
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import HEADER_BYTES, as_object, check_stand_in, parse_json
from edgepack.core.showing import shown

_NUMBERS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
_SCALES = ("_scale", "_scale_inv", ".scale")


def check_safetensors(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of its tensors. Reads the header alone: its last offset is the file's size, unless the file was cut."""
    shapes, kinds = _header(path)
    _check_kinds(path, shapes, kinds)
    return shapes


def kinds_of(path: Path) -> dict[str, Any]:
    """The type of each tensor's numbers, such as F32, of a file that has passed the check."""
    return _header(path)[1]


def _header(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (header_bytes,) = struct.unpack("<Q", file.read(8))
            if header_bytes > min(size, HEADER_BYTES):
                raise ValueError("the header is longer than the file, or than the format allows")
            header = as_object(parse_json(file.read(header_bytes), f"the header of {path.name}"), f"the header of {path.name}")
        ends = [_end(name, entry) for name, entry in header.items() if name != "__metadata__"]
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
        kinds = {name: entry.get("dtype") for name, entry in header.items() if name != "__metadata__"}
        expected = 8 + header_bytes + max(ends, default=0)
    except OSError as error:
        raise EdgepackError(f"{path} cannot be read: {error.strerror}", "check the path and its permissions") from None
    except EdgepackError as error:
        raise EdgepackError(f"{path} is not a safetensors file: {error.problem}", "download or save the model again") from None
    except (struct.error, ValueError, KeyError, TypeError, IndexError) as error:
        with path.open("rb") as file:
            check_stand_in(file.read(200), str(path))
        raise EdgepackError(f"{path} is not a safetensors file: {error}", "download or save the model again") from None
    if expected != size:
        raise EdgepackError(f"{path} is truncated: {size} of {expected} bytes", "download or save the model again")
    return shapes, kinds


def _check_kinds(path: Path, shapes: dict[str, tuple[int, ...]], kinds: dict[str, Any]) -> None:
    """EdgepackError: a matrix is stored in integers, or in 8 bits beside its scale. transformers would read it as it stands."""
    for name, kind in kinds.items():
        scaled = any(f"{name}{ending}" in shapes for ending in _SCALES)
        if name.endswith("weight") and len(shapes[name]) > 1 and (kind not in _NUMBERS or (scaled and kind not in _NUMBERS[:4])):
            raise EdgepackError(
                f"{path.name} stores the weight {shown(name)} as {shown(kind)}: it is quantized, and config.json does not say how",
                "give the model that it was made of, in fp32, fp16 or bf16",
            )


def _end(name: str, entry: Any) -> int:
    """Where a tensor's bytes end, counted from the header's end."""
    begin, end = entry["data_offsets"]
    if not (type(begin) is type(end) is int and 0 <= begin <= end):
        raise ValueError(f"data_offsets of {shown(name)} are {shown(entry['data_offsets'])}")
    return end
