"""An --out that is a link lands where it leads, and one that nothing can take the place of is refused before the work."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from command_line import edgepack_here, refused

from edgepack.core.errors import EdgepackError
from edgepack.core.files import check_output, written_whole
from edgepack.core.locks import only_one


@pytest.fixture(params=["to a folder", "to nothing"])
def link(request, tmp_path):
    link, real = tmp_path / "link", tmp_path / "disk" / "real"
    real.parent.mkdir()
    if request.param == "to a folder":
        real.mkdir()
    link.symlink_to(real)
    return link


def assert_holds(link, name):
    assert link.is_symlink() and (link.readlink() / name).is_file()
    assert sorted(path.name for path in link.parent.iterdir()) == ["disk", "link"]
    assert [path.name for path in link.readlink().parent.iterdir()] == ["real"]


def test_what_is_written_whole_lands_where_a_link_leads(link):
    check_output(link)
    with written_whole(link) as folder:
        (folder / "file").touch()
    assert_holds(link, "file")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("ship", "PACK", "--for", "python"), "ship.json"),
        (("measure", "PACK", "--on", "null://"), "report.json"),
        (("compare", "PACK", "COPY", "--quick"), "comparison.json"),
    ],
)
def test_a_command_lands_where_a_link_leads(command, name, link, pack_folder, tmp_path_factory):
    copy = tmp_path_factory.mktemp("other") / "pack"
    shutil.copytree(pack_folder, copy)
    done = edgepack_here(*({"PACK": pack_folder, "COPY": copy}.get(word, word) for word in command), "--out", link)
    assert done.returncode == 0, done.stderr
    assert_holds(link, name)


def test_two_links_to_one_folder_are_one_place(link, tmp_path):
    holder = f"from pathlib import Path; from edgepack.core.locks import only_one; only_one(Path({str(link)!r}), 'it').__enter__()"
    with only_one(link.readlink(), "the output"):
        done = subprocess.run([sys.executable, "-c", holder], capture_output=True, text=True, check=False)
    assert f"in use by another edgepack (process {os.getpid()})" in done.stderr


def test_a_link_that_leads_to_itself_is_refused(tmp_path):
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    with pytest.raises(EdgepackError, match="leads round in a circle"):
        check_output(tmp_path / "one")


MOUNTED = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh")


@pytest.fixture
def mounted(tmp_path):
    """Starts a command beside a folder of the same disk that is mounted, as a container's volume is."""
    disk, place = tmp_path / "disk", tmp_path / "with a blank"
    disk.mkdir()
    place.mkdir()

    def run(*command):
        return subprocess.run([*MOUNTED, disk, place, *map(str, command)], capture_output=True, text=True, check=False)

    try:
        works = run("true").returncode == 0
    except FileNotFoundError:
        works = False
    if not works:
        pytest.skip("no folder can be mounted here")
    return run, disk, place


EDGEPACK = (sys.executable, "-m", "edgepack")


def test_a_module_is_not_written_in_place_of_a_mounted_folder_but_inside_it(mounted, pack_folder):
    run, disk, place = mounted
    command = (*EDGEPACK, "ship", pack_folder, "--for", "python", "--out")
    refused(run(*command, place), "where a disk or a volume is mounted", f"name a new folder inside it: --out '{place}/pack'")
    assert list(disk.iterdir()) == []
    assert run(*command, place / "pack").returncode == 0 and (disk / "pack" / "ship.json").is_file()


@pytest.mark.slow
def test_a_report_is_written_into_a_mounted_folder(mounted, pack_folder):
    run, disk, place = mounted
    done = run(*EDGEPACK, "measure", pack_folder, "--on", "null://", "--out", place)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in disk.iterdir()) == ["report.html", "report.json", "report.md"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of other systems are other ones")
def test_an_empty_folder_of_ones_own_in_anothers_is_refused_for_a_pack():
    is_root = os.geteuid() == 0  # for whom nothing is closed
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        out.mkdir()
        out.chmod(0o777)
        Path(place).chmod(0o555)
        try:
            if is_root:
                os.seteuid(65534)
            with pytest.raises(EdgepackError, match="cannot write beside"):
                check_output(out)
        finally:
            if is_root:
                os.seteuid(0)
            Path(place).chmod(0o755)
