"""weights.coded: weights that take fewer bytes in a file than in memory, read, checked and decoded; docs/coded-weights.md has every byte.

Runs on the device with the standard library (zstd: with Python 3.14, or the package zstandard). No length that stands in the file is
trusted: each is held against what the pack states before anything is allocated. An app's module takes this file as it is.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

MAGIC, VERSION = b"EPCODED\n", 1
_HEADER = struct.Struct("<8sHHIQII32s32s")
_SMALLEST_CHUNK, _LARGEST_CHUNK = 1 << 16, 1 << 18
_PART, _CHUNK = struct.Struct("<HQ"), struct.Struct("<I32s")
_LONGER = 1 << 10  # no codec makes a chunk longer than by this
_READ = 1 << 20
_AGAIN = "copy or install the pack again"


class Damaged(Exception):
    """Weights that cannot be decoded, or not here. problem names the file and its part; fix: the way out."""

    def __init__(self, problem, fix=_AGAIN) -> None:
        super().__init__(problem)
        self.problem, self.fix = problem, fix


class Coded:
    """An open weights.coded. path: for messages too. count, sha256: what the pack states of the file that it decodes to, count in bytes."""

    def __init__(self, path, count, sha256) -> None:
        self.name = path.name
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise Damaged("{} cannot be read: {}".format(self.name, error.strerror)) from None
        try:
            size = os.fstat(self._file.fileno()).st_size
            if size < _HEADER.size:
                raise Damaged("{} is cut off: it has {} bytes".format(self.name, size))
            self._mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            self._read_index(size, count, sha256)
        except BaseException:
            self.close()
            raise

    def _read_index(self, size, count, sha256) -> None:
        header = _HEADER.unpack_from(self._mapped)
        magic, version, codec, self.chunk_bytes, self.bytes, parts, index_bytes, content_hash, index_hash = header
        if magic != MAGIC:
            raise Damaged("{} is no file of coded weights".format(self.name))
        if version != VERSION:
            problem = "{} has version {}, and this code reads {}".format(self.name, version, VERSION)
            raise Damaged(problem, "build the pack again, or update what reads it")
        if codec not in CODECS:
            raise Damaged("{} has the codec {}, which this code does not know".format(self.name, codec), "update what reads the pack")
        if self.bytes != count or content_hash.hex() != sha256:
            raise Damaged("{} decodes to another file than the pack states".format(self.name))
        if not _SMALLEST_CHUNK <= self.chunk_bytes <= _LARGEST_CHUNK or index_bytes > size - _HEADER.size:
            raise Damaged("{} has lengths in its header that cannot be".format(self.name))
        index = self._mapped[_HEADER.size : _HEADER.size + index_bytes]
        if hashlib.sha256(index).digest() != index_hash:
            raise Damaged("the index of {} is damaged".format(self.name))
        self.decode_chunk = CODECS[codec](self.name)
        try:
            self.parts = _parts(index, parts, self.bytes)
            self.chunks = self._placed_chunks(index, size)
        except (struct.error, ValueError):
            raise Damaged("the index of {} does not add up".format(self.name)) from None

    def _placed_chunks(self, index, size) -> list:
        """(part, place in the file, coded bytes, place decoded, decoded bytes, sha256) of each chunk. ValueError: they do not add up."""
        at = sum(_PART.size + len(name.encode()) for name, _ in self.parts)
        chunks, place, goal = [], _HEADER.size + len(index), 0
        for name, count in self.parts:
            for done in range(0, count, self.chunk_bytes):
                coded_bytes, digest = _CHUNK.unpack_from(index, at)
                at, decoded_bytes = at + _CHUNK.size, min(self.chunk_bytes, count - done)
                if coded_bytes > decoded_bytes + _LONGER:
                    raise ValueError
                chunks.append((name, place, coded_bytes, goal, decoded_bytes, digest))
                place, goal = place + coded_bytes, goal + decoded_bytes
        if at != len(index) or place != size or goal != self.bytes:
            raise ValueError
        return chunks

    def touch(self) -> None:
        """Reads the whole file, so that what decodes waits for no storage."""
        for at in range(0, len(self._mapped), _READ):
            self._mapped[at : at + _READ]

    def decoded(self, threads=1) -> bytearray:
        """All bytes of the decoded file, each chunk checked by its hash; chunks are decoded on so many threads at once."""
        content = bytearray(self.bytes)
        view = memoryview(content)

        def decode(which) -> None:
            view[self.chunks[which][3] : self.chunks[which][3] + self.chunks[which][4]] = self.chunk(which)

        _all(decode, len(self.chunks), threads)
        view.release()
        return content

    def groups(self, threads=1):
        """The decoded bytes from the first to the last, a few chunks at a time: the whole file is never in memory."""
        size = max(1, threads) * 4
        for at in range(0, len(self.chunks), size):
            contents = [b""] * min(size, len(self.chunks) - at)

            def decode(which, contents=contents, at=at) -> None:
                contents[which] = self.chunk(at + which)

            _all(decode, len(contents), threads)
            yield from contents

    def chunk(self, which) -> bytes:
        """One chunk, decoded. Damaged names its part."""
        name, place, coded_bytes, _, count, digest = self.chunks[which]
        content = self.decode_chunk(self._mapped[place : place + coded_bytes], count)
        if content is None or len(content) != count or hashlib.sha256(content).digest() != digest:
            raise Damaged("chunk {} of {} is damaged: it holds a part of {}".format(which, self.name, name))
        return content

    def close(self) -> None:
        if hasattr(self, "_mapped"):
            self._mapped.close()
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _parts(index, count, whole) -> list:
    """(name, decoded bytes) of each part. ValueError, struct.error: they do not fit into the index, or are not the whole file."""
    parts, at = [], 0
    for _ in range(count):
        name_bytes, part_bytes = _PART.unpack_from(index, at)
        at += _PART.size
        if at + name_bytes > len(index) or not 0 < part_bytes <= whole:
            raise ValueError
        parts.append((index[at : at + name_bytes].decode("utf-8"), part_bytes))
        at += name_bytes
    if sum(part_bytes for _, part_bytes in parts) != whole:
        raise ValueError
    return parts


def _all(act, count, threads) -> None:
    """act(index) for every index below `count`, on so many threads."""
    if threads <= 1:
        for which in range(count):
            act(which)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(act, range(count)):
            pass


def _deflate(_):
    def decode(coded, count):
        """At most count + 1 bytes; None where it is no deflate stream that ends with the chunk."""
        try:
            inflater = zlib.decompressobj(-15)
            content = inflater.decompress(coded, count + 1)
        except zlib.error:
            return None
        return content if inflater.eof and not inflater.unused_data else None

    return decode


def _zstd(name):
    try:
        from compression import zstd
    except ImportError:
        return _zstandard(name)

    def decode(coded, count):
        """At most count + 1 bytes, whatever the frame says of itself; None where it is no whole frame."""
        try:
            inflater = zstd.ZstdDecompressor()
            content = inflater.decompress(coded, count + 1)
        except zstd.ZstdError:
            return None
        return content if inflater.eof and not inflater.unused_data else None

    return decode


def _zstandard(name):
    try:
        import zstandard
    except ImportError:
        problem = "{} is coded with zstd, which Python {}.{} has no module for".format(name, *sys.version_info[:2])
        raise Damaged(problem, "pip install zstandard, or build the pack with --codec deflate") from None
    local = threading.local()

    def decode(coded, count):
        """None where it is no whole frame of exactly so many bytes: what the frame says of itself is compared before it is decoded."""
        try:
            if zstandard.get_frame_parameters(coded).content_size != count:
                return None
            if not hasattr(local, "inflater"):
                local.inflater = zstandard.ZstdDecompressor()
            return local.inflater.decompress(coded, allow_extra_data=False)
        except zstandard.ZstdError:
            return None

    return decode


CODECS = {1: _deflate, 2: _zstd}
