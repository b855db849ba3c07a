"""Vectors in 8 bits or 1 bit a dimension: their codes, an index of them, and its nearest texts. The same as Search.java and search.js.

A code is what sentence-transformers' quantize_embeddings makes, with the pack's own ranges, or of the vector less the pack's thresholds.
All platforms give the same codes and the same places: sums are of whole numbers, which have no order.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import BadInput

RESCORED = 4  # candidates by Hamming distance for each text that is wanted
_MAGIC, _VERSION, _HEAD = b"EPINDEX\n", 1, "<8sHHIII16s"
_KINDS = {"int8": 1, "binary": 2}
_WEIGHT_SCALE = 2.0**30  # of the largest weight: sums stay below 2**53, where a double is exact
_AT_ONCE = 4096  # vectors
_BITS_SET = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


@dataclass(frozen=True)
class Hit:
    """place: of a text, in the order in which they were added. score: about the vectors' cosine or dot product, as the model compares."""

    place: int
    score: float


class Coder:
    """What a pack states of its vectors' codes. stated: `answers` of the manifest."""

    def __init__(self, stated) -> None:
        codes = stated["codes"]
        self.kind, self.id = codes["kind"], codes["id"]
        self.low, self.high = (np.asarray(codes[name], np.float32) for name in ("low", "high"))
        self.width = len(self.low)
        self.is_unit = stated["similarity"] == "cosine"
        self.thresholds = np.asarray(codes["thresholds"] or (), np.float32)
        steps = (self.high - self.low) / np.float32(255)
        self.steps = np.where(steps == 0, np.float32(1), steps)
        self.bytes = self.width if self.kind == "int8" else -(-self.width // 8)

    def codes(self, vectors) -> np.ndarray:
        """int8 [n, width], or uint8 [n, width / 8] with the first dimension in the highest bit. vectors: float32 [n, width]."""
        vectors = self.compared(vectors)
        if self.kind == "binary":
            return np.packbits(vectors > self.thresholds, axis=-1)
        return (np.clip(np.floor((vectors - self.low) / self.steps), 0, 255) - 128).astype(np.int8)

    def compared(self, vectors) -> np.ndarray:
        """The vectors as they are compared: 1 long where that is by cosine."""
        return unit(vectors) if self.is_unit else np.asarray(vectors, np.float32)

    def scores(self, query, levels) -> np.ndarray:
        """float64 [n]: about the cosine or dot product of the query, float32 [width], with what codes stand for.

        levels: float64 [n, width]. Codes of a bit are compared by cosine as vectors that are 1 long again.
        """
        query, low = self.compared(query).astype(np.float64), self.low.astype(np.float64)
        if self.kind == "int8":
            steps = self.steps.astype(np.float64)
            return _sums(levels, query * steps, query * (low + 128.5 * steps))
        high = self.high.astype(np.float64)
        sums = _sums(levels, query * (high - low), query * low)
        if not self.is_unit:
            return sums
        squares = _sums(levels, high * high - low * low, low * low)
        return sums / np.sqrt(np.where(squares > 0, squares, 1.0))


def _sums(levels, parts, added) -> np.ndarray:
    """levels [n, width] times parts, and the sum of what is added. The parts become whole numbers, whose sums have no order."""
    most = float(np.abs(parts).max())
    whole = np.floor(parts * (_WEIGHT_SCALE / most) + 0.5) if most else parts
    return (levels @ whole) * (most / _WEIGHT_SCALE) + np.cumsum(added)[-1]


class Index:
    """Codes of texts: index = model.index(); index.add(model(text)); index.search(model("what?")). Threads may search while nobody adds."""

    def __init__(self, model) -> None:
        self._coder = coder_of(model.manifest)
        if self._coder is None:
            raise BadInput("the model's vectors have no codes", "build it with --vectors binary, or int8")
        self._codes = np.zeros((0, self._coder.bytes), np.int8 if self._coder.kind == "int8" else np.uint8)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def codes(self) -> np.ndarray:
        """[texts, bytes] in order."""
        return self._codes[: self._count]

    def add(self, vectors) -> int:
        """The place of the first. vectors: a Vector, or float32 [width] or [n, width]."""
        codes = self._coder.codes(self._checked(vectors))
        rows = codes.reshape(-1, self._coder.bytes)
        first, self._count = self._count, self._count + len(rows)
        if self._count > len(self._codes):
            more = np.zeros((max(self._count, 2 * len(self._codes)), self._coder.bytes), self._codes.dtype)
            more[:first] = self._codes[:first]
            self._codes = more
        self._codes[first : self._count] = rows
        return first

    def search(self, query, count: int = 10, rescore: int = RESCORED) -> tuple:
        """The nearest texts as Hit, the nearest first, and of equals the one that was added first.

        rescore: of binary codes so many times `count` are taken by Hamming distance, and ordered by the query's numbers; 0: by Hamming
        distance alone, and the score is the share of equal bits less that of others.
        """
        if not _is_whole(count) or not _is_whole(rescore) or count < 1 or rescore < 0:
            raise BadInput("count is less than 1, or rescore less than 0", "leave them out, or give whole numbers")
        query = self._checked(query)
        if query.ndim != 1:
            raise BadInput("a query is one vector", "search for one after the other")
        if self._coder.kind == "int8":
            return self._scored(query, np.arange(self._count), count)
        distances = self._distances(query)
        nearest = np.argsort(distances, kind="stable")[: count * max(1, rescore)]
        if rescore:
            return self._scored(query, np.sort(nearest), count)
        return tuple(Hit(int(place), 1 - 2 * int(distances[place]) / self._coder.width) for place in nearest)

    def _distances(self, query) -> np.ndarray:
        asked = self._coder.codes(query)
        parts = [_bits_set(self._codes[at : min(at + _AT_ONCE, self._count)] ^ asked) for at in range(0, self._count, _AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _scored(self, query, places, count) -> tuple:
        parts = [self._coder.scores(query, self._levels(places[at : at + _AT_ONCE])) for at in range(0, len(places), _AT_ONCE)]
        scores = np.concatenate(parts) if parts else np.zeros(0)
        order = np.argsort(-scores, kind="stable")[:count]
        return tuple(Hit(int(places[at]), float(scores[at])) for at in order)

    def _levels(self, places) -> np.ndarray:
        codes = self._codes[places]
        levels = codes if self._coder.kind == "int8" else np.unpackbits(codes, axis=1, count=self._coder.width)
        return levels.astype(np.float64)

    def _checked(self, vectors) -> np.ndarray:
        values = np.asarray(getattr(vectors, "values", vectors), np.float32)
        if values.ndim not in (1, 2) or values.shape[-1] != self._coder.width:
            raise BadInput(
                "a vector has the shape {}, the model's have {} numbers".format(values.shape, self._coder.width), "ask the model"
            )
        if not np.isfinite(values).all():
            raise BadInput("a vector holds what is no number", "ask the model again")
        return values

    def to_bytes(self) -> bytes:
        """A head of 40 bytes (magic, version, kind, width, count, the codes' CRC-32, the model's id), then the codes in order."""
        coder, codes = self._coder, self.codes.tobytes()
        head = struct.pack(_HEAD, _MAGIC, _VERSION, _KINDS[coder.kind], coder.width, self._count, zlib.crc32(codes), coder.id.encode())
        return head + codes

    def save(self, path) -> None:
        """Whole or not at all."""
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        try:
            with partial.open("wb") as file:
                file.write(self.to_bytes())
                file.flush()
                os.fsync(file.fileno())  # else a power cut may leave the new name without its content
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def restore(self, content) -> Index:
        """The same index with the codes of `content`: bytes that to_bytes gave, or the path of a file that save wrote."""
        content = bytes(content) if isinstance(content, (bytes, bytearray, memoryview)) else Path(content).read_bytes()
        coder, size = self._coder, struct.calcsize(_HEAD)
        head = struct.unpack(_HEAD, content[:size]) if len(content) >= size else (b"",)
        if head[0] != _MAGIC or head[1] != _VERSION:
            raise BadInput("this is no index of this version", "save the index again")
        if head[2:4] != (_KINDS[coder.kind], coder.width) or head[6] != coder.id.encode():
            raise BadInput("the index is of another model", "make it again with this one")
        if len(content) - size != head[4] * coder.bytes:
            raise BadInput("the index is not whole", "copy or make it again")
        if zlib.crc32(content[size:]) != head[5]:
            raise BadInput("the index is damaged", "copy or make it again")
        self._codes = np.frombuffer(content, self._codes.dtype, offset=size).reshape(head[4], coder.bytes).copy()
        self._count = head[4]
        return self


def _is_whole(value) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def unit(vectors) -> np.ndarray:
    """Each 1 long, float32; one of zeros stays as it is."""
    wide = np.asarray(vectors, np.float32).astype(np.float64)
    lengths = np.sqrt(np.cumsum(wide * wide, axis=-1)[..., -1:])  # one after the other, as Java and JavaScript add
    return (wide / np.where(lengths == 0, 1.0, lengths)).astype(np.float32)


def coder_of(manifest):
    """None: the model's vectors have no codes."""
    stated = manifest.get("answers") or {}
    return Coder(stated) if stated.get("codes") else None


def _bits_set(codes) -> np.ndarray:
    """[n] of [n, bytes]: whole words at once where this numpy counts bits."""
    if hasattr(np, "bitwise_count"):
        words = codes.view(np.uint64) if codes.shape[1] % 8 == 0 else codes
        return np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    return _BITS_SET[codes].sum(axis=1, dtype=np.int64)
