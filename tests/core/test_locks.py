"""One place belongs to one process; a lock dies with its process; what is written is whole, whoever is killed meanwhile."""

import subprocess
import sys
import threading
import time

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.core.files import write_atomically, written_whole
from edgepack.core.locks import only_one

HOLD = (
    "import sys,time;from pathlib import Path;from edgepack.core.locks import only_one\n"
    "with only_one(Path(sys.argv[1]),'the output'):\n print('held',flush=True);time.sleep(60)"
)
WRITE = (
    "import sys;from pathlib import Path;from edgepack.core.files import written_whole\n"
    "with written_whole(Path(sys.argv[1])) as folder:\n (folder/'model').write_text(sys.argv[2]);(folder/'report').write_text(sys.argv[2])"
)


# A process whose child holds its lock for half a second after it was killed, as one does on its way to another program.
DYING = (
    "import os,signal,sys,time;from pathlib import Path;from edgepack.core.locks import only_one\n"
    "with only_one(Path(sys.argv[1]),'the output'):\n"
    " if os.fork() == 0:\n  time.sleep(0.5);os._exit(0)\n"
    " os.kill(os.getpid(), signal.SIGKILL)"
)


def test_a_lock_that_a_killed_process_leaves_to_a_dying_child_is_waited_for(tmp_path):
    assert subprocess.run([sys.executable, "-c", DYING, str(tmp_path / "out")], check=False).returncode == -9
    with only_one(tmp_path / "out", "x"):
        pass


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_told_the_place_and_the_process_of_the_first(tmp_path, holder):
    with (
        pytest.raises(EdgepackError, match=rf"out' is in use by another edgepack \(process {holder.pid}\)"),
        only_one(tmp_path / "out", "x"),
    ):
        pass
    with pytest.raises(EdgepackError, match="in use"), written_whole(tmp_path / "out"):
        pass


def test_a_lock_dies_with_its_process_and_leaves_nothing_once_it_is_let_go(tmp_path, holder):
    holder.kill()
    holder.wait()
    with only_one(tmp_path / "out", "the output"), only_one(tmp_path / "out", "the output"):
        assert (tmp_path / ".out.lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_another_thread_of_the_same_process_is_told_too(tmp_path):
    result = []

    def try_it():
        try:
            with only_one(tmp_path / "out", "the output"):
                result.append("held")
        except EdgepackError as error:
            result.append(error.problem)

    with only_one(tmp_path / "out", "the output"):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert "in use" in result[0]


def test_of_many_that_write_one_place_exactly_one_wins_and_its_files_are_its_own(tmp_path):
    out = tmp_path / "out"
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, str(out), str(name)], stderr=subprocess.PIPE, text=True) for name in range(6)]
    done = [(process.communicate()[1], process.returncode) for process in writers]
    assert sum(code == 0 for _, code in done) == 1
    assert all("in use" in error or "output is not empty" in error for error, code in done if code)
    assert (out / "model").read_text() == (out / "report").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_appears_meanwhile_is_left_alone(tmp_path):
    with pytest.raises(EdgepackError, match="output is not empty"), written_whole(tmp_path / "out") as folder:
        (folder / "model").touch()
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"] and not (tmp_path / ".out.partial").exists()


def test_folders_made_for_a_lock_alone_go_again(tmp_path):
    with only_one(tmp_path / "packs" / "new" / "out", "the output"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_left_on_the_way_to_a_file_is_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".report.json.{dead.pid}.partial").write_text("half")
    write_atomically(tmp_path / "report.json", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_killed_writer_leaves_nothing_that_the_next_one_stumbles_over(tmp_path):
    slow = WRITE.replace("(folder/'report')", "print('at work',flush=True);import time;time.sleep(60);(folder/'report')")
    process = subprocess.Popen([sys.executable, "-c", slow, str(tmp_path / "out"), "1"], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.kill()
    process.communicate()
    assert not (tmp_path / "out").exists()
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", WRITE, str(tmp_path / "out"), "2"], check=True)
    assert time.monotonic() - began < 30
    assert (tmp_path / "out" / "model").read_text() == "2" and [path.name for path in tmp_path.iterdir()] == ["out"]
