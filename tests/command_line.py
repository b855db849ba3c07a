"""edgepack as a user runs it: a command in a process of its own, what it says when it refuses, and a report in a terminal."""

import contextlib
import io
import subprocess
import sys
from unittest.mock import patch

import warm_python
from rich.console import Console

from edgepack.cli.app import _ended
from edgepack.cli.views import report_view


def edgepack(*arguments, cwd=None):
    return subprocess.run([sys.executable, "-m", "edgepack", *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False)


def edgepack_warm(*arguments, cwd=None):
    """The same in a process whose large libraries are loaded already: seconds sooner, where a command trains or exports."""
    return warm_python.run(["-m", "edgepack", *map(str, arguments)], cwd)


def edgepack_here(*arguments, cwd=None):
    """The same in this process, for what does not hang on a process of its own: what it prints, and its exit code."""
    words, out, err = [*map(str, arguments)], io.StringIO(), io.StringIO()
    shown = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with contextlib.chdir(cwd or "."), patch("sys.argv", ["edgepack", *words]), shown[0], shown[1]:
        code = _ended()
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def refused(done, says, fix):
    assert done.returncode == 1, done.stderr
    assert says in done.stderr and f"fix: {fix}" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


def in_terminal(report):
    console = Console(width=80, highlight=False, file=io.StringIO())
    console.print(report_view(report, "out"))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]
