"""A job's process on a board: it dies with the session that started it, and so do all that it started. Standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess

_DROPPED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH", "PYTHONSTARTUP")  # they would change threads and imports

try:
    _LIBC = ctypes.CDLL(None)
except (OSError, TypeError):
    _LIBC = None


def started(command) -> subprocess.Popen:
    """Its output is kept in pipes; it is asked for nothing."""
    environment = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  it calls one function of C, and dies with us also where we are killed
        env=dict(environment, PYTHONDONTWRITEBYTECODE="1"),
    )  # fmt: skip


def kill(process) -> None:
    """Nothing where there is none, or where it has ended."""
    if process is not None and process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _die_with_parent() -> None:
    """prctl(PR_SET_PDEATHSIG, SIGKILL): also where this process is killed in a way that lets it clean nothing up."""
    if _LIBC is not None and hasattr(_LIBC, "prctl"):
        _LIBC.prctl(1, signal.SIGKILL)
