"""Weights as a runtime packed them at an earlier start, kept on the disk: for this very model, machine and runtime, with a checksum.

A runtime maps what it finds there and looks at none of it, so damaged weights would give wrong answers and no error. Files are named
after the model, the machine and the runtime's version, and a file beside them, their seal, has the checksum of each. It is CRC-32, which
is read at a few GB/s: it finds what a disk or a hand has damaged, and no hash would stop somebody who may write there, for the seal lies
beside them. Standard library only; an app's module takes this file as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor

if __package__:
    from . import machine
    from .weight_source import LOCK, fcntl, locked, make, places
else:
    import machine
    from weight_source import LOCK, fcntl, locked, make, places

FOLDER = "packed"
_ROOM = 3  # times the model's bytes: onnxruntime keeps a product's weights twice, as they were and packed
_READ = 1 << 20
_SEAL = ".seal"


class PackedFiles:
    """What one start finds. paths: where the runtime's files lie, or are to lie; none where nothing is kept. is_whole: they are there."""

    def __init__(self, paths=(), is_whole=False) -> None:
        self.paths, self.is_whole = list(paths), is_whole


class _Damaged(Exception):
    """What a session was opened with is not what was sealed."""


def started(open_session, folder, manifest, version, names, place=None, unless=False):
    """open_session(PackedFiles) for the pack in `folder`. What it leaves is sealed behind it, so that the next start maps it.

    version: the runtime's. names: endings of the files that the runtime writes; the first is checked before it is opened, the others
    while the session opens, which nobody uses before. place: see weight_source.places. unless: whether the session computes otherwise
    than the next ones will. Nothing is kept then, nor where the manifest does not ask for it, no folder can be written, or there is too
    little room: the runtime packs in memory. Other processes that start meanwhile wait.
    """
    is_wanted = manifest.get("weight_cache") and not unless and fcntl is not None
    at = _writable(folder, place) if is_wanted else None
    if at is None:
        return open_session(PackedFiles())
    with locked(at / LOCK):
        known = "-".join(str(fact) for fact in (_model(folder, manifest), version, *_machine()))
        name = hashlib.sha256(known.encode()).hexdigest()[:32]
        paths, seal = [at / "{}.{}".format(name, each) for each in names], at / (name + _SEAL)
        with contextlib.suppress(_Damaged):
            return _mapped(open_session, paths, _text(seal))
        for left in at.iterdir():  # damaged, of another model, or of a process that was killed
            if left.name != LOCK:
                left.unlink()
        if shutil.disk_usage(str(at)).free < _ROOM * _model_bytes(folder, manifest):
            return open_session(PackedFiles())
        session = open_session(PackedFiles(paths))
        if all(path.is_file() for path in paths):
            fresh = seal.with_name(seal.name + ".new")
            fresh.write_text("".join(_checksum(path) for path in paths))
            fresh.replace(seal)
        return session


def _mapped(open_session, paths, sealed):
    """The session of what was kept. _Damaged: it is not what was sealed, or not there."""
    lines = (sealed or "").splitlines(True)
    if len(lines) != len(paths) or _checksum(paths[0]) != lines[0]:
        raise _Damaged
    with ThreadPoolExecutor(1) as pool:
        checked = [pool.submit(_checksum, path) for path in paths[1:]]
        try:
            session = open_session(PackedFiles(paths, is_whole=True))
        except Exception:
            if [each.result() for each in checked] == lines[1:]:
                raise  # the files are as they were sealed: something else is wrong
            raise _Damaged from None
    if [each.result() for each in checked] != lines[1:]:
        raise _Damaged
    return session


def _writable(folder, place):
    """The first folder that packed weights can lie in; None where there is none."""
    for at in places(folder, FOLDER, place):
        with contextlib.suppress(OSError):
            make(at, folder)
            if os.access(str(at), os.W_OK):
                return at
    return None


def _machine() -> tuple:
    facts = machine.facts()
    return (facts["arch"], facts["cpu"], *facts["isa"])


def _model(folder, manifest) -> str:
    """What the packed weights are of: the pack's hashes, which whoever opens a pack has checked, or else the bytes themselves."""
    if manifest.get("coded"):
        return manifest["coded"]["sha256"]
    files = manifest.get("files") or _listed(folder)
    hashes = [entry["sha256"] for entry in files if entry["name"].startswith(manifest["model"])]
    return "-".join(hashes) or "-".join(map(_checksum, _model_files(folder, manifest)))


def _listed(folder) -> list:
    try:
        return json.loads((folder / "pack.json").read_text()).get("files", [])
    except (OSError, ValueError):
        return []


def _model_files(folder, manifest) -> list:
    return sorted(path for path in folder.iterdir() if path.name.startswith(manifest["model"]) and path.is_file())


def _model_bytes(folder, manifest) -> int:
    stated = manifest.get("coded")
    return stated["bytes"] if stated else sum(path.stat().st_size for path in _model_files(folder, manifest))


def _checksum(path) -> str:
    """A line with the file's bytes and their CRC-32. Empty where it is not there, or is no plain file."""
    if path.is_symlink() or not path.is_file():
        return ""
    count = checksum = 0
    buffer = bytearray(_READ)
    with path.open("rb", buffering=0) as file:
        for size in iter(lambda: file.readinto(buffer), 0):
            count, checksum = count + size, zlib.crc32(memoryview(buffer)[:size], checksum)
    return "{} {:08x}\n".format(count, checksum)


def _text(path):
    with contextlib.suppress(OSError, ValueError):
        return path.read_text()
