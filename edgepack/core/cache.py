"""Content-addressed cache of finished stages: what a stage made is found by everything that it was made from."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock

from edgepack.core.distributed import agreed, is_first, world_size
from edgepack.core.errors import EdgepackError

_RECORD_FILE = "record.json"
LIBRARIES = ("edgepack", "torch", "transformers", "tokenizers", "onnx", "onnxruntime", "onnxscript", "onnxslim", "numpy")

Work = Callable[[Path, Path], dict[str, Any]]


def cache_folder(wished: str | None = None) -> Path:
    """`--cache`, or $EDGEPACK_CACHE, or edgepack's folder in the user's cache."""
    if wished or os.environ.get("EDGEPACK_CACHE"):
        return Path(wished or os.environ["EDGEPACK_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgepack"


def stage_key(parents: tuple[str, ...], settings: Mapping[str, Any]) -> str:
    """A name for a stage's result: its inputs, its settings, the libraries and the code that will make it."""
    whole = {"parents": parents, "settings": settings, "libraries": library_versions(), "code": _code_digest()}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:24]


def run_once(root: Path, key: str, work: Work) -> tuple[Path, dict[str, Any]]:
    """The folder and record of a stage: from the cache, or made now by `work(folder, resume)`, which returns the record.

    `folder` appears in the cache whole or not at all. `resume` survives a kill until the stage is finished. A second
    process that wants the same stage waits for the first. Processes of one torchrun work together, and the first writes.
    """
    finished = root / "stages" / key
    if world_size() > 1:
        return _run_together(root, key, work)
    if not (finished / _RECORD_FILE).is_file():
        _make_folder(root / "locks")
        with FileLock(root / "locks" / key):
            if not (finished / _RECORD_FILE).is_file():
                _make(root / "unfinished" / key, finished, work)
    return finished, json.loads((finished / _RECORD_FILE).read_text())


def _run_together(root: Path, key: str, work: Work) -> tuple[Path, dict[str, Any]]:
    """Every process is called to the work, for a training needs them all; what any but the first made is thrown away."""
    finished, unfinished = root / "stages" / key, root / "unfinished" / key
    _make_folder(root / "locks")
    with FileLock(root / "locks" / key) if is_first() else nullcontext():
        if not agreed((finished / _RECORD_FILE).is_file()):
            if is_first():
                _prepare(unfinished)
            agreed(True)
            if is_first():
                record = work(unfinished / "made", unfinished / "resume")
            else:
                with tempfile.TemporaryDirectory() as scratch:
                    work(Path(scratch), unfinished / "resume")
            agreed(True)
            if is_first():
                _finish(unfinished, finished, record)
            agreed(True)
    return finished, json.loads((finished / _RECORD_FILE).read_text())


def _make(unfinished: Path, finished: Path, work: Work) -> None:
    _prepare(unfinished)
    _finish(unfinished, finished, work(unfinished / "made", unfinished / "resume"))


def _prepare(unfinished: Path) -> None:
    shutil.rmtree(unfinished / "made", ignore_errors=True)
    _make_folder(unfinished / "made")
    _make_folder(unfinished / "resume")


def _finish(unfinished: Path, finished: Path, record: dict[str, Any]) -> None:
    made = unfinished / "made"
    (made / _RECORD_FILE).write_text(json.dumps(record, indent=1))
    _make_folder(finished.parent)
    made.rename(finished)
    shutil.rmtree(unfinished, ignore_errors=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgepackError(f"cannot write the cache {folder}: {error.strerror}", "point --cache to a folder that you may write") from None


def library_versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


@cache
def _code_digest() -> str:
    """edgepack's own code that stages run: a changed line makes new results, whatever the version says."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + path.read_bytes())
    return digest.hexdigest()
