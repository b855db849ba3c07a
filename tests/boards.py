"""A board for tests: a real sshd on loopback with keys of its own, and a client's home folder that knows it."""

import contextlib
import getpass
import importlib.metadata
import os
import shutil
import socket
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_sshd = pytest.mark.skipif(SSHD is None, reason="no sshd: apt-get install openssh-server")
LOAD = {"kind": "load", "cold": False, "threads": 1, "length": 16}


def running_in(place: Path) -> list[int]:
    """Process ids of what runs a pack that lies in `place`."""
    result = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            text = path.read_bytes()
            if (b"run_onnxruntime.py" in text or b"edgepack.module.Runner" in text) and str(place).encode() in text:
                result.append(int(path.parent.name))
    return result


class Board:
    """One sshd. `table(name)` is its entry for targets.toml, with the client's key and known hosts."""

    def __init__(self, place: Path, port: int) -> None:
        self.place, self.port, self.log = place, port, place / "log"
        self.address = f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
        self.folder = place / "board" / "edgepack"

    def table(self, name: str, **more: object) -> str:
        known = {"address": self.address, "key": self.place / "id", "known_hosts": self.place / "known_hosts", "folder": self.folder}
        values = {**{key: str(value) for key, value in known.items()}, **more}
        return "\n".join([f"[{name}]", *(f"{key} = {value!r}" for key, value in values.items()), ""])

    def left(self) -> list[str]:
        """What lies on the board."""
        return sorted(path.name for path in self.folder.parent.iterdir())

    def processes(self) -> list[int]:
        """Process ids of what runs the pack there."""
        return running_in(self.place)


@contextlib.contextmanager
def running(place: Path, wrap: tuple[str, ...] = (), make_keys: bool = True):
    """An sshd whose board's folder is place/board; `wrap` comes before its command line."""
    if make_keys:
        (place / "board").mkdir()
        write_keys(place)
    port = write_config(place, place)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own empty folder, which its package's service makes
    board = Board(place, port)
    with board.log.open("w") as log:
        server = subprocess.Popen([*wrap, SSHD, "-D", "-e", "-f", str(place / "config")], stderr=log, stdin=subprocess.DEVNULL)
        try:
            wait_for(port, server, board.log)
            yield board
        finally:
            server.terminate()
            server.wait()


def make_wheel(name: str, folder: Path) -> Path:
    """A wheel of what is installed here, as pip would have downloaded it: no test reaches a network."""
    package = importlib.metadata.distribution(name)
    tag = next(line.split(": ")[1] for line in package.read_text("WHEEL").splitlines() if line.startswith("Tag: "))
    path = folder / f"{name.replace('-', '_')}-{package.version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in package.files:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                wheel.write(package.locate_file(file), str(file))
    return path


def write_keys(place: Path) -> None:
    """The host's key, a client's, and that the one lets the other in."""
    for name in ("host", "id"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)], check=True)
    shutil.copy(place / "id.pub", place / "authorized_keys")


def write_config(place: Path, seen_as: Path, more: tuple[str, ...] = ()) -> int:
    """sshd's settings, `more` among them, and the client's known hosts in `place`, which sshd sees as `seen_as`; the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kind, key, *_ = (place / "host.pub").read_text().split()
    (place / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    lines = [
        f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {seen_as}/host", f"PidFile {seen_as}/pid", "UsePAM no", "StrictModes no",
        f"AuthorizedKeysFile {seen_as}/authorized_keys", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password", *more,
    ]  # fmt: skip
    (place / "config").write_text("\n".join(lines) + "\n")
    return port


def wait_for(port: int, server: subprocess.Popen, log: Path, at_most_s: float = 10) -> None:
    until = time.monotonic() + at_most_s
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.02)
    raise RuntimeError(f"sshd did not start: {log.read_text()}")


def gone(board, wait_s=10.0):
    """Whether folders and processes of the session are gone, soon."""
    until = time.monotonic() + wait_s
    while (board.left() or board.processes()) and time.monotonic() < until:
        time.sleep(0.05)
    return board.left() == [] and board.processes() == []
