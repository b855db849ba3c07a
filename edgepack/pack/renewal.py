"""A pack gets new reports all or nothing: they and the new pack.json become valid by one rename, whenever a process is killed.

The new files are made in a folder inside the pack, which is renamed once they are on the disk: from then on they are what the pack
holds. Whoever reads the pack next moves those that a kill left there.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.files import rename_whole, sync
from edgepack.core.locks import only_one
from edgepack.pack.manifest import (
    MANIFEST_FILE,
    RENEWED,
    RENEWED_PARTIAL,
    REPORT_FILES,
    Manifest,
    finish_renewal,
    sealed_text,
)


def renew(folder: Path, manifest: Manifest, write: Callable[[Path], None]) -> Manifest:
    """The pack in `folder` with the report files that `write` makes in an empty folder, sealed anew.

    EdgepackError where another process has the pack in its hands.
    """
    with only_one(folder, "the pack", "wait for it, or write the report elsewhere with --out"):
        finish_renewal(folder)
        fresh = folder / RENEWED_PARTIAL
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        try:
            write(fresh)
            strange = sorted(path.name for path in fresh.iterdir() if path.name not in REPORT_FILES)
            if strange:
                raise EdgepackError(f"{strange[0]} is no file of a report", f"write one of: {', '.join(REPORT_FILES)}")
            sealed, text = sealed_text(folder, manifest, fresh)
            (fresh / MANIFEST_FILE).write_text(text, encoding="utf-8")
            rename_whole(fresh, folder / RENEWED)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        finish_renewal(folder)
        sync(folder)
        return sealed
