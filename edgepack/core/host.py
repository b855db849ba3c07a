"""What edgepack asks of the machine that it runs on itself."""

import os
import re
from functools import cache
from pathlib import Path

_BF16 = frozenset({"avx512_bf16", "amx_bf16"})  # instructions for products of bf16, as Linux names them
_VECTORS = re.compile(r"(sse4|avx|amx|fma|f16c|asimd|i8mm|bf16|sve|sme(?!p)|fphp|dotprod)")


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def multiplies_bf16() -> bool:
    """Whether this CPU has instructions for products of bf16. Known on x86 under Linux; elsewhere nobody has measured what they bring."""
    return not _BF16.isdisjoint(kernel_instructions())


@cache
def is_amd_with_avx512() -> bool:
    """Known under Linux; elsewhere it is said to be none."""
    return "AuthenticAMD" in _stated("vendor_id") and "avx512f" in kernel_instructions()


@cache
def kernel_instructions() -> tuple[str, ...]:
    """The CPU's instructions for vectors and matrices, by which libraries choose their kernels, as Linux names them; elsewhere none."""
    return tuple(sorted(set(filter(_VECTORS.match, _stated("flags", "Features")))))


def _stated(*keys: str) -> list[str]:
    """The words of the first line of /proc/cpuinfo that begins with one of these; elsewhere than under Linux none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return []
    return next((line.partition(":")[2].split() for line in lines if line.startswith(keys)), [])


@cache
def gpus() -> tuple[str, ...]:
    """The names of NVIDIA's GPUs here, as their driver states them under Linux; elsewhere none."""
    names = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        names += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return tuple(names)


def home_folder() -> Path | None:
    """The user's; None where there is neither HOME nor an entry of this user, as in a container with a user of its own number."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def is_alive(process: int) -> bool:
    """Whether a process with this id exists, whoever owns it."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
