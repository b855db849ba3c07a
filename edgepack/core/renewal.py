"""Files of one folder that are renewed together: all of them are the old ones or all the new ones, whenever a process is killed.

The new files are made in a folder inside, which is renamed once they are on the disk: from then on they are what the folder holds.
Whoever opens the folder next moves those that a kill left there.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from edgepack.core.files import rename_whole, sync

RENEWED, RENEWED_PARTIAL = ".renewed", ".renewed.partial"


def renewed_together(folder: Path, names: Sequence[str], write: Callable[[Path], None]) -> None:
    """`write` fills an empty folder with some of `names`, which then take the place of older ones. Hold the folder's lock."""
    finish_renewal(folder, names)
    fresh = folder / RENEWED_PARTIAL
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        write(fresh)
        rename_whole(fresh, folder / RENEWED)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    finish_renewal(folder, names)
    sync(folder)


def finish_renewal(folder: Path, names: Sequence[str]) -> None:
    """Moves what a killed process had made valid and not yet moved. What is in the way of it stays, and is refused with the rest."""
    fresh = folder / RENEWED
    if fresh.is_symlink() or not fresh.is_dir():
        return
    with suppress(OSError):
        for name in names:
            if (fresh / name).is_file() and not (fresh / name).is_symlink():
                (fresh / name).replace(folder / name)
        fresh.rmdir()
