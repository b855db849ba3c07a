"""Facts of the machine that a target runs on, and its memory counters. Standard library only; what cannot be read is None."""

from __future__ import annotations

import os
import platform
import struct
import sys
from pathlib import Path


def facts() -> dict:
    """CPU, memory, clock, temperature and load as they are now."""
    cpuinfo = _cpuinfo()
    flags = (cpuinfo.get("flags") or cpuinfo.get("Features") or "").split()
    return {
        "arch": platform.machine(),
        "emulated_by": emulated_by(),
        "cpu": cpuinfo.get("model name") or cpuinfo.get("Model") or _arm_part(cpuinfo),
        "cpu_part": _arm_part(cpuinfo),
        "cores": len(usable_cores()),
        "isa": sorted(set(flags) & _ISA_FLAGS),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clock_mhz": _scaled("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 1000) or _number(cpuinfo.get("cpu MHz")),
        "temperature_c": _scaled("/sys/class/thermal/thermal_zone0/temp", 1000),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "memory_mb": _meminfo("MemTotal"),
        "memory_free_mb": _meminfo("MemAvailable"),
        "os": "{} {}".format(platform.system(), platform.release()),
        "python": platform.python_version(),
    }


def usable_cores() -> list:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def emulated_by() -> str | None:
    """What emulates this CPU, in words; None where nothing is found: a whole emulated computer may hide it.

    An emulator of programs shows its own CPU and its guest's program wherever it is asked, but for the thread's own link to the
    program that really runs. Where that cannot be read, /proc/cpuinfo may be the one of the CPU below.
    """
    program, name = _elf_machine(_OWN_PROGRAM), _link(_OWN_PROGRAM)
    if Path(name).name.startswith("qemu-") or (program and program != (_elf_machine(sys.executable) or program)):
        return "{}, a program for {}".format(name or "another program", _ELF_MACHINES.get(program, "another CPU"))
    cpuinfo = _cpuinfo()
    model = cpuinfo.get("model name") or ""
    if "VirtualApple" in model:
        return "Rosetta, on an Apple CPU"
    if "TCG" in model:
        return "QEMU's TCG"
    kinds = {kind for key, kind in _CPUINFO_OF.items() if key in cpuinfo}
    if len(kinds) == 1 and platform.machine().lower().startswith(_FOREIGN_TO[min(kinds)]):
        return "something on {} CPU: /proc/cpuinfo is of one{}".format(min(kinds), ", " + model if model else "")
    return None


def saturates_u8s8() -> bool | None:
    """Whether this CPU adds pairs of u8 x s8 products in 16 bits, which can saturate: x86 with AVX2, without VNNI.

    None where unknown.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    flags = set(_cpuinfo().get("flags", "").split())
    return "avx2" in flags and not {"avx_vnni", "avx512_vnni"} & flags if flags else None


def cpu_seconds() -> dict | None:
    """Seconds that the usable cores were busy, that a hypervisor gave to others, and that this process and its children took."""
    lines = (_read("/proc/stat") or "").splitlines()
    cores = {"cpu{}".format(core) for core in usable_cores()}
    ticks = [[int(value) for value in line.split()[1:9]] for line in lines if line.split(" ")[0] in cores]
    if not ticks or any(len(row) < 8 for row in ticks):
        return None
    user, nice, system, _, _, irq, softirq, steal = (sum(column) / os.sysconf("SC_CLK_TCK") for column in zip(*ticks))
    return {"busy": user + nice + system + irq + softirq, "stolen": steal, "own": sum(os.times()[:4])}


def resident_mb() -> dict:
    """Resident memory now and its peak since `reset_peak`, in 10^6 bytes: whole, anonymous pages, pages of files."""
    status = _pairs("/proc/self/status")

    def mb(key: str) -> float | None:
        value = status.get(key)
        return int(value.split()[0]) * 1024 / 1e6 if value else None

    return {"peak": mb("VmHWM"), "resident": mb("VmRSS"), "anonymous": mb("RssAnon"), "file": mb("RssFile")}


def reset_peak() -> bool:
    """Sets VmHWM to what is resident now (proc(5), clear_refs); False where the kernel does not let us."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def bytes_read_from_storage() -> int | None:
    """Bytes that this process made the storage deliver: 0 where the page cache had them all."""
    value = _pairs("/proc/self/io").get("read_bytes")
    return int(value) if value else None


def drop_from_cache(folder: Path) -> None:
    """Asks the kernel to forget a folder's files; `bytes_read_from_storage` afterwards proves whether it did."""
    for path in folder.rglob("*"):
        if path.is_file() and hasattr(os, "posix_fadvise"):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fdatasync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


_ISA_FLAGS = {
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "asimd", "neon", "crc32", "aes", "asimddp",
    "asimdhp", "fphp", "i8mm", "bf16", "sve", "sve2",
}  # fmt: skip
_ARM_PARTS = {
    "0xd03": "cortex-a53", "0xd04": "cortex-a35", "0xd05": "cortex-a55", "0xd07": "cortex-a57", "0xd08": "cortex-a72",
    "0xd09": "cortex-a73", "0xd0a": "cortex-a75", "0xd0b": "cortex-a76", "0xd0c": "neoverse-n1", "0xd41": "cortex-a78",
    "0xd42": "cortex-a78ae", "0xd47": "cortex-a710", "0xd81": "cortex-a720",
}  # fmt: skip


_OWN_PROGRAM = "/proc/thread-self/exe"
_ELF_MACHINES = {3: "x86", 40: "32-bit ARM", 62: "x86-64", 183: "aarch64", 243: "RISC-V"}
_CPUINFO_OF = {"flags": "an x86", "CPU implementer": "an ARM", "uarch": "a RISC-V"}
_X86, _ARM, _RISCV = ("x86_64", "amd64", "i386", "i486", "i586", "i686"), ("aarch64", "arm"), ("riscv",)
_FOREIGN_TO = {"an x86": _ARM + _RISCV, "an ARM": _X86 + _RISCV, "a RISC-V": _X86 + _ARM}


def _elf_machine(path: str) -> int | None:
    """The number of the CPU that a program is for; None where it cannot be read or is no program, such as a script."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(20)
    except OSError:
        return None
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    return struct.unpack("<H" if head[5] == 1 else ">H", head[18:20])[0]


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115  Python 3.8 has no other
    except OSError:
        return ""


def _arm_part(cpuinfo: dict) -> str | None:
    part = cpuinfo.get("CPU part")
    return _ARM_PARTS.get(part.lower(), part) if part else None


def _cpuinfo() -> dict:
    return _pairs("/proc/cpuinfo")


def _pairs(path: str) -> dict:
    pairs: dict = {}
    for line in (_read(path) or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            pairs.setdefault(key.strip(), value.strip())
    return pairs


def _meminfo(key: str) -> float | None:
    value = _pairs("/proc/meminfo").get(key)
    return round(int(value.split()[0]) * 1024 / 1e6, 1) if value else None


def _scaled(path: str, divisor: int) -> float | None:
    value = _read(path)
    return int(value) / divisor if value and value.lstrip("-").isdigit() else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return None
