"""Writes weights.coded: a file of weights in chunks, each with a code of its own. docs/coded-weights.md has every byte.

What reads it stands in targets/coded.py and weight_source.py, targets/web/src/coded.mjs and ship/jvm/java/core/Coded.java.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgepack.core.files import sha256_of
from edgepack.pack.runnable import Coded
from edgepack.plan.coding import CODED_FILE, CodecName, StartName

MAGIC, VERSION = b"EPCODED\n", 1
CHUNK_BYTES = 1 << 17
_HEADER = struct.Struct("<8sHHIQII32s32s")
_PART, _CHUNK = struct.Struct("<HQ"), struct.Struct("<I32s")
_NUMBERS: dict[CodecName, int] = {"deflate": 1, "zstd": 2}
_HARDLY_SMALLER = 0.9  # of a chunk: codes of single bytes alone do little for it, so repeated strings are looked for
_FEW_BITS: dict[CodecName, float] = {"deflate": 0.2, "zstd": 0.35}  # of a chunk: below it most values are zeros, and strings repeat
_REPEATS = 0.9  # of what codes alone take: a fast look for repeated strings has met some, as in the scales of a coarse decoder's blocks
_THOROUGH = 16  # zstd's level: 19 takes twice as long for 0.1 % at most
REST = "rest"  # the name of what lies between two matrices


@dataclass(frozen=True)
class Part:
    """`count` bytes of the file that belong together: a matrix, or what lies before the next one."""

    name: str
    count: int


def parts_between(places: Sequence[tuple[str, int, int]], whole: int) -> list[Part]:
    """The whole file in parts, from (name, offset, bytes) of its matrices; those under a chunk's size, and gaps, are joined.

    Two names may lie at one place (a table that two ops read): the first counts.
    """
    parts: list[Part] = []
    at = rest = 0
    for name, offset, count in sorted(places, key=lambda place: (place[1], -place[2])):
        if count < CHUNK_BYTES or offset < at:
            continue
        rest = offset - at
        parts += [Part(REST, rest)] if rest else []
        parts.append(Part(name, count))
        at = offset + count
    return [*parts, *([Part(REST, whole - at)] if whole > at else [])]


def code_file(source: Path, parts: Sequence[Part], codec: CodecName, start: StartName, folder: Path) -> Coded:
    """Writes CODED_FILE into `folder` and returns what a pack states of it. `source` stays as it is."""
    encode = _encoder(codec)
    index = b"".join(_PART.pack(len(part.name.encode()), part.count) + part.name.encode() for part in parts)
    coded, hashes = [], []
    with source.open("rb") as file:
        for part in parts:
            for chunk in _chunks(file.read(part.count)):
                coded.append(encode(chunk))
                hashes.append(_CHUNK.pack(len(coded[-1]), hashlib.sha256(chunk).digest()))
    index += b"".join(hashes)
    whole, digest = source.stat().st_size, sha256_of(source)
    fields = (MAGIC, VERSION, _NUMBERS[codec], CHUNK_BYTES, whole, len(parts), len(index), bytes.fromhex(digest))
    with (folder / CODED_FILE).open("wb") as file:
        file.write(_HEADER.pack(*fields, hashlib.sha256(index).digest()) + index)
        file.writelines(coded)
    return Coded(file=source.name, coded=CODED_FILE, bytes=whole, sha256=digest, codec=codec, start=start)


def coded_file_bytes(source: Path, parts: Sequence[Part], codec: CodecName) -> int:
    """What weights.coded would take."""
    encode, count = _encoder(codec), _HEADER.size
    with source.open("rb") as file:
        for part in parts:
            count += _PART.size + len(part.name.encode())
            count += sum(len(encode(chunk)) + _CHUNK.size for chunk in _chunks(file.read(part.count)))
    return count


def _chunks(values: bytes) -> Iterator[bytes]:
    for at in range(0, len(values), CHUNK_BYTES):
        yield values[at : at + CHUNK_BYTES]


def _encoder(codec: CodecName) -> Callable[[bytes], bytes]:
    return _zstd() if codec == "zstd" else _deflated


def _deflated(chunk: bytes) -> bytes:
    """Huffman codes alone: within 0.04 bits of the entropy of coarse weights. Elsewhere repeated strings too, where that is shorter: a
    Huffman code has a bit at least, and a weight of a very coarse grid has less."""
    coded = _raw_deflate(chunk, zlib.Z_HUFFMAN_ONLY)
    repeats = len(_raw_deflate(chunk, zlib.Z_DEFAULT_STRATEGY, level=1)) < _REPEATS * len(coded)
    if _FEW_BITS["deflate"] * len(chunk) <= len(coded) < _HARDLY_SMALLER * len(chunk) and not repeats:
        return coded
    return min(coded, _raw_deflate(chunk, zlib.Z_DEFAULT_STRATEGY), key=len)


def _raw_deflate(chunk: bytes, strategy: int, level: int = 9) -> bytes:
    deflater = zlib.compressobj(level=level, wbits=-15, memLevel=9, strategy=strategy)
    return deflater.compress(chunk) + deflater.flush()


def _zstd() -> Callable[[bytes], bytes]:
    import zstandard

    # Few repeated strings are looked for: those that level 1 finds in coarse weights cost more than they save (3.14 bits for 3.07). Below
    # 3 bits all levels but the thorough ones, which count what a string costs, lose much by them (MiniLM at 1.2 bits: 4.83 MB for 4.00).
    few = zstandard.ZstdCompressionParameters.from_level(1, hash_log=6, write_content_size=True)
    fast, thorough = zstandard.ZstdCompressor(compression_params=few), zstandard.ZstdCompressor(level=_THOROUGH, write_content_size=True)

    def encode(chunk: bytes) -> bytes:
        coded = fast.compress(chunk)
        if _FEW_BITS["zstd"] * len(chunk) <= len(coded) < _HARDLY_SMALLER * len(chunk):
            return coded
        return min(coded, thorough.compress(chunk), key=len)

    return encode
