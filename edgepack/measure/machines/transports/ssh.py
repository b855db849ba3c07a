"""Transport ssh://user@host[:port]: one connection by asyncssh, with the user's keys, to a host whose key the user knows."""

import asyncio
import contextlib
import importlib.util
import re
import shlex
import socket
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.files import expanded
from edgepack.core.reading import is_there
from edgepack.measure.machines.remote import Remote, boot_command
from edgepack.measure.machines.targets import SETTINGS_OF_BOARDS, Target

EXAMPLE = "ssh://user@host"
TAKES = SETTINGS_OF_BOARDS | {"key", "known_hosts"}
EXTRA = "measure on boards over ssh"
_ADDRESS = re.compile(r"ssh://(?:(?P<user>[\w.][\w.-]*)@)?(?P<host>[\w.][\w.-]*|\[[0-9a-fA-F:]+\])(?::(?P<port>\d{1,5}))?/?")
_CONNECT_S = 20
_ALIVE_S, _ALIVE_COUNT = 10, 3  # a board that says nothing to so many of these is gone
_COMPLAINT_BYTES = 4000


def check(target: Target) -> None:
    """EdgepackError: not an address, files of targets.toml that are not there, asyncssh missing."""
    parts = _ADDRESS.fullmatch(target.address)
    if not parts or int(parts["port"] or 22) not in range(1, 65536):
        raise EdgepackError(f"not an ssh address: {target.address!r}", "write ssh://user@host, with :port where it is not 22")
    for what, path in (("key", target.key), ("known_hosts", target.known_hosts)):
        if path and not (is_there(place := expanded(path)) and place.is_file()):
            raise EdgepackError(f"{what} of {target.name} not found: {path!r}", f"mend {what} in targets.toml, or leave it out")
    if importlib.util.find_spec("asyncssh") is None:
        raise EdgepackError(f"{target.address} needs asyncssh, which is not installed", "pip install 'edgepack[ssh]'")


@contextlib.contextmanager
def opened(target: Target) -> Iterator[Remote]:
    """A session on the board. It ends there with the block: the far end sees the pipe close, and cleans up."""
    with asyncio.Runner() as runner:
        connection = runner.run(_connect(target))
        pipe = None
        try:
            command = shlex.join(boot_command(target))
            pipe = _Pipe(target, runner, _within(runner, target, connection.create_process(command, encoding=None)))
            yield Remote(target, pipe)
        finally:
            if pipe:
                pipe.close()
            connection.abort() if pipe and pipe.is_broken else connection.close()
            with contextlib.suppress(Exception):
                runner.run(asyncio.wait_for(connection.wait_closed(), 5))


class _Pipe:
    """See remote.Pipe."""

    def __init__(self, target: Target, runner: asyncio.Runner, process: Any) -> None:
        self._target, self._runner, self._process = target, runner, process
        self.is_broken = False

    def write(self, data: bytes) -> None:
        self._do(self._write(data), _CONNECT_S + 60)

    def read_line(self, time_out_s: float) -> bytes:
        return self._do(self._process.stdout.readline(), time_out_s)

    def read(self, count: int, time_out_s: float) -> bytes:
        return self._do(self._process.stdout.readexactly(count), time_out_s)

    def complaint(self) -> str:
        with contextlib.suppress(EdgepackError):
            return self._do(self._process.stderr.read(_COMPLAINT_BYTES), 5).decode(errors="replace")
        return ""

    def close(self) -> None:
        """Waits a little for the far end to clean up."""
        with contextlib.suppress(Exception):
            self._process.stdin.write_eof()
            self._runner.run(asyncio.wait_for(self._process.wait_closed(), 10))

    async def _write(self, data: bytes) -> None:
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    def _do(self, work: Awaitable[Any], time_out_s: float) -> Any:
        try:
            return _within(self._runner, self._target, asyncio.wait_for(work, time_out_s))
        except BrokenPipeError:
            return b""  # the far command ended: reading says so too, and stderr why
        except TimeoutError:
            self.is_broken = True
            raise EdgepackError(
                f"{self._target.name} did not answer for {time_out_s:.0f} s",
                "check whether it is still running and reachable, and start again",
            ) from None


