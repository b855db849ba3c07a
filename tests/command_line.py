"""edgepack as a user runs it: a command in a process of its own, what it says when it refuses, and a report in a terminal."""

import io
import subprocess
import sys

import warm_python
from rich.console import Console

from edgepack.cli.views import report_view


def edgepack(*arguments, cwd=None):
    return subprocess.run([sys.executable, "-m", "edgepack", *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False)


def edgepack_warm(*arguments, cwd=None):
    """The same in a process whose large libraries are loaded already: seconds sooner, where a command trains or exports."""
    return warm_python.run(["-m", "edgepack", *map(str, arguments)], cwd)


def refused(done, says, fix):
    assert done.returncode == 1, done.stderr
    assert says in done.stderr and f"fix: {fix}" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


def in_terminal(report):
    console = Console(width=80, highlight=False, file=io.StringIO())
    console.print(report_view(report, "out"))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]
