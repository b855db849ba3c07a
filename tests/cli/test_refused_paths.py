"""A path that the system refuses is a mistake to correct, whichever command it was given to."""

import os
import sys

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
