"""A pack gets its new reports all or nothing, whenever the process is killed that writes them."""

import shutil
import subprocess
import sys

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.core.renewal import RENEWED, RENEWED_PARTIAL, finish_renewal
from edgepack.pack.manifest import check_files, read_manifest
from edgepack.pipeline.measure import measure_pack

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


@pytest.mark.parametrize("moment", [1, 4, 5, 6, 7, 8, 9, 10, 11, 99])
def test_a_pack_whose_measuring_was_killed_holds_the_old_reports_or_the_new(tmp_path, pack_folder, moment):
    pack = shutil.copytree(pack_folder, tmp_path / "pack")
    old = (pack / "report.md").read_text()
    done = subprocess.run([sys.executable, "-c", RENEW, str(pack), str(moment)], check=False)
    assert done.returncode == (0 if moment == 99 else 9)
    check_files(pack, read_manifest(pack))
    texts = {(pack / name).read_text() == "new" for name in ("report.json", "report.md", "report.html")}
    assert len(texts) == 1 and (texts == {True} or (pack / "report.md").read_text() == old)
    assert not (pack / RENEWED).exists() and (moment < 99 or not (pack / RENEWED_PARTIAL).exists())
    sums = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=pack, capture_output=True, text=True, check=False)
    assert sums.returncode == 0, sums.stderr


# The same for `measure --out FOLDER`, where a report of before may lie.
PLACE = """
import sys
from pathlib import Path
from edgepack.core.reading import read_json_object
from edgepack.report.records import Report
from edgepack.report.write import place_report

report = Report.read(read_json_object(Path(sys.argv[1]) / "report.json"), "report.json")
place_report(Path(sys.argv[3]), report.model_copy(update={"headline": "It is new."}))
"""


@pytest.mark.parametrize("before", ["a report", "nothing", "an empty folder"])
@pytest.mark.parametrize("moment", [1, 3, 5, 6, 7, 8, 9, 99])
def test_a_folder_of_reports_is_the_old_one_or_the_new_one_after_a_kill(tmp_path, pack_folder, moment, before):
    out, names = tmp_path / "out", ("report.json", "report.md", "report.html")
    if before != "nothing":
        out.mkdir()
    if before == "a report":
        (out / "junit.xml").write_text("mine")
        for name in names:
            shutil.copyfile(pack_folder / name, out / name)
    counter = RENEW.partition("pack = ")[0]
    done = subprocess.run([sys.executable, "-c", counter + PLACE, str(pack_folder), str(moment), str(out)], check=False)
    assert done.returncode == (9 if moment < 4 else done.returncode) and (moment < 99 or done.returncode == 0)
    finish_renewal(out, names)  # as whoever reads the report next does
    present = {name for name in names if (out / name).exists()}
    new = {name for name in present if "It is new." in (out / name).read_text()}
    assert present in (set(), set(names)) and new in (set(), present)
    assert before != "a report" or (present == set(names) and (out / "junit.xml").read_text() == "mine")
    again = subprocess.run([sys.executable, "-c", counter + PLACE, str(pack_folder), "9999", str(out)], check=False)
    assert again.returncode == 0 and all("It is new." in (out / name).read_text() for name in names)
    assert {path.name for path in out.iterdir()} == {*names, *(["junit.xml"] if before == "a report" else [])}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_report_is_not_put_into_another_pack(tmp_path, pack_folder):
    other = shutil.copytree(pack_folder, tmp_path / "other")
    with pytest.raises(EdgepackError, match="holds another pack"):
        measure_pack(pack_folder, out=other)
    check_files(other, read_manifest(other))
