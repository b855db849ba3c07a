"""A phone for tests: an adbd of our own on loopback for a real adb server to talk to, whose shell is this machine's."""

import contextlib
import os
import queue
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
from boards import running_in

adbutils = pytest.importorskip("adbutils", reason="no adbutils: pip install 'edgepack[adb]'")

_MESSAGE = struct.Struct("<6I")
_PACKET = struct.Struct("<BI")
_NAMES = (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
_CNXN, _AUTH, _OPEN, _OKAY, _WRTE, _CLSE = (int.from_bytes(name, "little") for name in _NAMES)
_TOKEN, _SIGNATURE = 1, 2  # kinds of AUTH
_VERSION, _MOST_BYTES = 0x01000001, 256 * 1024
_BANNER = b"device::ro.product.name=edgepack;ro.product.model=test;ro.product.device=test;features=%s"


class Phone:
    """One adbd. folder: where edgepack is to keep its things on it. programs: a folder with all that its shell can start."""

    def __init__(self, place: Path, trusts: bool = True, features: str = "shell_v2,cmd", programs: Path | None = None) -> None:
        self.folder = place / "phone" / "edgepack"
        self.folder.parent.mkdir(parents=True)
        self.trusts, self.features = trusts, features
        self.environment = {"PATH": str(programs)} if programs else dict(os.environ)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.serial = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def table(self, name: str, **more: object) -> str:
        """Its entry for targets.toml."""
        values = {"address": f"adb://{self.serial}", "folder": str(self.folder), **more}
        return "\n".join([f"[{name}]", *(f"{key} = {value!r}" for key, value in values.items()), ""])

    def left(self) -> list[str]:
        """What lies on the phone."""
        return sorted(path.name for path in self.folder.parent.iterdir())

    def processes(self) -> list[int]:
        """Process ids of what runs a pack there."""
        return running_in(self.folder.parent)

    def unplug(self) -> None:
        """Every connection breaks without a word, as when a cable is pulled or a phone reboots."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def close(self) -> None:
        self._listener.close()
        self.unplug()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections.append(connection)
                threading.Thread(target=_Connection(self, connection).serve, daemon=True).start()


class _Connection:
    """adb's transport: messages of six numbers and bytes, streams numbered on both sides, each write answered before the next."""

    def __init__(self, phone: Phone, connection: socket.socket) -> None:
        self._phone, self._socket = phone, connection
        self._sending = threading.Lock()
        self._shells: dict[int, _Shell] = {}

    def serve(self) -> None:
        try:
            while True:
                command, theirs, ours, count, _, _ = _MESSAGE.unpack(self._exactly(_MESSAGE.size))
                self._answer(command, theirs, ours, self._exactly(count))
        except (EOFError, OSError):
            pass
        finally:
            for shell in list(self._shells.values()):
                shell.hang_up()
            self._socket.close()

    def send(self, command: int, ours: int, theirs: int, data: bytes = b"") -> None:
        header = _MESSAGE.pack(command, ours, theirs, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF)
        with self._sending:
            self._socket.sendall(header + data)

    @property
    def environment(self) -> dict[str, str]:
        return self._phone.environment

    def forget(self, ours: int) -> None:
        self._shells.pop(ours, None)

    def _answer(self, command: int, theirs: int, ours: int, data: bytes) -> None:
        shell = self._shells.get(ours)
        if not self._phone.trusts:
            if command == _CNXN or theirs == _SIGNATURE:  # no signature is known, and nobody confirms the key that comes after them
                self.send(_AUTH, _TOKEN, 0, bytes(20))
        elif command == _CNXN:
            self.send(_CNXN, _VERSION, _MOST_BYTES, _BANNER % self._phone.features.encode())
        elif command == _OPEN and data.startswith(b"shell,v2"):
            number = len(self._shells) + theirs + 1
            self.send(_OKAY, number, theirs)
            self._shells[number] = _Shell(self, number, theirs, data.rstrip(b"\0").partition(b":")[2].decode())
        elif command == _OPEN:
            self.send(_CLSE, 0, theirs)
        elif command == _WRTE and shell:
            shell.given.put(data)
            self.send(_OKAY, ours, theirs)
        elif command == _OKAY and shell:
            shell.may_write.release()
        elif command == _CLSE and shell:
            shell.hang_up()

    def _exactly(self, count: int) -> bytes:
        result = bytearray()
        while len(result) < count:
            part = self._socket.recv(count - len(result))
            if not part:
                raise EOFError
            result += part
        return bytes(result)


class _Shell:
    """One command under adb's shell protocol: packets of a kind (0 input, 1 output, 2 complaint, 3 exit code, 4 end of input)."""

    def __init__(self, connection: _Connection, ours: int, theirs: int, command: str) -> None:
        self._connection, self._ours, self._theirs = connection, ours, theirs
        self.given: queue.Queue = queue.Queue()
        self.may_write = threading.Semaphore(0)
        self._writing = threading.Lock()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process = subprocess.Popen(["/bin/sh", "-c", command], env=connection.environment, **pipes)
        threading.Thread(target=self._run, daemon=True).start()

    def hang_up(self) -> None:
        """What adbd does where the connection goes before the command."""
        self.given.put(None)
        self.may_write.release(1000)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGHUP)

    def _run(self) -> None:
        threading.Thread(target=self._feed, daemon=True).start()
        pumps = [
            threading.Thread(target=self._pump, args=(stream, kind), daemon=True)
            for kind, stream in ((1, self._process.stdout), (2, self._process.stderr))
        ]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        code = self._process.wait()
        with contextlib.suppress(OSError):
            self._write(3, bytes([code if code >= 0 else 128 - code]))
            self._connection.send(_CLSE, self._ours, self._theirs)
        self._connection.forget(self._ours)

    def _pump(self, stream, kind: int) -> None:
        with contextlib.suppress(OSError):
            while content := os.read(stream.fileno(), 60_000):
                self._write(kind, content)

    def _write(self, kind: int, content: bytes) -> None:
        with self._writing:
            self._connection.send(_WRTE, self._ours, self._theirs, _PACKET.pack(kind, len(content)) + content)
            self.may_write.acquire()

    def _feed(self) -> None:
        waiting = bytearray()
        with contextlib.suppress(OSError, ValueError):
            while (data := self.given.get()) is not None:
                waiting += data
                while len(waiting) >= _PACKET.size:
                    kind, count = _PACKET.unpack_from(waiting)
                    if len(waiting) < _PACKET.size + count:
                        break
                    content = bytes(waiting[_PACKET.size : _PACKET.size + count])
                    del waiting[: _PACKET.size + count]
                    if kind == 4:
                        self._process.stdin.close()
                    elif kind == 0:
                        self._process.stdin.write(content)
                        self._process.stdin.flush()
        with contextlib.suppress(OSError):
            self._process.stdin.close()


