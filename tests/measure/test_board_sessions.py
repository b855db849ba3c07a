"""A set-up on a board is there whole or not at all, whoever is killed, and two sessions do not touch one another's."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TARGETS = Path(__file__).parent.parent.parent / "targets"


class Session:
    """targets/board.py at the end of a pipe, as a transport starts it, with a home folder of its own."""

    def __init__(self, home: Path) -> None:
        environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(TARGETS)}
        command = [sys.executable, "-c", "import board; board.main()"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.process.stdin.write(json.dumps({"folder": ".edgepack"}).encode() + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"edgepack is here\n"

    def start(self, do, **more):
        self.process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, do, **more):
        self.start(do, **more)
        return json.loads(self.process.stdout.read(int(self.process.stdout.readline())))

    def end(self, how=None):
        if how:
            self.process.send_signal(how)
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def is_set_up(home):
    session = Session(home)
    result = session.ask("facts", packages=[])
    session.end()
    return result["is_set_up"]


def finish(session):
    return session.ask("unpack", wheels=[], module="json", packages=[])


def test_a_set_up_counts_from_its_last_step_on(tmp_path):
    session = Session(tmp_path)
    assert session.ask("set_up") is True and not is_set_up(tmp_path)
    assert finish(session) == {}
    session.end()
    assert is_set_up(tmp_path) and sorted(path.name for path in (tmp_path / ".edgepack").iterdir()) == [
        "edgepack-target.json",
        "store",
        "venv",
    ]


def test_a_session_that_is_killed_before_its_last_step_leaves_what_the_next_one_removes(tmp_path):
    session = Session(tmp_path)
    session.ask("set_up")
    session.end(signal.SIGKILL)
    assert (tmp_path / ".edgepack").exists() and not is_set_up(tmp_path) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("after_ms", [5, 60])
def test_a_session_that_is_killed_at_any_moment_is_followed_by_one_that_ends_well(tmp_path, after_ms):
    session = Session(tmp_path)
    session.start("set_up")
    time.sleep(after_ms / 1e3)
    session.end(signal.SIGKILL)
    again = Session(tmp_path)
    assert again.ask("set_up") is True and finish(again) == {}
    again.end()
    assert is_set_up(tmp_path)


def test_a_second_session_is_told_and_neither_sets_up_nor_removes(tmp_path):
    first, second = Session(tmp_path), Session(tmp_path)
    first.ask("set_up")
    assert "is being set up by another session" in second.ask("set_up")["error"]
    assert "is being set up by another session" in second.ask("remove")["error"]
    second.end()
    assert finish(first) == {}
    first.end()
    assert is_set_up(tmp_path)


def test_what_replaces_a_set_up_is_whole_or_leaves_none(tmp_path):
    session = Session(tmp_path)
    session.ask("set_up"), finish(session), session.end()
    session = Session(tmp_path)
    session.ask("set_up")
    session.end(signal.SIGKILL)
    assert not is_set_up(tmp_path) and list(tmp_path.iterdir()) == []


def test_what_is_not_edgepacks_stays(tmp_path):
    (tmp_path / ".edgepack").mkdir()
    (tmp_path / ".edgepack" / "mine").touch()
    session = Session(tmp_path)
    assert "not made by edgepack" in session.ask("set_up")["error"] and "not made by edgepack" in session.ask("remove")["error"]
    session.end()
    assert [path.name for path in (tmp_path / ".edgepack").iterdir()] == ["mine"]
