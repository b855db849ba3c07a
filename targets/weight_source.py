"""Where a runtime finds a pack's weights: in their file, decoded into memory, or decoded once into a cache.

Runs on the device with the standard library. This file lies flat in targets/, and inside the package of an app's module.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two processes may both decode there, and each renames a whole file into its place
    fcntl = None

if __package__:
    from .coded import Coded, Damaged
    from .hashing import file_sha256
else:
    from coded import Coded, Damaged
    from hashing import file_sha256

_KEPT = ".weight-cache"  # in the pack's folder, so that it goes with the pack
_EXPANDED = "expanded"
LOCK = "lock"  # in the user's cache it holds the pack's folder, on whose removal what lies beside it goes
_NO_FOLDER = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)


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


def expanded(folder, stated, threads, place=None, clock=lambda: 0.0) -> tuple:
    """(decode ms, read ms or None, path) of the decoded file in the cache: whole, with the stated hash. Made where it is not there.

    One process decodes while others wait for it. What somebody damaged is made again. Damaged: too little room, or a damaged chunk.
    """
    for at in places(folder, _EXPANDED, place):
        try:
            make(at, folder)
            with locked(at / LOCK):
                return _expand_anew(folder, stated, threads, at, clock)
        except OSError as error:
            if error.errno in _NO_FOLDER:
                continue
            raise Damaged("the weights cannot be expanded into {}: {}".format(at, error.strerror), "free some room there") from None
    raise Damaged(
        "no folder for the expanded weights can be written", "make the pack's folder or the user's cache writable, or --start stream"
    )


def places(folder, kind, place=None):
    """Folders that what is made of a pack's weights may lie in, the best first: `place` alone where it is given. kind: of what is made."""
    if place is not None:
        return [Path(place)] if kind == _EXPANDED else [Path(place) / kind]
    cache = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME")
    with contextlib.suppress(RuntimeError, KeyError):  # of a user without a home folder; Python 3.8 raises the second
        cache = cache or Path.home() / ".cache"
    return [folder / _KEPT / kind, *([Path(cache) / "edgepack-{}".format(kind) / _name_of(_place_of(folder))] if cache else [])]


def make(at, folder) -> None:
    """Makes `at`, one of the `places` of the pack in `folder`. Of the user's cache, it removes what is kept there of folders that are gone.

    OSError: it cannot be made.
    """
    at.mkdir(parents=True, exist_ok=True)
    if at.name != _name_of(_place_of(folder)):
        return  # in the pack, with which it goes, or where the app wants it
    (at / LOCK).write_bytes(_place_of(folder))
    for other in at.parent.iterdir():
        with contextlib.suppress(OSError):
            place = (other / LOCK).read_bytes()
            if other.name == _name_of(place) and _is_gone(place):
                for left in sorted(other.iterdir(), key=lambda path: path.name == LOCK):
                    left.unlink()
                other.rmdir()


def _place_of(folder) -> bytes:
    return os.fsencode(str(folder.resolve()))


def _name_of(place) -> str:
    """Of the pack's folder, and not of the pack: a newer one there takes the place of what is kept."""
    return hashlib.sha256(place).hexdigest()[:32]


def _is_gone(place) -> bool:
    try:
        Path(os.fsdecode(place)).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    return False


def _expand_anew(folder, stated, threads, at, clock) -> tuple:
    path, start = at / Path(stated["file"]).name, clock()
    if path.is_file() and not path.is_symlink() and file_sha256(path) == stated["sha256"]:
        return 0.0, (clock() - start) * 1e3, path
    for left in at.iterdir():  # damaged, of another pack, or of a process that was killed
        if left.name != LOCK:
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
    whole = hashlib.sha256()
    for content in coded.groups(threads):
        whole.update(content)
        file.write(content)
    if whole.hexdigest() != sha256:
        raise Damaged("{} decodes to another file than the pack states".format(coded.name))
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def locked(path):
    """Held by one process at a time; the system lets go where a process is killed."""
    with path.open("a") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
