"""Cache of finished stages. A key is the hash of everything that a stage reads; what is read back is checked by hash."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from edgepack.core.distributed import agreed, is_first, world_size
from edgepack.core.errors import EdgepackError
from edgepack.core.files import rename_whole, sha256_of
from edgepack.core.host import home_folder
from edgepack.core.progress import say
from edgepack.core.reading import read_json_object
from edgepack.core.records import Frozen

RECORD_FILE = "record.json"
LIBRARIES = ("edgepack", "torch", "transformers", "tokenizers", "onnx", "onnxruntime", "onnxscript", "onnxslim", "numpy")

_OTHER_CACHE = "set EDGEPACK_CACHE to a folder that you may write, or name one with --cache"
_KEPT_S = 30 * 24 * 3600  # an unfinished stage goes on where it was within this time
_checked: set[tuple[Path, str]] = set()  # folders that this process found intact

Work = Callable[[Path, Path], dict[str, Any]]


def cache_folder(wished: str | None = None) -> Path:
    """`--cache`, or $EDGEPACK_CACHE, or edgepack's folder in the user's cache. EdgepackError: none of them, and no home folder."""
    if wished or os.environ.get("EDGEPACK_CACHE"):
        return Path(wished or os.environ["EDGEPACK_CACHE"])
    home, stated = home_folder(), os.environ.get("XDG_CACHE_HOME")
    if home is None and not stated:
        raise EdgepackError("there is no folder for the cache: this user has no home folder", _OTHER_CACHE)
    return Path(stated or f"{home}/.cache") / "edgepack"


def key_of(inputs: Frozen) -> str:
    """A name for a stage's result: the hash of the record that declares everything that the stage reads."""
    return hashlib.sha256(json.dumps(inputs.as_json(), sort_keys=True).encode()).hexdigest()[:24]


@dataclass
class Stage:
    """A stage's place in the cache. It is finished, with a record; or its work has to fill `folder` and give the record.

    resume: a folder that survives a kill until the stage is finished.
    """

    folder: Path
    resume: Path
    record: dict[str, Any] = field(default_factory=dict)
    is_finished: bool = False


def run_once(root: Path, key: str, work: Work) -> tuple[Path, dict[str, Any]]:
    """The folder and record of what `work(folder, resume)` makes, which returns the record: from the cache, or made now.

    For folders that are in use while they are in the cache, such as an emulated board's system: files that came later are
    ignored, and the hashes are checked once a process. Stages of a build are stricter: see `stage`.
    """
    with stage(root, key, may_grow=True) as place:
        if not place.is_finished:
            place.record = work(place.folder, place.resume)
    return place.folder, place.record


@contextmanager
def stage(root: Path, key: str, may_grow: bool = False) -> Iterator[Stage]:
    """A stage's place. Where it is not finished, the block has to do the work; what it left is then moved into the cache.

    A finished folder appears in the cache whole or not at all, with a hash of each of its files. They are checked here: a
    damaged result is removed, and the block has to make it again. A second process that wants the same stage waits for the
    first. Processes of one torchrun all do the work, for a training needs them all; what any but the first made is thrown away.
    """
    finished, unfinished = root / "stages" / key, root / "unfinished" / key
    _make_folder(root / "locks")
    with FileLock(root / "locks" / key) if is_first() else nullcontext():
        record = _intact(finished, may_grow) if is_first() else None
        if agreed(record is not None):
            record = record if record is not None else _read(finished).record
            yield Stage(finished, unfinished / "resume", dict(record), is_finished=True)
            return
        if is_first():
            _prepare(unfinished, finished)
        agreed(True)
        with nullcontext(unfinished / "made") if is_first() else tempfile.TemporaryDirectory() as results:
            place = Stage(Path(results), unfinished / "resume")
            yield place
        agreed(True)
        if is_first():
            _finish(unfinished, finished, place.record)
        agreed(True)
        place.folder = finished
        if world_size() > 1:
            place.record = _read(finished).record


