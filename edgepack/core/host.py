"""What edgepack asks of the machine that it runs on itself."""

import os
from functools import cache
from pathlib import Path

_BF16 = frozenset({"avx512_bf16", "amx_bf16"})  # instructions for products of bf16, as Linux names them


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


@cache
def multiplies_bf16() -> bool:
    """Whether this CPU has instructions for products of bf16. Known on x86 under Linux; elsewhere nobody has measured what they bring."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return not _BF16.isdisjoint(flags)


def is_alive(process: int) -> bool:
    """Whether a process with this id exists, whoever owns it."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
