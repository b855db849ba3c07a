"""Writes standard TFLite metadata: what the model is, its inputs and outputs, and labels and vocabulary as associated files.

The layout is that of TensorFlow's metadata_schema.fbs (identifier M001). It lies in a buffer of the model; the associated
files are a zip archive behind it, which every zip tool opens and no runtime minds.
"""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
from flatbuffers import number_types
from flatbuffers.table import Table

from edgepack.export.tflite_file import edit_model

_NAME, _IDENTIFIER, _PARSER = b"TFLITE_METADATA", b"M001", "1.0.0"
_AXIS_LABELS, _VOCABULARY = 2, 5  # AssociatedFileType: a label for each place on the last axis; the tokens by their ids
_FEATURES = 1  # ContentProperties: plain numbers
LABELS_FILE, VOCABULARY_FILE = "labels.txt", "vocab.txt"
_INPUTS = {
    "input_ids": "ids of the text's tokens, filled up with the id of padding",
    "attention_mask": "1 for a token, 0 for padding",
    "token_type_ids": "0 for the first text of a pair, 1 for the second",
}


@dataclass(frozen=True)
class Facts:
    """What the metadata says. labels and pieces: in the order of their ids; an empty one is left out."""

    name: str
    description: str
    version: str
    licence: str | None
    labels: Sequence[str]
    pieces: Sequence[str]
    outputs: Mapping[str, str]  # descriptions by name


def write_metadata(file: Path, facts: Facts) -> None:
    """Adds the metadata and its files to a finished model, in place."""
    edit_model(file, lambda model: _add(model, facts))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        for name, lines in ((LABELS_FILE, facts.labels), (VOCABULARY_FILE, facts.pieces)):
            if lines:
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the same model gives the same bytes
                archive.writestr(entry, "".join(f"{line}\n" for line in lines))


def _add(model: Any, facts: Facts) -> None:
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = list(_packed(model, facts))
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = _NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def _packed(model: Any, facts: Facts) -> bytes:
    builder = flatbuffers.Builder(1024)
    labels = [_file(builder, LABELS_FILE, "labels of the last axis", _AXIS_LABELS)] if facts.labels else []
    vocabulary = [_file(builder, VOCABULARY_FILE, "tokens in the order of their ids", _VOCABULARY)] if facts.pieces else []
    graphs = []
    for signature in model.signatureDefs:
        graph = model.subgraphs[signature.subgraphIndex]
        names = {tensor.tensorIndex: tensor.name.decode() for tensor in (*signature.inputs, *signature.outputs)}
        inputs = [
            _tensor(builder, names[index], _INPUTS.get(names[index], ""), vocabulary if names[index] == "input_ids" else [])
            for index in graph.inputs
        ]
        outputs = [_tensor(builder, names[index], facts.outputs.get(names[index], ""), labels) for index in graph.outputs]
        name = builder.CreateString(signature.signatureKey.decode())
        graphs.append(_table(builder, 10, {0: name, 2: _vector(builder, inputs), 3: _vector(builder, outputs)}))
    texts = {0: facts.name, 1: facts.description, 2: facts.version, 4: "edgepack", 5: facts.licence or "", 7: _PARSER}
    fields = {slot: builder.CreateString(text) for slot, text in texts.items() if text}
    builder.Finish(_table(builder, 8, fields | {3: _vector(builder, graphs)}), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _file(builder: flatbuffers.Builder, name: str, description: str, kind: int) -> int:
    return _table(builder, 5, {0: builder.CreateString(name), 1: builder.CreateString(description)}, {2: kind})


def _tensor(builder: flatbuffers.Builder, name: str, description: str, files: Sequence[int]) -> int:
    content = _table(builder, 3, {1: _table(builder, 0, {})}, {0: _FEATURES})
    fields = {0: builder.CreateString(name), 1: builder.CreateString(description), 3: content}
    return _table(builder, 7, fields | ({6: _vector(builder, files)} if files else {}))


def _table(builder: flatbuffers.Builder, slots: int, offsets: Mapping[int, int], small: Mapping[int, int] | None = None) -> int:
    builder.StartObject(slots)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, value in (small or {}).items():
        builder.PrependByteSlot(slot, value, 0)
    return builder.EndObject()


def _vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def read_metadata(file: Path) -> dict[str, Any]:
    """What `write_metadata` wrote, read from the file's bytes; {} where it has none."""
    from ai_edge_litert import schema_py_generated as schema

    data = file.read_bytes()
    model = schema.Model.GetRootAsModel(data, 0)
    entries = {model.Metadata(index).Name(): model.Metadata(index).Buffer() for index in range(model.MetadataLength())}
    if _NAME not in entries:
        return {}
    packed = model.Buffers(entries[_NAME]).DataAsNumpy().tobytes()
    root = Table(packed, flatbuffers.encode.Get(number_types.UOffsetTFlags.packer_type, packed, 0))
    stated: dict[str, Any] = {name: _text(root, slot) for name, slot in {"name": 0, "description": 1, "version": 2, "licence": 5}.items()}
    stated["graphs"] = [
        {
            "name": _text(graph, 0),
            "inputs": {_text(tensor, 0): _text(tensor, 1) for tensor in _tables(graph, 2)},
            "outputs": {_text(tensor, 0): _text(tensor, 1) for tensor in _tables(graph, 3)},
            "files": sorted({_text(entry, 0) for slot in (2, 3) for tensor in _tables(graph, slot) for entry in _tables(tensor, 6)}),
        }
        for graph in _tables(root, 3)
    ]
    with zipfile.ZipFile(file) as archive:
        stated["files"] = {name: archive.read(name).decode().splitlines() for name in archive.namelist()}
    return stated


def _text(table: Table, slot: int) -> str:
    offset = table.Offset(4 + 2 * slot)
    return table.String(offset + table.Pos).decode() if offset else ""


def _tables(table: Table, slot: int) -> list[Table]:
    offset = table.Offset(4 + 2 * slot)
    if not offset:
        return []
    start = table.Vector(offset)
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(table.VectorLen(offset))]
