"""`make test` leaves out two thirds of the slow tests, and three commits in a row leave out none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from slow_share import SHARE, THIRDS, left_out, third_of, third_of_commit

TESTS = Path(__file__).parent


class Item:
    def __init__(self, number, slow):
        self.nodeid, self.slow = f"tests/test_x.py::test_{number}", slow

    def get_closest_marker(self, name):
        return self.slow and name == "slow"


def test_thirds_are_the_whole_and_everyday_tests_are_in_each():
    items = [Item(number, slow=number % 2) for number in range(600)]
    asked = [[item for item in items if item not in left_out(items, third)] for third in range(THIRDS)]
    assert all(not item.slow or sum(item in each for each in asked) == 1 for item in items)
    assert all(set(asked[0]) - set(each) == {item for item in asked[0] if item.slow} for each in asked[1:])
    assert all(60 < sum(bool(item.slow) for item in each) < 140 for each in asked)
    assert left_out(items, None) == []


def test_all_are_asked_but_where_make_test_says_a_third(monkeypatch, tmp_path):
    monkeypatch.delenv(SHARE, raising=False)
    assert third_of_commit() is None
    monkeypatch.setenv(SHARE, "a third")
    monkeypatch.setattr("slow_share.__file__", str(tmp_path / "slow_share.py"))
    assert third_of_commit() == 0, "no commit is known outside a repository"
    recipe = (TESTS.parent / "Makefile").read_text().partition("\ntest:")[2].partition("\n\n")[0]
    assert f'{SHARE}="a third"' in recipe


@pytest.mark.parametrize("share", ["", "a third"])
def test_pytest_collects_so_many(share, tmp_path):
    """In a repository of three commits."""

    def run(*command, **more):
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, **more).stdout

    (tmp_path / "tests").mkdir()
    for name in ("slow_share.py", "session_folders.py"):
        (tmp_path / "tests" / name).write_text((TESTS / name).read_text())
    (tmp_path / "tests" / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    lines = ["import pytest", *(f"@pytest.mark.slow\ndef test_{number}(): pass" for number in range(30)), "def test_quick(): pass"]
    (tmp_path / "tests" / "test_x.py").write_text("\n".join(lines))
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = tests\nmarkers = slow: x\n")
    run("git", "init", "-q")
    for _ in range(3):
        run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    collected = run(*command, env=os.environ | {SHARE: share})
    names = {line for line in collected.splitlines() if "::" in line}
    expected = {f"tests/test_x.py::test_{number}" for number in range(30)}
    if share:
        expected = {name for name in expected if third_of(name) == 0}
        assert "make test-all" in collected and 4 < len(expected) < 17
    assert names == expected | {"tests/test_x.py::test_quick"}
