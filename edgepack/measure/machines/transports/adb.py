"""Transport adb://serial: a shell on a phone by adb's own protocol, whose packets keep bytes, complaints and exit codes apart."""

import contextlib
import importlib.util
import os
import re
import shlex
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.measure.machines.java_board import JavaBoard
from edgepack.measure.machines.phone import has_program, opened_by_java
from edgepack.measure.machines.remote import Remote, boot_command
from edgepack.measure.machines.session import OTHER_PROGRAM
from edgepack.measure.machines.targets import SETTINGS_OF_BOARDS, Target

EXAMPLE = "adb://serial"
TAKES = SETTINGS_OF_BOARDS | {"runner", "cache"}
EXTRA = "measure on Android devices that are connected by adb"
_ADDRESS = re.compile(r"adb://(?P<serial>[\w.:\[\]-]*)/?")
_SCRATCH = "/data/local/tmp"  # what adb's shell may write on every phone, where its home folder is the root of the file system
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)  # kinds of packets in adb's shell protocol: a byte, a length, the bytes
_HEADER = struct.Struct("<BI")
_CHUNK = 1 << 16
_MOST_BYTES = 1 << 24  # of a packet, of which adb sends 1 MB at most, and of what waits to be read
_CONNECT_S = 20
_CLEAN_UP_S = 10
_COMMAND_S = 300  # a library of 40 MB through a slow cable
_COMPLAINT_BYTES = 4000
TAKES_RUNNER = True  # where a phone has no Python, edgepack's runner measures there: see machines/phone.py
_PYTHON = (
    "Android has no Python of its own: leave `python` out of targets.toml, and edgepack's runner measures there; or name one that adb's "
    "shell can start, such as a Python of a Debian unpacked there; or install Termux with openssh, python and python-onnxruntime and "
    "measure by ssh://127.0.0.1:8022 behind `adb forward tcp:8022 tcp:8022`"
)
_UNTRUSTED = (
    "does not trust this computer yet",
    "unlock it and confirm the question about USB debugging that it shows; if it shows none, unplug it and plug it in again",
)
_STATES = {
    "unauthorized": _UNTRUSTED,
    "authorizing": _UNTRUSTED,
    "offline": ("is offline", "`adb reconnect`, or unplug it and plug it in again"),
    "no permissions": ("may not be opened by this user", "add udev rules for it, or join the group plugdev"),
}


def check(target: Target) -> None:
    """EdgepackError: not an address, adbutils missing."""
    if not _ADDRESS.fullmatch(target.address):
        raise EdgepackError(
            f"not an adb address: {target.address!r}", "write adb://serial as `adb devices` shows it, or adb:// for a single one"
        )
    if importlib.util.find_spec("adbutils") is None:
        raise EdgepackError(f"{target.address} needs adbutils, which is not installed", "pip install 'edgepack[adb]'")


@contextlib.contextmanager
def opened(target: Target) -> Iterator[Remote | JavaBoard]:
    """A session on the phone. It ends there with the block: the far end sees its input close, and cleans up."""
    if not target.folder.startswith("/"):
        target = target.model_copy(update={"folder": f"{_SCRATCH}/{target.folder}"})
    shell = _Shell(target, _find_device(target))
    if target.runner and "python" not in target.model_fields_set and not has_program(shell, target.python):
        with opened_by_java(target, shell) as board:
            yield board
        return
    command = f'export HOME="${{HOME:-{_SCRATCH}}}" TMPDIR={_SCRATCH}; exec {shlex.join(boot_command(target))}'
    with shell.pipe(command) as pipe:
        yield Remote(target, pipe, no_python_fix=_PYTHON)


class _Shell:
    """See phone.Shell."""

    def __init__(self, target: Target, device: Any) -> None:
        self._target, self._device = target, device

    def ran(self, command: str, content: Path | None = None, wait_s: float = _COMMAND_S) -> tuple[int, str]:
        with self.pipe(command) as pipe:
            if content:
                with content.open("rb") as file:
                    for part in iter(lambda: file.read(_CHUNK), b""):
                        pipe.write(part)
            return pipe.ended(wait_s)

    @contextlib.contextmanager
    def pipe(self, command: str) -> Iterator["_Pipe"]:
        with _named_problems(self._target):
            connection = self._device.open_transport(timeout=_CONNECT_S)
            connection.send_command(f"shell,v2,raw:{command}")
            connection.check_okay()
        pipe = _Pipe(self._target, connection.conn)
        try:
            yield pipe
        finally:
            pipe.close()
            connection.close()


