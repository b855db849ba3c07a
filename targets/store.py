"""Files on a board, by their hashes: taken over the pipe, placed under their names, and cleared away. Standard library only."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from hashing import file_sha256

MARK = "edgepack-target.json"  # in every folder that this makes: nothing without it is ever removed
FRESH_MARK = MARK + ".new"  # on its way
_CHUNK = 1 << 20


class Wrong(Exception):
    """A request that cannot be met; its text goes home as it is."""


class Store:
    """A folder of files called by their hashes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def missing(self, files: dict) -> list:
        """Those of `files`, {hash: bytes}, that are not here whole: a file whose content has changed is thrown away."""
        absent = []
        for digest, count in files.items():
            path = self.folder / checked(digest)
            if not path.is_file() or path.stat().st_size != count or file_sha256(path) != digest:
                _remove_file(path)
                absent.append(digest)
        return absent

    def put(self, sha256: str, count: int, data) -> bool:
        """Takes the `count` bytes that follow. They are read to the end also where there is no room for them: the next request follows."""
        left, hashed, partial, failure = count, hashlib.sha256(), None, None
        try:
            partial = self.folder / (checked(sha256) + "." + str(os.getpid()))
            file = partial.open("wb")
        except OSError as error:
            file, failure = None, error
        while left:
            chunk = data.read(min(left, _CHUNK))
            if not chunk:
                break
            left -= len(chunk)
            hashed.update(chunk)
            if not failure:
                failure = _attempt(file.write, chunk)
        if file:
            failure = failure or _attempt(file.flush) or _attempt(os.fsync, file.fileno())
            _attempt(file.close)
        if failure or left or hashed.hexdigest() != sha256:
            _remove_file(partial)
            raise failure or Wrong("a file came damaged: its hash is not the one that was announced")
        partial.replace(self.folder / sha256)
        return True

    def place(self, there: Path, files: dict) -> str:
        """The folder `there` with `files`, {name: hash}: the same bytes under their names."""
        shutil.rmtree(there, ignore_errors=True)
        there.mkdir()
        for name, digest in files.items():
            source, goal = self.folder / checked(digest), there / checked(name)
            try:
                os.link(source, goal)
            except OSError:  # file systems of cards know no hard links
                shutil.copyfile(str(source), str(goal))
        return str(there)

    def forget(self, files: list) -> bool:
        for digest in files:
            _remove_file(self.folder / checked(digest))
        return True

    def prune(self, keep: list) -> bool:
        """Leaves only `keep`: files of other packs make room. A session that uses one has a name of its own for it."""
        return self.forget([path.name for path in self.folder.iterdir() if path.name not in keep])


def sweep(root: Path) -> None:
    """Removes what sessions left that were killed, or cut off by a reboot: folders with the mark whose process is gone."""
    half_made_by = _maker(root)
    if half_made_by is not None and not _is_alive(half_made_by):
        shutil.rmtree(str(root), ignore_errors=True)
    inside = [*root.glob("work-*"), *root.parent.glob(root.name + "-*")]
    for path in inside:
        named = re.match(r"^(?:work|{})-(\d+)-".format(re.escape(root.name)), path.name)
        if named and (path / MARK).is_file() and not _is_alive(int(named.group(1))):
            shutil.rmtree(str(path), ignore_errors=True)


def claim(root: Path) -> int:
    """Marks a folder as half made by this process. Wrong where another session is at it. Returns what holds it: close it to let go."""
    held = os.open(str(root), os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(held)
            raise Wrong("{} is being set up by another session there ({}): wait for it".format(root, _maker(root))) from None
    _write_mark(root, {"half_made_by": os.getpid()})
    return held


def mark_finished(root: Path) -> None:
    """The last step of a set-up: the mark says whole, after all else is on the disk."""
    if hasattr(os, "sync"):
        os.sync()
    _write_mark(root, {})


def _write_mark(root: Path, content: dict) -> None:
    fresh = root / FRESH_MARK
    fresh.write_text(json.dumps(content) + "\n")
    fresh.replace(root / MARK)


def is_set_up(root: Path) -> bool:
    """Whether edgepack made the folder and finished it."""
    return (root / MARK).is_file() and _maker(root) is None


def being_set_up_by(root: Path):
    """The process that is at it; None where there is none."""
    process = _maker(root)
    return process if process is not None and _is_alive(process) else None


def _maker(root: Path):
    try:
        process = json.loads((root / MARK).read_text()).get("half_made_by")
    except (OSError, ValueError, AttributeError):
        return None
    return process if isinstance(process, int) and process > 0 else None


def error_of(error: Exception) -> dict:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return {"error": str(error), "disk_is_full": full}


def checked(name: str) -> str:
    """A plain file name: nothing that leads out of its folder."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise Wrong("not a plain file name: {!r}".format(name))
    return name


def _attempt(act, *arguments):
    try:
        act(*arguments)
    except OSError as error:
        return error
    return None


def _remove_file(path) -> None:
    if path is not None and path.exists():
        path.unlink()


def bytes_under(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
