"""A lock for a folder: one process works in it at a time, and a second one gets an error that names the first."""

import contextlib
import errno
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.host import is_alive

_DYING_S = 5.0  # a child of a killed process, on its way to another program or to its end, may hold the lock for a moment longer
_held: dict[Path, int] = {}  # place: the thread of this process that holds it


@contextlib.contextmanager
def only_one(place: Path, what: str, fix: str = "wait for it, or choose another --out") -> Iterator[None]:
    """Holds `place`, a file or folder that need not exist, while the block runs. The same thread may hold it twice.

    EdgepackError where another process holds it, with that process's id: it loses nothing, and neither does the other. The lock is
    the kernel's (flock), so that a process that was killed holds nothing; its file `.NAME.lock` lies beside the place meanwhile.
    """
    place = Path(os.path.realpath(place))  # two links to one folder are one place
    if _held.get(place) == threading.get_ident():
        yield
        return
    path = place.with_name(f".{place.name}.lock")
    fresh = [folder for folder in place.parents if not folder.exists()]
    descriptor = _acquired(path, place, what, fix)
    _held[place] = threading.get_ident()
    try:
        yield
    finally:
        del _held[place]
        with contextlib.suppress(OSError):
            path.unlink()  # before it is let go: whoever waits for the old file sees that it is gone
        os.close(descriptor)
        with contextlib.suppress(OSError):  # what the block left in them stays
            for folder in fresh:
                folder.rmdir()


def _acquired(path: Path, place: Path, what: str, fix: str) -> int:
    import fcntl

    last_try = time.monotonic() + _DYING_S
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = _opened(path, place)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = _holder(descriptor)
                os.close(descriptor)
                if holder.isdecimal() and not is_alive(int(holder)) and time.monotonic() < last_try:
                    time.sleep(0.05)
                    continue
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    return os.open(os.devnull, os.O_RDONLY)  # a file system without locks: better than no work at all
                raise EdgepackError(f"{what} {str(place)!r} is in use by another edgepack (process {holder or 'unknown'})", fix) from None
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                return descriptor
            if _is_still(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                return descriptor
            os.close(descriptor)  # its holder removed it in between
    except OSError as error:
        raise EdgepackError(f"cannot write beside {str(place)!r}: {error.strerror}", "choose a folder that you may write") from None


def _opened(path: Path, place: Path) -> int:
    """The lock's file; where none can be made beside the place, as for a pack in somebody else's folder, the place itself."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError:
        if not place.is_dir():
            raise
        return os.open(place, os.O_RDONLY | os.O_CLOEXEC)


def _holder(descriptor: int) -> str:
    with contextlib.suppress(OSError):
        return os.pread(descriptor, 20, 0).decode("ascii", errors="replace").strip()
    return ""


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        there, mine = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
