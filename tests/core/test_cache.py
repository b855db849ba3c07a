"""What comes out of the cache is what went in, or it is made again."""

import json
import os

import pytest

from edgepack.core.cache import RECORD_FILE, key_of, run_once, stage
from edgepack.core.records import Frozen


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
