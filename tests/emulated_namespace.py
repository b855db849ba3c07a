"""Starts a command in a root of another architecture: `emulated_namespace.py JOB`. Standard library; a process of its own.

Namespaces of its own for users, mounts and processes hold a binfmt_misc of their own (Linux 6.7), by which the kernel starts every
program of the root under qemu-user, as it does in a container with emulation. Nothing of it is seen outside, nor outlives this.
JOB is JSON: root; emulator, qemu's program; shown, what lies inside at which path, {path in the root: path here}; command and its
environment. Exit code 77: the kernel or a container forbids it; why stands on standard error.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

FORBIDDEN = 77
_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_MOUNTS, _NEW_USER, _NEW_PROCESSES = 0x00020000, 0x10000000, 0x20000000
_BIND, _RECURSIVE, _PRIVATE, _DETACH = 0x1000, 0x4000, 0x40000, 2
_DIE_WITH_PARENT = 1
_USER = 1000  # not root: sshd then lets in the one user that there is, and needs no second one
_AARCH64 = (  # the first bytes of its programs, and which of their bits count
    rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00",
    rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
)


def main() -> None:
    job = json.loads(sys.argv[1])
    try:
        _call("prctl", _DIE_WITH_PARENT, signal.SIGKILL)
        _own_namespaces(_NEW_USER | _NEW_MOUNTS | _NEW_PROCESSES, inside=0)
        child = os.fork()
        if child:  # it is the first process of the new namespace: all others end with it
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        _enter(Path(job["root"]), job)
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(FORBIDDEN)
    os.execve(job["command"][0], job["command"], job["environment"])


def _enter(root: Path, job: dict) -> None:
    _mount("none", "/", flags=_RECURSIVE | _PRIVATE)
    _mount(str(root), str(root), flags=_BIND | _RECURSIVE)
    _mount("proc", str(root / "proc"), "proc")
    for there, here in job["shown"].items():
        _mount(here, str(root / there), flags=_BIND | _RECURSIVE)
    formats = root / "proc" / "sys" / "fs" / "binfmt_misc"  # keeps what is registered for as long as it is mounted
    _mount("binfmt_misc", str(formats), "binfmt_misc")
    (formats / "register").write_bytes(b":emulated:M::%s:%s:%s:F" % (*_AARCH64, job["emulator"].encode()))
    os.chdir(root)
    _call("pivot_root", b".", b".")  # behind a chroot the kernel makes no user
    _call("umount2", b".", _DETACH)
    os.chdir("/")
    _own_namespaces(_NEW_USER, inside=_USER)
    _call("prctl", _DIE_WITH_PARENT, signal.SIGKILL)


def _own_namespaces(kinds: int, inside: int) -> None:
    user, group = os.geteuid(), os.getegid()
    _call("unshare", kinds)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {group} 1")


def _mount(what: str, where: str, kind: str | None = None, flags: int = 0) -> None:
    _call("mount", what.encode(), where.encode(), kind.encode() if kind else None, flags, None)


def _call(name: str, *arguments) -> None:
    if getattr(_LIBC, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
