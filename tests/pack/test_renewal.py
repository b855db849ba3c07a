"""A pack gets its new reports all or nothing, whenever the process is killed that writes them."""

import shutil
import subprocess
import sys

import pytest

from edgepack.pack.manifest import RENEWED, RENEWED_PARTIAL, check_files, read_manifest

# Ends the process, as a kill does, at the n-th change of the file system.
RENEW = """
import os, sys
from pathlib import Path
from edgepack.pack import manifest as room
from edgepack.pack.renewal import renew

left = int(sys.argv[2])
def counted(act):
    def acts(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return act(*arguments, **named)
    return acts
for name in ("rename", "replace", "mkdir", "rmdir", "write_text"):
    setattr(Path, name, counted(getattr(Path, name)))
pack = Path(sys.argv[1])
renew(pack, room.read_manifest(pack), lambda folder: [(folder / name).write_text("new") for name in room.REPORT_FILES])
"""


@pytest.mark.parametrize("moment", [1, 4, 5, 6, 7, 8, 9, 99])
def test_a_pack_whose_measuring_was_killed_holds_the_old_reports_or_the_new(tmp_path, pack_folder, moment):
    pack = shutil.copytree(pack_folder, tmp_path / "pack")
    old = (pack / "report.md").read_text()
    done = subprocess.run([sys.executable, "-c", RENEW, str(pack), str(moment)], check=False)
    assert done.returncode == (0 if moment == 99 else 9)
    check_files(pack, read_manifest(pack))
    texts = {(pack / name).read_text() == "new" for name in ("report.json", "report.md", "report.html")}
    assert len(texts) == 1 and (texts == {True} or (pack / "report.md").read_text() == old)
    assert not (pack / RENEWED).exists() and (moment < 99 or not (pack / RENEWED_PARTIAL).exists())
