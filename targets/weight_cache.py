"""Weights as a runtime packed them at an earlier start, kept beside the model: for this very model, machine and runtime, checked by hash.

A runtime maps what it finds there and looks at none of it, so damaged weights would give wrong answers and no error. The file is named
after the model's hash, the machine and the runtime's version, and a file beside it holds its own hash. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from pathlib import Path

import machine
import protocol
from hashing import file_sha256


class WeightCache:
    """One process's use of the cache of the pack in `folder`; another process meanwhile does without. Made before anything is timed."""

    def __init__(self, folder: Path, model_hash: str, version: str) -> None:
        self._place, self._name, self._is_sealed = folder / protocol.WEIGHT_CACHE, None, False
        self._lock = _locked(self._place)
        if self._lock is not None:
            facts = machine.facts()
            known = "-".join(str(fact) for fact in (model_hash, version, facts["arch"], facts["cpu"], *facts["isa"]))
            self._name = hashlib.sha256(known.encode()).hexdigest()[:32]
            self._remove_damaged()

    def path(self):
        """What to hand to the runtime; None where the pack's folder cannot be written, or another process has the cache in its hands."""
        if self._name is None:
            return None
        self._place.mkdir(exist_ok=True)  # a first start removed it
        path = self._place / (self._name + ".xnnpack")
        self._is_sealed = self._is_sealed and path.is_file()
        return path

    def seal(self) -> None:
        """Behind the job: from now on the next start may use what was packed."""
        path = self.path()
        if path is None:
            return
        if path.is_file() and not self._is_sealed:
            fresh = path.with_suffix(".new")
            fresh.write_text(file_sha256(path) + "\n")
            fresh.replace(path.with_suffix(".sha256"))
        os.close(self._lock)
        self._name = None

    def _remove_damaged(self) -> None:
        """Also what a killed process did not finish, and what was made of another model: no start would ever use it."""
        path = self._place / (self._name + ".xnnpack")
        self._is_sealed = path.is_file() and _text(path.with_suffix(".sha256")) == file_sha256(path)
        keep = (path.name, path.with_suffix(".sha256").name) if self._is_sealed else ()
        for left in self._place.iterdir():
            if left.name not in keep and (left.is_file() or left.is_symlink()):
                left.unlink()


def _locked(place: Path):
    """A descriptor that holds the folder until it is closed, or its process ends; None where it cannot be had or written."""
    try:
        place.mkdir(exist_ok=True)
        if not os.access(str(place), os.W_OK):
            return None
        descriptor = os.open(str(place), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(descriptor)
            return None
    return descriptor


def _text(path: Path):
    with contextlib.suppress(OSError, ValueError):
        return path.read_text().strip()
