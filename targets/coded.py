"""weights.coded: weights that take fewer bytes in a file than in memory. Read, checked and decoded; docs/coded-weights.md has every byte.

Runs on the device with the standard library (zstd: with Python 3.14, or the package zstandard). No length that stands in the file is
trusted: each is held against what the pack states before anything is allocated.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import shutil
import struct
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two processes may both decode there, and each renames a whole file into its place
    fcntl = None

MAGIC, VERSION = b"EPCODED\n", 1
_HEADER = struct.Struct("<8sHHIQII32s32s")
_SMALLEST_CHUNK, _LARGEST_CHUNK = 1 << 16, 1 << 18
_PART, _CHUNK = struct.Struct("<HQ"), struct.Struct("<I32s")
_LONGER = 1 << 10  # no codec makes a chunk longer than by this
_READ = 1 << 20
_EXPANDED = Path(".weight-cache") / "expanded"  # in the pack's folder, so that it goes with the pack
_AGAIN = "copy or install the pack again"


class Damaged(Exception):
    """Weights that cannot be decoded, or not here. problem names the file and its part; fix: the way out."""

    def __init__(self, problem, fix=_AGAIN) -> None:
        super().__init__(problem)
        self.problem, self.fix = problem, fix


class Weights:
    """Where a runtime finds a pack's weights: in `memory`, {file name: its bytes}, or in the folder `expanded`, which it maps.

    model: the file that the runtime opens, as a path; None where it lies in memory too. read_ms, decode_ms: what it took.
    """

    def __init__(self, model, memory=None, expanded=None, read_ms=0.0, decode_ms=0.0, decoded_bytes=0) -> None:
        self.model, self.memory, self.expanded = model, memory or {}, expanded
        self.read_ms, self.decode_ms, self.decoded_bytes = read_ms, decode_ms, decoded_bytes

    def forget(self) -> None:
        """Frees what was decoded into memory, once a session has taken it over."""
        self.memory = {}


def weights_of(folder, manifest, threads, model=None, place=None, clock=None) -> Weights:
    """The weights of the pack in `folder`, decoded where they are coded, as its `start` says: into memory, or once into a cache.

    model: the graph to open, the manifest's if left out. place: where decoded weights are kept; left out, the pack's own folder, or
    the user's cache where that cannot be written. clock: seconds, to time what is done. Damaged: nothing was left behind.
    """
    stated, clock = manifest.get("coded"), clock or (lambda: 0.0)
    model = model or manifest["model"]
    if not stated:
        return Weights(folder / model)
    if stated["start"] == "expand":
        start = clock()
        decode_ms, read_ms, path = expanded(folder, stated, threads, place, clock)
        read_ms = (clock() - start) * 1e3 - decode_ms if read_ms is None else read_ms
        opened = path if stated["file"] == model else folder / model
        return Weights(opened, None, path.parent, read_ms, decode_ms, stated["bytes"] if decode_ms else 0)
    with Coded(folder / stated["coded"], stated["bytes"], stated["sha256"]) as coded:
        start = clock()
        coded.touch()
        read_ms, start = (clock() - start) * 1e3, clock()
        content = coded.decoded(threads)
        decode_ms = (clock() - start) * 1e3
    opened = None if stated["file"] == model else folder / model
    return Weights(opened, {stated["file"]: content}, None, read_ms, decode_ms, stated["bytes"])


class Coded:
    """An open weights.coded. path: for messages too. bytes, sha256: what the pack states of the file that it decodes to."""

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


def expanded(folder, stated, threads, place=None, clock=lambda: 0.0) -> tuple:
    """(decode ms, read ms or None, path) of the decoded file in the cache: whole, with the stated hash. Made where it is not there.

    One process decodes while others wait for it. What somebody damaged is made again. Damaged: too little room, or a damaged chunk.
    """
    for at in _places(folder, stated, place):
        try:
            at.mkdir(parents=True, exist_ok=True)
            with _locked(at / "lock"):
                return _expand_anew(folder, stated, threads, at, clock)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                continue
            raise Damaged("the weights cannot be expanded into {}: {}".format(at, error.strerror), "free some room there") from None
    raise Damaged(
        "no folder for the expanded weights can be written", "make the pack's folder or the user's cache writable, or --start stream"
    )


def _places(folder, stated, place):
    """Folders to expand into, the best first."""
    if place is not None:
        return [Path(place)]
    cache = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    of_this_folder = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]  # what a newer pack there replaces
    return [folder / _EXPANDED, Path(cache) / "edgepack-expanded" / of_this_folder]


def _expand_anew(folder, stated, threads, at, clock) -> tuple:
    path, start = at / Path(stated["file"]).name, clock()
    if path.is_file() and not path.is_symlink() and _sha256(path) == stated["sha256"]:
        return 0.0, (clock() - start) * 1e3, path
    for left in at.iterdir():  # damaged, of another pack, or of a process that was killed
        if left.name != "lock":
            with contextlib.suppress(OSError):
                left.unlink()
    free = shutil.disk_usage(str(at)).free
    if free < stated["bytes"]:
        problem = "the weights take {:.1f} MB expanded, and {} has room for {:.1f} MB".format(stated["bytes"] / 1e6, at, free / 1e6)
        raise Damaged(problem, "free some room there, or build the pack with --start stream")
    start = clock()
    partial = path.with_name("{}.{}".format(path.name, os.getpid()))
    try:
        with Coded(folder / stated["coded"], stated["bytes"], stated["sha256"]) as coded, partial.open("wb") as file:
            _write(coded, file, threads, stated["sha256"])
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    return (clock() - start) * 1e3, None, path


def _write(coded, file, threads, sha256) -> None:
    """A few chunks at a time: the whole file is never in memory."""
    group, whole = max(1, threads) * 4, hashlib.sha256()
    for at in range(0, len(coded.chunks), group):
        contents = [b""] * min(group, len(coded.chunks) - at)

        def decode(which, contents=contents, at=at) -> None:
            contents[which] = coded.chunk(at + which)

        _all(decode, len(contents), threads)
        for content in contents:
            whole.update(content)
            file.write(content)
    if whole.hexdigest() != sha256:
        raise Damaged("{} decodes to another file than the pack states".format(coded.name))
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def _locked(path):
    """Held by one process at a time; the system lets go where a process is killed."""
    with path.open("a") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sha256(path) -> str:
    # As hashing.py: this file lies flat in targets/ and inside a module's package, so it imports no file beside it.
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(_READ), b""):
            digest.update(chunk)
    return digest.hexdigest()