class _Pipe:
    """See remote.Pipe. A socket to the adb server, which hands on what the phone says."""

    def __init__(self, target: Target, connection: socket.socket) -> None:
        self._target, self._socket = target, connection
        self._out, self._complaint = bytearray(), bytearray()
        self._has_ended = False
        self._code = 0
        self._most_bytes = _MOST_BYTES

    def write(self, data: bytes) -> None:
        try:
            self._socket.settimeout(_CONNECT_S + 60)
            for at in range(0, len(data), _CHUNK):
                part = data[at : at + _CHUNK]
                self._socket.sendall(_HEADER.pack(_STDIN, len(part)) + part)
        except TimeoutError:
            raise self._silent(_CONNECT_S + 60) from None
        except OSError as error:
            raise self._broken(error.strerror or str(error)) from None

    def read_line(self, time_out_s: float) -> bytes:
        until = time.monotonic() + time_out_s
        while b"\n" not in self._out:
            if not self._receive(until, time_out_s):
                return b""
        return self._consume(self._out.index(b"\n") + 1)

    def read(self, count: int, time_out_s: float) -> bytes:
        until = time.monotonic() + time_out_s
        self._most_bytes = count + _MOST_BYTES
        while len(self._out) < count:
            if not self._receive(until, time_out_s):
                raise self._broken(f"{len(self._out)} of {count} bytes came")
        return self._consume(count)

    def complaint(self) -> str:
        with contextlib.suppress(EdgepackError):
            until = time.monotonic() + 5
            while self._receive(until, 5):
                pass
        return self._complaint.decode(errors="replace")

    def ended(self, wait_s: float) -> tuple[int, str]:
        """Closes the command's input, and waits for its end: its exit code, and what it printed and complained of."""
        self._close_input()
        until = time.monotonic() + wait_s
        while self._receive(until, wait_s):
            pass
        return self._code, (bytes(self._out) + self._complaint).decode(errors="replace")

    def _close_input(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(_HEADER.pack(_CLOSE_STDIN, 0))

    def close(self) -> None:
        """Waits a little for the far end to clean up."""
        with contextlib.suppress(EdgepackError, OSError):
            self._close_input()
            until = time.monotonic() + _CLEAN_UP_S
            while self._receive(until, _CLEAN_UP_S):
                pass

    def _consume(self, count: int) -> bytes:
        content = bytes(self._out[:count])
        del self._out[:count]
        return content

    def _receive(self, until: float, time_out_s: float) -> bool:
        """One packet; False where the command has ended. EdgepackError: nothing came until then, or the connection is gone."""
        if self._has_ended:
            return False
        kind, count = _HEADER.unpack(self._exactly(_HEADER.size, until, time_out_s))
        if count > _MOST_BYTES or len(self._out) > self._most_bytes:
            raise EdgepackError(f"{self._target.name} sends more than it was asked for", OTHER_PROGRAM)
        content = self._exactly(count, until, time_out_s)
        if kind == _STDOUT:
            self._out += content
        elif kind == _STDERR:
            self._complaint = (self._complaint + content)[-_COMPLAINT_BYTES:]
        elif kind == _EXIT and content:
            self._code = content[0]
        self._has_ended = kind == _EXIT
        return not self._has_ended

    def _exactly(self, count: int, until: float, time_out_s: float) -> bytes:
        content = bytearray()
        while len(content) < count:
            try:
                self._socket.settimeout(max(0.001, until - time.monotonic()))
                part = self._socket.recv(count - len(content))
            except TimeoutError:
                raise self._silent(time_out_s) from None
            except OSError as error:
                raise self._broken(error.strerror or str(error)) from None
            if not part:
                raise self._broken("adb closed it")
            content += part
        return bytes(content)

    def _silent(self, time_out_s: float) -> EdgepackError:
        return EdgepackError(
            f"{self._target.name} did not answer for {time_out_s:.0f} s",
            "check whether it is still running and plugged in, and start again",
        )

    def _broken(self, why: str) -> EdgepackError:
        return EdgepackError(
            f"the connection to {self._target.name} broke: {why}",
            "check whether the phone still runs and is plugged in, and start again; files that it has already are kept",
        )


def _find_device(target: Target) -> Any:
    """The device of the address, or the only one there is. EdgepackError: none, several, or one that lets nobody in."""
    import adbutils

    serial = _ADDRESS.fullmatch(target.address)["serial"]
    with _named_problems(target):
        client = adbutils.AdbClient(port=_server(), socket_timeout=_CONNECT_S)
        known = {phone.serial: phone.state for phone in client.list()}
    serial = _serial_of(target, serial, list(known))
    if known[serial] != "device":
        what, fix = _STATES.get(known[serial], (f"is in state {known[serial]!r}", "start Android on it"))
        raise EdgepackError(f"{serial} {what}", fix)
    device = client.device(serial)
    with _named_problems(target):
        if "shell_v2" not in device.get_features():
            raise EdgepackError(f"the adb of {serial} cannot separate output and exit codes", "Android 7 or newer is needed there")
    return device


def _serial_of(target: Target, serial: str, known: list[str]) -> str:
    if not known:
        raise EdgepackError(
            f"adb sees no device for {target.name}",
            "plug the phone in with USB debugging on, or `adb connect` its address; `adb devices` shows what is there",
        )
    shown = ", ".join(known)
    if serial and serial not in known:
        raise EdgepackError(f"adb sees no device {serial!r}, only {shown}", did_you_mean(serial, [f"adb://{other}" for other in known]))
    if not serial and len(known) > 1:
        raise EdgepackError(f"adb sees {len(known)} devices, {shown}, and {target.address} names none", f"write adb://{known[0]}")
    return serial or known[0]


def _server() -> int:
    """The port of the adb server, which is started here where none runs: without a word on standard output."""
    import adbutils

    host, port = os.environ.get("ANDROID_ADB_SERVER_HOST", "127.0.0.1"), os.environ.get("ANDROID_ADB_SERVER_PORT", "5037")
    if not port.isdecimal() or int(port) not in range(1, 65536):
        raise EdgepackError(f"ANDROID_ADB_SERVER_PORT is not a port: {port!r}", "give it a number, or unset it")
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except OSError:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([adbutils.adb_path(), "start-server"], timeout=_CONNECT_S, check=False, **quiet)
    return int(port)


@contextlib.contextmanager
def _named_problems(target: Target) -> Iterator[None]:
    """What adb and its server refuse, as an EdgepackError."""
    import adbutils

    try:
        yield
    except (adbutils.AdbError, OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        raise EdgepackError(
            f"adb cannot reach {target.name}: {error}", "check that `adb start-server` works and what `adb devices` shows"
        ) from None