@contextlib.contextmanager
def adb_server(home: Path):
    """A real adb server of the tests' own; adb(words) runs its client. The port is in the environment for as long as the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (home / ".android").mkdir(parents=True)
    variables = {"ANDROID_ADB_SERVER_PORT": str(port), "ADB_MDNS": "0", "HOME": str(home), "ANDROID_USER_HOME": str(home / ".android")}

    def adb(*words: str) -> str:
        command = [adbutils.adb_path(), *words]
        quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        return subprocess.run(
            command, env=os.environ | variables, stdout=subprocess.PIPE, text=True, timeout=30, check=False, **quiet
        ).stdout

    with pytest.MonkeyPatch.context() as patch:
        for name in ("ANDROID_ADB_SERVER_PORT", "ADB_MDNS"):
            patch.setenv(name, variables[name])
        adb("start-server")
        try:
            yield adb
        finally:
            adb("kill-server")


def plug_in(adb, phone: Phone) -> None:
    adb("disconnect", phone.serial)
    adb("connect", phone.serial)
    wanted = "device" if phone.trusts else "unauthorized"
    until = time.monotonic() + 10
    while f"{phone.serial}\t{wanted}" not in adb("devices") and time.monotonic() < until:
        time.sleep(0.05)


@contextlib.contextmanager
def plugged_in(adb, place: Path, **more):
    """A phone that the adb server sees."""
    phone = Phone(place, **more)
    plug_in(adb, phone)
    try:
        yield phone
    finally:
        adb("disconnect", phone.serial)
        phone.close()
