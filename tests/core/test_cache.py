"""What comes out of the cache is what went in, or it is made again."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgepack.cli.app import app
from edgepack.core.cache import RECORD_FILE, cache_folder, key_of, run_once, stage
from edgepack.core.errors import EdgepackError
from edgepack.core.files import expanded
from edgepack.core.host import home_folder
from edgepack.core.records import Frozen
from edgepack.measure.machines import npm
from edgepack.measure.machines.runtimes_apart import runtime_apart
from edgepack.measure.machines.transports.local import Here
from edgepack.model.source import find_model
from edgepack.ship.jvm.runner import find_package


def make_result(root, key="key"):
    """The stage's folder and record; the record says how often the work was done."""
    with stage(root, key) as place:
        if not place.is_finished:
            (place.folder / "weights").mkdir()
            (place.folder / "weights" / "model.bin").write_bytes(bytes(range(100)))
            place.record = {"score": 0.5, "pid": os.getpid(), "times": len(list((root / "done").iterdir()))}
            (root / "done" / str(place.record["times"])).touch()
    return place.folder, place.record


@pytest.fixture
def root(tmp_path):
    (tmp_path / "done").mkdir()
    return tmp_path


def times(root):
    return len(list((root / "done").iterdir()))


def test_a_stage_is_made_once_and_found_again(root):
    first, second = make_result(root), make_result(root)
    assert first == second and times(root) == 1
    assert (first[0] / "weights" / "model.bin").is_file() and list((root / "unfinished").iterdir()) == []
    make_result(root, "other")
    assert times(root) == 2


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit_score(path):
    path.write_text(path.read_text().replace("0.5", "0.99"))


DAMAGES = {
    "a flipped bit in a file": lambda folder: flip(folder / "weights" / "model.bin"),
    "a file that is gone": lambda folder: (folder / "weights" / "model.bin").unlink(),
    "a file that was cut": lambda folder: (folder / "weights" / "model.bin").write_bytes(b"short"),
    "a file that nobody made": lambda folder: (folder / "weights" / "model.safetensors.index.json").write_text("{}"),
    "a link in place of a file": lambda folder: linked(folder / "weights" / "model.bin"),
    "a score that was edited": lambda folder: edit_score(folder / RECORD_FILE),
    "a record that was cut": lambda folder: (folder / RECORD_FILE).write_text((folder / RECORD_FILE).read_text()[:40]),
    "a record that is not an object": lambda folder: (folder / RECORD_FILE).write_text("[]"),
    "a record that is gone": lambda folder: (folder / RECORD_FILE).unlink(),
}


def linked(path):
    other = path.parent.parent.parent.parent / "elsewhere"
    path.rename(other)
    path.symlink_to(other)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_said_and_made_again(root, damage, capsys):
    folder, _ = make_result(root)
    DAMAGES[damage](folder)
    again, record = make_result(root)
    assert times(root) == 2 and again == folder and record["score"] == 0.5
    assert (folder / "weights" / "model.bin").read_bytes() == bytes(range(100))
    assert "damaged, so its stage runs again" in capsys.readouterr().err
    make_result(root)
    assert times(root) == 2


def test_what_a_runtime_leaves_in_a_hidden_folder_is_no_part_of_a_result(root):
    folder, _ = make_result(root)
    (folder / ".weight-cache").mkdir()
    (folder / ".weight-cache" / "packed").touch()
    make_result(root)
    assert times(root) == 1


def test_work_that_fails_leaves_no_result_and_keeps_what_it_can_go_on_from(root):
    def work(folder, resume):
        (folder / "half").touch()
        (resume / "checkpoint").touch()
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        run_once(root, "key", work)
    assert not (root / "stages").exists() and (root / "unfinished" / "key" / "resume" / "checkpoint").is_file()
    folder, record = run_once(
        root, "key", lambda folder, resume: {"resumed": (resume / "checkpoint").is_file(), "half": (folder / "half").exists()}
    )
    assert record == {"resumed": True, "half": False}
    assert json.loads((folder / RECORD_FILE).read_text())["record"] == record


def test_a_folder_in_use_may_grow_but_its_own_files_are_checked(root):
    output = []

    def work(folder, resume):
        output.append(folder)
        (folder / "program").write_text("real")
        return {}

    folder, _ = run_once(root, "system", work)
    (folder / "written-later").touch()
    run_once(root, "system", work)
    assert len(output) == 1


class Inputs(Frozen):
    stage: str
    seed: int | None = None


def test_a_key_is_the_hash_of_its_record():
    assert key_of(Inputs(stage="a")) == key_of(Inputs(stage="a"))
    assert len({key_of(Inputs(stage="a")), key_of(Inputs(stage="b")), key_of(Inputs(stage="a", seed=0))}) == 3


@pytest.fixture
def no_home(monkeypatch):
    """As a container with a user of its own number: no HOME, and no entry in the list of users."""
    for name in ("HOME", "XDG_CACHE_HOME", "EDGEPACK_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])


def test_a_user_without_a_home_folder_is_told_how_to_name_a_cache(no_home, monkeypatch, tmp_path):
    for ask in (cache_folder, lambda: npm.check_fetchable("onnxruntime-web"), lambda: runtime_apart("tflite-runtime", Here().facts)):
        with pytest.raises(EdgepackError, match="no home folder") as error:
            ask()
        assert "EDGEPACK_CACHE" in error.value.fix and "--cache" in error.value.fix
    result = CliRunner().invoke(app, ["target", "check", "qemu://cortex-a72"])
    assert isinstance(result.exception, EdgepackError | SystemExit), result.exception
    assert cache_folder(str(tmp_path)) == tmp_path
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "stated"))
    assert cache_folder() == tmp_path / "stated"


@pytest.mark.parametrize("path", ["~/model", "~nobody-of-this-name/model"])
def test_a_home_folder_that_nobody_knows_is_a_folder_that_is_not_there(no_home, path, monkeypatch):
    assert expanded(path) == Path(path) and home_folder() is None and find_package("com.microsoft:x", "1") is None
    with pytest.raises(EdgepackError):
        find_model(path)