def _within(runner: asyncio.Runner, target: Target, work: Awaitable[Any]) -> Any:
    import asyncssh

    async def awaited() -> Any:
        return await work

    try:
        return runner.run(awaited())
    except (TimeoutError, BrokenPipeError):
        raise
    except (asyncssh.Error, OSError, asyncio.IncompleteReadError) as error:
        raise EdgepackError(
            f"the connection to {target.name} broke: {error}",
            "check whether the board still runs, and start again; files that it has already are kept",
        ) from None


async def _connect(target: Target) -> Any:
    import asyncssh

    parts = _ADDRESS.fullmatch(target.address)
    host, port = parts["host"].strip("[]"), int(parts["port"] or 22)
    files = [expanded(target.known_hosts or "~/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts")]
    known_hosts = [str(path) for path in files if path.is_file()] or b""  # None would trust everybody
    settings = {
        "known_hosts": known_hosts,
        "connect_timeout": _CONNECT_S,
        "login_timeout": _CONNECT_S,
        "keepalive_interval": _ALIVE_S,
        "keepalive_count_max": _ALIVE_COUNT,
        "preferred_auth": "publickey",
        **({"username": parts["user"]} if parts["user"] else {}),
        **({"client_keys": [str(expanded(target.key))], "agent_path": None} if target.key else {}),
    }
    try:
        return await asyncssh.connect(host, port, **settings)
    except asyncssh.HostKeyNotVerifiable:
        raise await _untrusted(target, host, port, known_hosts) from None
    except asyncssh.PermissionDenied:
        raise EdgepackError(
            f"{target.name} does not let {parts['user'] or 'you'} log in: it accepts none of the keys {_keys(target)}",
            f"copy a key there with ssh-copy-id; `{_by_hand(target)}` must log in without a password",
        ) from None
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise EdgepackError(f"the key for {target.name} cannot be read: {error}", "put it into ssh-agent, or name another key") from None
    except socket.gaierror:
        raise EdgepackError(
            f"there is no host named {host!r}, for {target.name}", "check the name, or give the address as numbers"
        ) from None
    except (asyncssh.Error, OSError) as error:
        reason = f"no answer within {_CONNECT_S} s" if isinstance(error, TimeoutError) else str(error)
        fix = "check that the board runs, that sshd listens there, and the port"
        raise EdgepackError(f"no connection to {target.address}: {reason}", fix) from None


def _keys(target: Target) -> str:
    return f"in {target.key}" if target.key else "here"


def _by_hand(target: Target) -> str:
    """What a person would type, with the files of the target: without them ssh tries other keys, and keeps a host's key elsewhere."""
    parts = _ADDRESS.fullmatch(target.address)
    port = ["-p", parts["port"]] if parts["port"] else []
    key = ["-i", str(expanded(target.key))] if target.key else []
    known = ["-o", f"UserKnownHostsFile={expanded(target.known_hosts)}"] if target.known_hosts else []
    return shlex.join(["ssh", *port, *key, *known, f"{parts['user']}@" * bool(parts["user"]) + parts["host"].strip("[]")])


async def _untrusted(target: Target, host: str, port: int, known_hosts: Any) -> EdgepackError:
    """A host that nobody here knows is the user's to confirm; one that is known by another key may be somebody else."""
    import asyncssh

    trusted = asyncssh.match_known_hosts(known_hosts, host, "", port if port != 22 else None)
    shown = None
    with contextlib.suppress(asyncssh.Error, OSError):
        shown = await asyncssh.get_server_host_key(host, port, config=None)
    fingerprint = shown.get_fingerprint() if shown else "one that could not be asked for"
    place = f"[{host}]:{port}" if port != 22 else host
    if trusted[0]:
        file = ["-f", str(expanded(target.known_hosts))] if target.known_hosts else []
        forget = shlex.join(["ssh-keygen", "-R", place, *file])
        return EdgepackError(
            f"the host key of {target.address} has changed: it now shows {fingerprint}, which is not the one in known_hosts",
            f"only where you know why, such as a board set up anew: `{forget}`, then `{_by_hand(target)}` and compare",
        )
    command = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
    return EdgepackError(
        f"{target.address} is not a known host: it shows {fingerprint}",
        f"run `{_by_hand(target)}` once, and compare what it shows with what `{command}` shows on the board",
    )
