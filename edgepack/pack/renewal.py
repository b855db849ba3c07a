"""Writes a pack's new reports all or nothing: one rename makes them and the new pack.json valid, even if a process is killed."""

from collections.abc import Callable
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.locks import only_one
from edgepack.core.renewal import renewed_together
from edgepack.pack.manifest import MANIFEST_FILE, RENEWED_FILES, REPORT_FILES, SUMS_FILE, Manifest, finish_pack, sealed_text, sums_of


def renew(folder: Path, manifest: Manifest, write: Callable[[Path], None]) -> Manifest:
    """The pack in `folder` with the report files that `write` makes in an empty folder, sealed anew.

    EdgepackError where another process has the pack in its hands.
    """
    sealed = manifest

    def write_all(fresh: Path) -> None:
        nonlocal sealed
        write(fresh)
        strange = sorted(path.name for path in fresh.iterdir() if path.name not in REPORT_FILES)
        if strange:
            raise EdgepackError(f"{strange[0]} is not a file of a report", f"write one of: {', '.join(REPORT_FILES)}")
        sealed, text = sealed_text(folder, manifest, fresh)
        (fresh / MANIFEST_FILE).write_text(text, encoding="utf-8")
        (fresh / SUMS_FILE).write_text(sums_of(sealed, text.encode()), encoding="utf-8")

    with only_one(folder, "the pack", "wait for it, or write the report elsewhere with --out"):
        finish_pack(folder)
        renewed_together(folder, RENEWED_FILES, write_all)
    return sealed
