"""Folders that all tests of a session share, made once, whichever of its workers asks first."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def of_all_workers(tmp_path_factory, name: str) -> Path:
    """A folder that all workers of a session share: edgepack's own locks have them wait for one another."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name


def made_once(tmp_path_factory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make(folder)` fills, in the first of a session's workers that asks for it. What a failed one left goes."""
    folder = of_all_workers(tmp_path_factory, name)
    whole = folder.with_name(f"{name}.whole")
    with FileLock(f"{folder}.lock"):
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            whole.touch()
    return folder