def _prepare(unfinished: Path, finished: Path) -> None:
    shutil.rmtree(finished, ignore_errors=True)  # damaged
    shutil.rmtree(unfinished / "made", ignore_errors=True)
    _make_folder(unfinished / "made")
    _make_folder(unfinished / "resume")


def _finish(unfinished: Path, finished: Path, record: dict[str, Any]) -> None:
    results = unfinished / "made"
    content = {"record": record, "files": _hashes(results)}
    (results / RECORD_FILE).write_text(json.dumps({"sha256": _sha256(content)} | content, indent=1))
    _make_folder(finished.parent)
    rename_whole(results, finished)
    shutil.rmtree(unfinished, ignore_errors=True)


def collect(root: Path) -> None:
    """Removes what killed builds left unfinished weeks ago, and nobody works on: until then it is where they go on."""
    for folder in (root / "unfinished").glob("*") if (root / "unfinished").is_dir() else ():
        with suppress(OSError, Timeout), FileLock(root / "locks" / folder.name, timeout=0):
            if folder.stat().st_mtime < time.time() - _KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)


def stored_record(folder: Path) -> dict[str, Any] | None:
    """The record in a finished folder, without a look at its files. None: the folder has none, or not the one that was written."""
    try:
        return _read(folder).record
    except (OSError, ValueError, KeyError, TypeError, EdgepackError):
        return None


def _intact(folder: Path, may_grow: bool) -> dict[str, Any] | None:
    """The record of a finished stage; None where there is none, or where a file is not what the record says of it."""
    if not folder.exists():
        return None
    problem = ""
    try:
        stated = _read(folder)
        if may_grow and (folder, stated.sha256) in _checked:
            return stated.record
        present = _hashes(folder)
        names = stated.files.keys() if may_grow else stated.files.keys() | present.keys()
        changed = sorted(name for name in names if stated.files.get(name) != present.get(name))
        problem = f"{changed[0]} was changed" if changed else ""
    except (OSError, ValueError, KeyError, TypeError, EdgepackError) as error:
        problem = f"{RECORD_FILE} cannot be used ({str(error) or type(error).__name__})"
    if problem:
        say(f"a result in the cache is damaged, so its stage runs again: {folder}: {problem}")
        return None
    _checked.add((folder, stated.sha256))
    return stated.record


class _Stated(NamedTuple):
    """What the record's file says: a hash of itself, the stage's record, and a hash of each file."""

    sha256: str
    record: dict[str, Any]
    files: dict[str, str]


def _read(folder: Path) -> _Stated:
    """ValueError where the record is not the one that was written."""
    content = read_json_object(folder / RECORD_FILE)
    stated = _Stated(content["sha256"], content["record"], content["files"])
    if stated.sha256 != _sha256({"record": stated.record, "files": stated.files}):
        raise ValueError("its content was changed")
    return stated


def _sha256(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _hashes(folder: Path) -> dict[str, str]:
    """A hash for each file, and where a link leads to. Folders with a dot are a runtime's own, of the machine that ran the file."""
    hashes: dict[str, str] = {}
    for place, names, files in os.walk(folder):
        names[:] = [name for name in names if not name.startswith(".") and name != "__pycache__"]
        for path in (Path(place) / name for name in (*names, *files)):
            if path.is_symlink():
                hashes[str(path.relative_to(folder))] = f"link to {path.readlink()}"
            elif path.is_file():
                hashes[str(path.relative_to(folder))] = sha256_of(path)
    hashes.pop(RECORD_FILE, None)
    return hashes


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgepackError(f"cannot write the cache {folder}: {error.strerror}", _OTHER_CACHE) from None


def library_versions() -> dict[str, str]:
    """Versions of the libraries that every build uses, for the record."""
    return {name: version(name) for name in LIBRARIES}
