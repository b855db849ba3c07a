"""A path that the system refuses is a mistake to correct, whichever command it was given to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgepack.cli import app

LONG = "a" * 5000
COMMANDS = {
    "plan": ["plan", "{path}", "--data", "d", "--profile", "raspberry-pi"],
    "recipe": ["plan", "m", "--data", "d", "--profile", "raspberry-pi", "--recipe", "{path}"],
    "profile": ["plan", "m", "--data", "d", "--profile", "{path}.toml"],
    "verify": ["verify", "{path}"],
    "compare": ["compare", "{path}", "{path}"],
    "ship": ["ship", "{path}", "--for", "python", "--out", "out"],
    "generate": ["generate", "{path}", "hello"],
    "targets": ["target", "check", "board", "--targets", "{path}"],
}


def ended(path, name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["edgepack", *(word.format(path=path) for word in COMMANDS[name])])
    code, shown = app._ended(), capsys.readouterr().err
    assert code == 1 and "fix: " in shown and "Traceback" not in shown and len(shown) < 1000
    return shown


@pytest.mark.parametrize("name", COMMANDS)
def test_a_name_that_is_too_long_is_refused(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ended(LONG, name, capsys, monkeypatch)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions of other systems are other ones")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_is_closed_is_refused(name, tmp_path, monkeypatch, capsys):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    monkeypatch.chdir(tmp_path)
    is_root = os.geteuid() == 0  # for whom nothing is closed
    try:
        if is_root:
            os.seteuid(65534)
        ended(closed / "within", name, capsys, monkeypatch)
    finally:
        if is_root:
            os.seteuid(0)
        closed.chmod(0o700)


def test_what_fails_for_another_reason_keeps_its_traceback(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise OSError(5, "Input/output error", "disk")

    monkeypatch.setattr(app, "app", broken)
    with pytest.raises(OSError, match="disk"):
        app._ended()


def test_a_file_that_is_missing_is_refused_where_the_user_named_it_and_a_fault_where_not(tmp_path, monkeypatch, capsys):
    def missing(*_, **__):
        (tmp_path / "pack" / "file").open()

    monkeypatch.setattr(app, "app", missing)
    for word in (tmp_path / "pack", f"--out={tmp_path / 'pack'}"):
        monkeypatch.setattr(sys, "argv", ["edgepack", "verify", str(word)])
        assert app._ended() == 1 and "the system refuses it: No such file" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["edgepack", "verify", str(tmp_path / "another")])
    with pytest.raises(FileNotFoundError):
        app._ended()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("arguments", [("profiles",), ("profiles", "--json"), ("--version",)])
def test_an_output_that_is_full_is_one_error(arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "edgepack", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and done.stderr.splitlines() == [
        "edgepack: a file or the output cannot be written: No space left on device", "  fix: free some space, or write to another disk",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("nowhere/junit.xml", "the folder for --junit"),
        (".", "names a folder"),
        ("/dev/null", "names a device"),
        ("file/x.xml", "not there"),
    ],
)
def test_a_place_for_junit_that_cannot_be_written_is_refused_before_the_measuring(place, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["edgepack", "measure", "no-such-pack", "--junit", place])
    assert app._ended() == 1
    shown = capsys.readouterr().err
    assert says in shown and "fix: " in shown and "Traceback" not in shown
