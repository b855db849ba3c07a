"""Writes files whole or not at all: first beside their place, then synced to the disk, then renamed. Also hashes files."""

import glob
import hashlib
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.host import is_alive
from edgepack.core.locks import only_one


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expanded(path: str) -> Path:
    """With a home folder in the place of its ~; as it is where nobody knows one, so that it is not there."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def hashes_under(folder: Path, without: str) -> dict[str, str]:
    """The sha256 of every file in a folder and in those below it, by its path from there; of all but those of the name `without`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != without)
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def write_json(path: Path, content: object) -> None:
    """As people read it: one value a line, and letters of all languages as they are."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, after a power cut too. Two writers have a file each on the way."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.partial")
    _sweep(path)
    try:
        fresh.write_text(text, encoding="utf-8")
        sync(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    sync(path.parent)


def _sweep(path: Path) -> None:
    """Removes what killed processes left on the way to this file."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        process = left.name.removesuffix(".partial").rpartition(".")[2]
        if process.isdecimal() and not is_alive(int(process)):
            left.unlink(missing_ok=True)


@contextmanager
def written_whole(out: Path) -> Iterator[Path]:
    """A folder to fill; it becomes `out` when the block ends well, and vanishes when it does not. One process at a time.

    `out` may be an empty folder, which it replaces, or a link, which stays and leads to it.
    """
    out = real_place(out)
    partial = out.parent / f".{out.name}.partial"
    with only_one(out, "the output"):
        shutil.rmtree(partial, ignore_errors=True)  # left by a build that was killed
        partial.mkdir(parents=True)
        try:
            yield partial
            check_output(out)  # nothing but edgepack heeds the lock
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


def real_place(path: Path) -> Path:
    """Where a path leads through all links, whether or not anything is there."""
    return Path(os.path.realpath(path))


def check_output(out: Path) -> None:
    """EdgepackError where `out` holds anything: nothing is ever overwritten. What is written whole takes the place of the folder."""
    check_replaceable(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EdgepackError(f"output is not empty: {str(out)!r}", "choose another --out, or remove it first")


def check_replaceable(out: Path) -> None:
    """EdgepackError where no folder can be renamed to `out`: a place to find before the work, for the renaming is the last of it."""
    place = real_place(out)
    if out.is_dir() and place == Path.cwd():
        raise EdgepackError(f"output is the folder that you are in: {str(out)!r}", "name a new folder with --out")
    if place.is_symlink():
        raise EdgepackError(f"output is a link that leads round in a circle: {str(out)!r}", "name a new folder with --out")
    if out.is_dir() and _is_mount_point(place):
        problem = f"output is where a disk or a volume is mounted, which nothing can replace: {str(out)!r}"
        raise EdgepackError(problem, f"name a new folder inside it: --out {shlex.quote(str(out / 'pack'))}")
    check_writable(place.parent, f"cannot write beside {str(out)!r}", "choose a folder that you may write")


def check_file_place(path: Path, flag: str) -> None:
    """EdgepackError where no file can be written to `path`, which `flag` names: before the work, for the writing is the last of it."""
    place, fix = real_place(path), f"name another file with {flag}"
    if place.exists() and not place.is_file():
        raise EdgepackError(f"{flag} names a {'folder' if place.is_dir() else 'device'}, not a file: {str(path)!r}", fix)
    if not place.parent.is_dir():
        raise EdgepackError(f"the folder for {flag} {str(path)!r} is not there: {str(place.parent)!r}", f"make it first, or {fix}")
    check_writable(place.parent, f"cannot write {flag} {str(path)!r}", fix)


def check_writable(folder: Path, problem: str, fix: str) -> None:
    """EdgepackError where no file can be made in `folder`, or in the nearest folder above it that there is."""
    place = real_place(folder)
    existing = next(parent for parent in (place, *place.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):  # without a name, where the system can: a kill leaves nothing
            pass
    except OSError as error:
        raise EdgepackError(f"{problem}: {error.strerror}", fix) from None


def _is_mount_point(folder: Path) -> bool:
    """Python sees no mounted folder of the same disk, as a container's volume may be one; Linux lists them."""
    if folder.is_mount():
        return True
    listed = str(folder).translate({ord(letter): f"\\{ord(letter):03o}" for letter in "\\ \t\n"})
    try:
        rows = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # another system
        return False
    return any(row.split(" ")[4:5] == [listed] for row in rows)


def check_disk(folder: Path, needed_mb: float, what: str) -> None:
    """EdgepackError where the disk that will hold `folder` has less than `needed_mb` free."""
    place = real_place(folder)
    existing = next(parent for parent in (place, *place.parents) if parent.exists())
    free_mb = shutil.disk_usage(existing).free / 1e6
    if free_mb < needed_mb:
        raise EdgepackError(
            f"not enough disk space for {what} in {str(existing)!r}: {free_mb:.0f} MB free, about {needed_mb:.0f} MB needed",
            "free some space, or point --out and --cache to another disk",
        )


def _is_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says so: optuna hides SQLite's behind its own."""
    while error is not None:
        if any(words in str(error).lower() for words in ("no space left on device", "database or disk is full")):
            return True
        error = error.__cause__
    return False


@contextmanager
def disk_full_is_said() -> Iterator[None]:
    """A disk that fills up while the block runs is the user's to mend, whichever library noticed it."""
    try:
        yield
    except EdgepackError:
        raise
    except Exception as error:  # torch, safetensors, onnxruntime and the system each have a class of their own for it
        if not _is_full_disk(error):
            raise
        raise EdgepackError(
            "the disk is full: unfinished results were removed, finished stages stay in the cache",
            "free some space, or point --out and --cache to another disk, and run the same command again",
        ) from error
