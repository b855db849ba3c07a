"""The files that a model file names: with its weights, or with parts that were compiled for one machine. A runtime opens them by itself.

It walks through the bytes and reads no weight: the libraries of the formats take half a second to import, and `load` has no need of them.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.plan.runtime import Format

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # wire types of a protobuf
_WIDTHS = {_EIGHT: 8, _FOUR: 4}
_LONGEST_NAME = 4096
# onnx.proto: of each message the fields that lead to a tensor's external_data, and the message that lies there.
_LEADING = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: "key", 2: "value"},
}
_OP_TYPE, _ATTRIBUTE = 4, 5  # of a node
_NAME, _INTEGER, _TEXT = 1, 3, 4  # of an attribute
_COMPILED = b"EPContext"  # onnxruntime's node for a part that was compiled for one machine
_CONTENT, _IS_INSIDE = b"ep_cache_context", b"embed_mode"  # its attributes: the part, or the name of its file where the second is 0
_MODEL_NAME = b"onnx_model_filename"  # and the file of the whole model, for TensorRT
_GROUPS = 4 + 2 * 8  # where a vtable of LiteRT's Model names external_buffer_groups, its ninth field


def names_outside(path: Path, file_format: Format) -> frozenset[str]:
    """Names as the file states them, which may be paths. EdgepackError: a file that is not of its format."""
    reader = {"onnx": _of_onnx, "tflite": _of_tflite}[file_format]
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return frozenset(reader(data))
    except (ValueError, IndexError, struct.error) as error:
        raise EdgepackError(f"{path} is no model of its format: {error}", "build or copy the pack again") from None


def _of_onnx(data: mmap.mmap) -> Iterator[str]:
    waiting = [("model", 0, len(data))]
    while waiting:
        kind, at, end = waiting.pop()
        entry, is_compiled = {}, False
        for number, wire, start, stop in _fields(data, at, end):
            if wire != _BYTES:
                continue
            inner = _LEADING[kind].get(number)
            is_compiled |= kind == "node" and number == _OP_TYPE and data[start : min(stop, start + _LONGEST_NAME)] == _COMPILED
            if kind == "entry" and inner:
                entry[inner] = data[start : min(stop, start + _LONGEST_NAME)].decode("utf-8", "replace")
            elif inner:
                waiting.append((inner, start, stop))
        if kind == "entry" and entry.get("key") == "location":
            yield entry.get("value", "")
        if is_compiled:
            yield from _of_compiled(data, at, end)


def _of_compiled(data: mmap.mmap, at: int, end: int) -> Iterator[str]:
    """Names in a node that holds a compiled part. Of what stands there twice each counts, as readers differ in which they take."""
    texts: dict[bytes, list[bytes]] = {}
    is_outside = False
    for number, wire, start, stop in _fields(data, at, end):
        if number == _ATTRIBUTE and wire == _BYTES:
            name, texts_there, integers = _attribute(data, start, stop)
            texts.setdefault(name, []).extend(texts_there)
            is_outside |= name == _IS_INSIDE and 0 in (integers or [0])
    names = texts.get(_MODEL_NAME, []) + (texts.get(_CONTENT, []) if is_outside else [])
    yield from (name.decode("utf-8", "replace") for name in names)


def _attribute(data: mmap.mmap, at: int, end: int) -> tuple[bytes, list[bytes], list[int]]:
    """Its name, its texts and its integers."""
    name = b""
    texts: list[bytes] = []
    integers: list[int] = []
    for number, wire, start, stop in _fields(data, at, end):
        if wire == _BYTES and number in (_NAME, _TEXT):
            text = data[start : min(stop, start + _LONGEST_NAME)]
            name, texts = (text, texts) if number == _NAME else (name, [*texts, text])
        elif wire == _VARINT and number == _INTEGER:
            integers.append(_varint(data, start, stop)[0])
    return name, texts, integers


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, kind on the wire, start and end of each field's value. ValueError: the bytes are no message."""
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == _BYTES:
            count, at = _varint(data, at, end)
            stop = at + count
        elif wire == _VARINT:
            stop = _varint(data, at, end)[1]
        elif wire in _WIDTHS:
            stop = at + _WIDTHS[wire]
        else:
            raise ValueError(f"no field begins at byte {at}")
        if stop > end:
            raise ValueError(f"a field at byte {at} is longer than what holds it")
        yield number, wire, at, stop
        at = stop


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("it is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number at byte {at} is too long")


def _of_tflite(data: mmap.mmap) -> Iterator[str]:
    """Names of groups of external buffers."""

    def number(kind: str, at: int) -> int:
        if at < 0:
            raise ValueError("an offset leads out of it")
        return int(struct.unpack_from(f"<{kind}", data, at)[0])

    if data[4:8] != b"TFL3":  # no runtime opens it
        return
    root = number("I", 0)
    table = root - number("i", root)
    place = number("H", table + _GROUPS) if number("H", table) > _GROUPS else 0
    if not place:
        return
    vector = root + place + number("I", root + place)
    for index in range(min(number("I", vector), 1000)):
        group = vector + 4 + 4 * index
        group += number("I", group)
        inside = group - number("i", group)
        name = number("H", inside + 4) if number("H", inside) > 4 else 0
        text = group + name + number("I", group + name) if name else 0
        yield data[text + 4 : text + 4 + min(number("I", text), _LONGEST_NAME)].decode("utf-8", "replace") if name else ""
