"""A Python that has loaded the large libraries: a test's command is forked from it, and starts seconds sooner.

edgepack is not among what is loaded: each command imports it from its own PYTHONPATH, in a process of its own with the
arguments, folder, environment and streams that it was given. What a command imports, or how signals end it, is tested
with a fresh Python: see test_cli.py and test_signals.py.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

_LIBRARIES = (
    "numpy", "pydantic", "typer", "rich.console", "torch", "torch.export", "torch.onnx", "onnx", "onnx_ir", "onnxscript", "onnxslim",
    "tokenizers", "transformers.pipelines", "transformers.models.auto.modeling_auto", "transformers.models.bert.modeling_bert",
)  # fmt: skip
_REQUEST_BYTES = 1 << 20


def run(arguments: Sequence[str], cwd: Path | None = None, more: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """What `python ARGUMENTS` prints, and its exit code. more: of the environment."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, Path(os.devnull).open() as nothing:
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        code = ask(warm_socket(), arguments, str(cwd or Path.cwd()), os.environ | (more or {}), streams)
        out.seek(0), err.seek(0)
        return subprocess.CompletedProcess(list(arguments), code, out.read(), err.read())


@cache
def warm_socket() -> str:
    """Where this session's warm Python listens. It ends with the process that asked first."""
    address = f"{tempfile.mkdtemp(prefix='warm-')}/socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(16)
        process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(listener.fileno())],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[listener.fileno()],
        )  # fmt: skip
    atexit.register(_end, process, address)
    return address


def _end(process: subprocess.Popen, address: str) -> None:
    process.stdin.close()
    process.wait()
    shutil.rmtree(Path(address).parent, ignore_errors=True)


def ask(address: str, arguments: Sequence[str], cwd: str, environment: dict[str, str], streams: list[int]) -> int:
    """Has the Python at `address` run `python ARGUMENTS` on these streams; returns the exit code."""
    request = json.dumps({"arguments": list(arguments), "cwd": cwd, "environment": dict(environment)}).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [len(request).to_bytes(4, "big")], streams)
        connection.sendall(request)
        answer = connection.recv(4)
    if len(answer) != 4:
        raise RuntimeError(f"the warm Python ended while it ran {list(arguments)}")
    return int.from_bytes(answer, "big", signed=True)


def _serve(listener: socket.socket) -> dict[str, Any]:
    """Forks a process for each request, until standard input closes. Returns in the forked process alone, with its request."""
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ, None)
    waiting.register(0, selectors.EVENT_READ, None)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                request, streams = _read(connection)
                process = os.fork()
                if process == 0:
                    waiting.close(), listener.close(), connection.detach()
                    for number, stream in enumerate(streams):
                        os.dup2(stream, number)
                        os.close(stream)
                    return request
                for stream in streams:
                    os.close(stream)
                waiting.register(connection, selectors.EVENT_READ, process)
                waiting.register(os.pidfd_open(process), selectors.EVENT_READ, (process, connection))
            elif key.fileobj == 0:
                os._exit(0)
            elif key.fileobj not in waiting.get_map():
                continue  # it ended in this very round
            elif isinstance(key.data, int):
                waiting.unregister(key.fileobj)
                os.kill(key.data, signal.SIGKILL)  # who asked is gone
            else:
                process, connection = key.data
                waiting.unregister(key.fileobj)
                os.close(key.fileobj)
                with contextlib.suppress(KeyError):
                    waiting.unregister(connection)
                code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                with connection, contextlib.suppress(OSError):
                    connection.sendall(code.to_bytes(4, "big", signed=True))


def _read(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, streams, _, _ = socket.recv_fds(connection, 4, 3)
    length, content = int.from_bytes(head, "big"), b""
    while len(content) < length:
        content += connection.recv(min(_REQUEST_BYTES, length - len(content)))
    return json.loads(content), streams


def _become(request: dict[str, Any], base: list[str]) -> None:
    """Runs the request as `python ARGUMENTS` would: SystemExit ends the process as it ends any other."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    first, *rest = request["arguments"] or ["-"]
    sys.path[:] = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *base]
    importlib.invalidate_caches()
    if first == "-m":
        sys.argv = list(rest)
        sys.path.insert(0, request["cwd"])
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first in ("-c", "-"):
        sys.argv = [first, *(rest[1:] if first == "-c" else rest)]
        sys.path.insert(0, "")
        exec(compile(rest[0] if first == "-c" else sys.stdin.read(), "<text>", "exec"), vars(sys.modules["__main__"]))
    else:
        sys.argv = [first, *rest]
        sys.path.insert(0, str(Path(first).resolve().parent))
        runpy.run_path(first, run_name="__main__")


def _load() -> None:
    gc.disable()
    for name in _LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    if sys.argv[1] == "--ask":
        sys.exit(ask(sys.argv[2], sys.argv[3:], str(Path.cwd()), dict(os.environ), [0, 1, 2]))
    _paths = [path for path in sys.path[1:] if path not in os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    sys.path[:] = _paths
    _load()
    _become(_serve(socket.socket(fileno=int(sys.argv[2]))), _paths)
