"""Reads processes of this machine from /proc: their memory, where they cannot read it themselves."""

import contextlib
import os
import time
from pathlib import Path

_PROC = Path("/proc")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def find_descendants(root: int) -> list[int]:
    """Process ids below `root`, at any depth; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for path in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    descendants, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        descendants += below
        waiting += below
    return descendants


def cpu_seconds() -> dict[str, float] | None:
    """Seconds that the usable cores were busy, that a hypervisor gave to others, that this process and all below it took; and when.

    None where there is no /proc.
    """
    cores = {f"cpu{core}" for core in os.sched_getaffinity(0)} if hasattr(os, "sched_getaffinity") else set()
    try:
        lines = (_PROC / "stat").read_text().splitlines()
    except OSError:
        return None
    ticks = [[int(value) / _TICKS_A_SECOND for value in line.split()[1:9]] for line in lines if line.split(" ")[0] in cores]
    user, nice, system, _, _, irq, softirq, stolen = (sum(column) for column in zip(*ticks, strict=True))
    below = sum(_cpu_seconds_of(process) for process in find_descendants(os.getpid()))
    busy, ours = user + nice + system + irq + softirq, sum(os.times()[:4]) + below
    return {"busy": busy, "stolen": stolen, "own": ours, "cores": float(len(ticks)), "at": time.monotonic()}


def _cpu_seconds_of(process: int) -> float:
    """Its own, and those of its children that have ended."""
    with contextlib.suppress(OSError):
        fields = (_PROC / str(process) / "stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(value) for value in fields[11:15]) / _TICKS_A_SECOND
    return 0.0


def has_thread(process: int, name: str) -> bool:
    """Whether a process has a thread of this name; False where /proc does not show it."""
    with contextlib.suppress(OSError):
        return any(path.read_text().strip() == name for path in (_PROC / str(process) / "task").glob("*/comm"))
    return False


def resident_mb(process: int | None) -> dict[str, float | None]:
    """As targets/machine.py: resident memory now and its peak, 10^6 bytes; null where it cannot be read."""
    fields: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in (_PROC / str(process) / "status").read_text().splitlines():
            key, _, value = line.partition(":")
            fields[key] = value.strip()
    keys = {"peak": "VmHWM", "resident": "VmRSS", "anonymous": "RssAnon", "file": "RssFile"}
    return {name: int(fields[key].split()[0]) * 1024 / 1e6 if key in fields else None for name, key in keys.items()}


def reset_peak(process: int | None) -> bool:
    """Sets VmHWM to what is resident now; False where the kernel does not let us."""
    try:
        (_PROC / str(process) / "clear_refs").write_text("5")
    except OSError:
        return False
    return True
