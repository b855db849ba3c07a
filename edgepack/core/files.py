"""Files that are there whole or not at all: written beside their place, synced to the disk, then renamed. Hashes of files."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgepack.core.errors import EdgepackError


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, after a power cut too."""
    fresh = path.with_name(f".{path.name}.partial")
    fresh.write_text(text, encoding="utf-8")
    sync(fresh)
    fresh.replace(path)
    sync(path.parent)


@contextmanager
def written_whole(out: Path) -> Iterator[Path]:
    """A folder to fill; it becomes `out` when the block ends well, and vanishes when it does not."""
    partial = out.parent / f".{out.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)  # left by a build that was killed
    partial.mkdir(parents=True)
    try:
        yield partial
        rename_whole(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def rename_whole(folder: Path, place: Path) -> None:
    """Renames a folder after all that is in it has reached the disk; the new name reaches it before this returns."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            sync(path)
    sync(folder)
    folder.rename(place)
    sync(place.parent)


def sync(path: Path) -> None:
    """Returns when the file, or the list of a folder's names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_output(out: Path) -> None:
    """EdgepackError where `out` holds anything: nothing is ever overwritten."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EdgepackError(f"output is not empty: {str(out)!r}", "choose another --out, or remove it first")


def check_disk(folder: Path, needed_mb: float, what: str) -> None:
    """EdgepackError where the disk that will hold `folder` has less than `needed_mb` free."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free_mb = shutil.disk_usage(existing).free / 1e6
    if free_mb < needed_mb:
        raise EdgepackError(
            f"not enough disk for {what} in {str(existing)!r}: {free_mb:.0f} MB free, about {needed_mb:.0f} MB needed",
            "free some space, or point --out and --cache to another disk",
        )


@contextmanager
def disk_full_is_said() -> Iterator[None]:
    """A disk that fills up while the block runs is the user's to mend, whichever library noticed it."""
    try:
        yield
    except EdgepackError:
        raise
    except Exception as error:  # torch, safetensors, onnxruntime and the system each have a class of their own for it
        if "no space left on device" not in str(error).lower():
            raise
        raise EdgepackError(
            "the disk is full: what was not finished is gone, what was finished stays in the cache",
            "free some space, or point --out and --cache to another disk, and run the same command again",
        ) from error
