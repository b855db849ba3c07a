"""An aarch64 board for tests: sshd, shell, Python and all else of Debian's arm64 packages, under qemu-user, behind a port on loopback.

It needs neither a package of another architecture here nor root, and leaves nothing: see emulated_namespace.py.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import emulated_namespace
import pytest
from boards import Board, wait_for, write_config, write_keys

from edgepack.core.cache import run_once
from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.debian_packages import download, unpack
from edgepack.measure.machines.emulated_cpus import find_cpu
from edgepack.measure.machines.emulated_guest import system_files
from edgepack.measure.machines.emulated_root import roots_folder

_PACKAGES = (
    "openssh-server", "dash", "coreutils", "python3-minimal", "libpython3-stdlib", "libstdc++6", "libgomp1", "libgcc-s1", "zlib1g",
)  # fmt: skip
_CPU = find_cpu("qemu://cortex-a72")
_HOME = "home/pi"
_ETC = {"passwd": "pi:x:1000:1000::/home/pi:/bin/sh\n", "group": "pi:x:1000:\n"}
_OF_THE_EMULATOR = [name for name in ("lib64", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu") if Path("/", name).is_dir()]
_PLACES = ("dev", "proc", "sys", "tmp", "run/sshd", _HOME)


def board_root(cache: Path) -> Path:
    """From the cache, or made now. EdgepackError where the packages cannot be fetched."""

    def work(folder: Path, resume: Path) -> dict[str, str]:
        unpack(download("aarch64", _PACKAGES, resume), folder)
        for name in (*_PLACES, *_OF_THE_EMULATOR):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, text in _ETC.items():
            (folder / "etc" / name).write_text(text)
        for name, text in system_files(_CPU).items():
            (folder / "shown" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "shown" / name).write_text(text)
        return {}

    return run_once(roots_folder(str(cache)), "board-of-tests", work)[0]


@contextlib.contextmanager
def emulated_board(cache: Path, place: Path):
    """A Board whose /proc/cpuinfo is a Cortex-A72's, as newer emulators show it. Skips, with a reason, where it cannot be."""
    if os.uname().machine != "x86_64" or shutil.which(_CPU.emulator) is None:
        pytest.skip("no emulated aarch64 board: it needs an x86-64 machine with qemu: apt-get install qemu-user")
    try:
        root = board_root(cache)
    except EdgepackError as error:
        pytest.skip(f"no packages for an aarch64 board: {error.problem}")
    home = place / "home"
    for folder in (home, place / "tmp"):
        folder.mkdir()
    write_keys(home)
    port = write_config(home, Path("/", _HOME), (f"SetEnv QEMU_CPU={_CPU.model}",))  # qemu's own choice answers wrongly in int8
    shown = {name: f"/{name}" for name in (*_OF_THE_EMULATOR, "dev")}
    shown |= {_HOME: str(home), "tmp": str(place / "tmp"), "sys": str(root / "shown/sys"), "proc/cpuinfo": str(root / "shown/proc/cpuinfo")}
    job = {
        "root": str(root),
        "emulator": os.path.realpath(shutil.which(_CPU.emulator)),
        "shown": shown,
        "command": ["/usr/sbin/sshd", "-D", "-e", "-f", f"/{_HOME}/config"],
        "environment": {"PATH": "/usr/bin:/bin"},
    }
    board = Board(home, port)
    board.address, board.folder = f"ssh://pi@127.0.0.1:{port}", home / ".edgepack"
    with board.log.open("w") as log:
        server = subprocess.Popen([sys.executable, emulated_namespace.__file__, json.dumps(job)], stderr=log, stdin=subprocess.DEVNULL)
        try:
            with contextlib.suppress(RuntimeError):
                wait_for(port, server, board.log, at_most_s=60)
            if server.poll() == emulated_namespace.FORBIDDEN:
                pytest.skip(f"no emulation in namespaces of one's own here: {board.log.read_text().strip()}")
            wait_for(port, server, board.log)
            yield board
        finally:
            server.terminate()
            server.wait()
