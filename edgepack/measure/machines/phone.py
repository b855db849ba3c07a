"""Starts edgepack's runner on a phone without Python: brings the program and its libraries, and has `app_process` start it.

`app_process` starts every app of Android, and adb's shell may call it. What is brought lies in a folder that goes with the session.
"""

import contextlib
import re
import secrets
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar
from edgepack.measure.machines.java_board import LIBRARIES, MAIN, PROGRAM, JavaBoard, parts_of
from edgepack.measure.machines.session import Pipe
from edgepack.measure.machines.targets import Target

_MARK = "edgepack-target.json"  # as targets/store.py calls it: what has none is never removed there
_CLEAN_UP_S = 20.0
_ABI = re.compile(r"[a-z0-9][a-z0-9_-]{1,30}")
_JDK, _GRADLE = "17", "8.13"  # of the Android Gradle plugin that the runner's project names: ship/published.toml


class Shell(Protocol):
    """The phone's. ran: a command's exit code and what it printed, where `content` is its standard input. pipe: a command to talk to."""

    def ran(self, command: str, content: Path | None = None, wait_s: float = ...) -> tuple[int, str]: ...

    def pipe(self, command: str) -> contextlib.AbstractContextManager[Pipe]: ...


def has_program(shell: Shell, name: str) -> bool:
    return shell.ran(f"command -v {shlex.quote(name)}")[0] == 0


@contextlib.contextmanager
def opened_by_java(target: Target, shell: Shell) -> Iterator[JavaBoard]:
    """A session with the runner of `target`. EdgepackError: it is not built yet, or is not for this phone, or has no room there."""
    runner = Path(target.runner or "")
    if not runner.is_file():
        raise EdgepackError(f"{target.name} has no {target.python}, and edgepack's runner for phones is not built", _way_to_build(runner))
    session = secrets.token_hex(8)
    try:
        _bring(target, shell, runner, session)
        with shell.pipe(_start(target, session)) as pipe:
            yield JavaBoard(target, pipe)
    finally:  # the runner removes its folder when it ends; one that never began, was killed or hangs does not
        with contextlib.suppress(EdgepackError):  # the phone may be gone: the next session's runner removes what is left
            shell.ran(_clean_up(target, session), wait_s=_CLEAN_UP_S)


def _way_to_build(runner: Path) -> str:
    project = next((folder for folder in runner.parents if (folder / "settings.gradle.kts").is_file()), None)
    if project is None:
        return f"no file {runner}: give `runner` in targets.toml the path of one, or leave it out"
    return (
        f"build it once: gradle -p {shlex.quote(str(project))} assembleRelease, and start again. It needs Android's SDK, "
        f"which ANDROID_HOME names, JDK {_JDK}, and Gradle 8 from {_GRADLE} on. Or name a Python that adb's shell can start in "
        "targets.toml, as python = ..."
    )


def _bring(target: Target, shell: Shell, runner: Path, session: str) -> None:
    fresh = _fresh(target, session)
    code, printed = shell.ran("getprop ro.product.cpu.abi")
    abi = printed.strip()
    if code or not _ABI.fullmatch(abi):
        raise EdgepackError(f"{target.name} does not name its kind of processor: getprop gave {abi[:40]!r}", "is it a phone with Android?")
    with tempfile.TemporaryDirectory() as place:
        parts = parts_of(runner, abi, Path(place))
        size_mb = sum(path.stat().st_size for _, path in parts) / 1e6
        libraries, mark = (shlex.quote(f"{fresh}/{name}") for name in (LIBRARIES, _MARK))
        _checked(target, shell.ran(f'umask 077; mkdir -p {libraries} && echo \'{{"session": "{session}"}}\' > {mark}'), fresh)
        with bar(f"push the runner to {target.name}", size_mb) as progress:
            for name, path in parts:
                goal, mode = shlex.quote(f"{fresh}/{name}"), "400" if name == PROGRAM else "500"
                command = f"cat > {goal} && chmod {mode} {goal}"
                _checked(target, shell.ran(command, path), fresh)
                progress.advance(path.stat().st_size / 1e6)


def _checked(target: Target, result: tuple[int, str], place: str) -> None:
    code, printed = result
    if code:
        reason = (printed.strip().splitlines() or [f"exit code {code}"])[-1]
        raise EdgepackError(
            f"{target.name} does not keep edgepack's runner in {place}: {reason}",
            f"free some space there, or set another folder for {target.name} in targets.toml",
        )


def _fresh(target: Target, session: str) -> str:
    return f"{target.folder}-new-{session}"


def _start(target: Target, session: str) -> str:
    """The shell's own process becomes the runner's, so that the folder's name tells whether that still runs."""
    folder = f"{shlex.quote(target.folder)}-$$-run"
    libraries = f"{folder}/{LIBRARIES}"
    return (
        f"mv {shlex.quote(_fresh(target, session))} {folder} && cd {folder} && "
        f"export CLASSPATH={folder}/{PROGRAM} LD_LIBRARY_PATH={libraries} ADSP_LIBRARY_PATH={libraries} && "  # where QNN's other half lies
        f"unset OMP_NUM_THREADS; exec app_process / {MAIN} {folder}"
    )


def _clean_up(target: Target, session: str) -> str:
    """Ends this session's runner and removes its folder, which is told by its mark. It needs no program but rm."""
    return (
        f"rm -rf {shlex.quote(_fresh(target, session))}; for folder in {shlex.quote(target.folder)}-*-run; do "
        f'if read -r mark 2>/dev/null < "$folder/{_MARK}"; then case "$mark" in *{session}*) '
        'process="${folder%-run}"; process="${process##*-}"; '
        '[ "/proc/$process/cwd" -ef "$folder" ] && kill -9 "$process"; '  # no other process that has its number by now
        'rm -rf "$folder";; esac; fi; done'
    )
