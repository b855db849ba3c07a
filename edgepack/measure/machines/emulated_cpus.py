"""CPUs that qemu-user emulates here, as data: how each is started, and what its system reports about it. Never `max`.

qemu 7.2's `max` has SME, with which both runtimes answer wrongly in int8; a real CPU's model answers as the CPU does.
"""

from typing import Literal

from pydantic import Field

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.plan.saturation import lacks_vnni

Arch = Literal["aarch64", "armv7l", "x86_64"]
_EMULATORS = {"aarch64": "qemu-aarch64", "armv7l": "qemu-arm", "x86_64": "qemu-x86_64"}


class EmulatedCpu(Frozen):
    """model: what qemu calls it. about: the lines of /proc/cpuinfo for each core; runtimes choose their kernels by them."""

    name: str
    arch: Arch
    model: str
    clock_mhz: int
    about: dict[str, str]
    environment: dict[str, str] = Field(default_factory=dict)
    cores: int = 4

    @property
    def emulator(self) -> str:
        return _EMULATORS[self.arch]

    @property
    def features(self) -> frozenset[str]:
        return frozenset(self.about["flags" if self.arch == "x86_64" else "Features"].split())

    @property
    def may_saturate(self) -> bool:
        return lacks_vnni(self.arch, self.features)


def find_cpu(address: str) -> EmulatedCpu:
    """The CPU of `qemu://NAME`, whatever its capitals. EdgepackError names the known ones."""
    wanted = address.partition("://")[2].rstrip("/")
    for cpu in CPUS:
        if cpu.name.lower() == wanted.lower():
            return cpu
    raise EdgepackError(f"no such CPU is emulated here: {address!r}", f"write qemu:// and one of: {', '.join(cpu.name for cpu in CPUS)}")


def _arm(variant: int, part: int, revision: int, features: str) -> dict[str, str]:
    return {
        "BogoMIPS": "108.00",
        "Features": features,
        "CPU implementer": "0x41",
        "CPU architecture": "8",
        "CPU variant": f"{variant:#x}",
        "CPU part": f"{part:#x}",
        "CPU revision": str(revision),
    }


def _intel(name: str, family_model: int, flags: str) -> dict[str, str]:
    return {"vendor_id": "GenuineIntel", "cpu family": "6", "model": str(family_model), "model name": name, "stepping": "1", "flags": flags}


_ARMV8 = "fp asimd evtstrm crc32 cpuid"
_ARMV8_2 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
_ARMV7 = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm"
_X86_64_V2 = "fpu tsc cx8 cmov mmx fxsr sse sse2 syscall nx lm constant_tsc pni ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm"
_X86_64_V3 = f"{_X86_64_V2} movbe aes xsave avx f16c rdrand abm fsgsbase bmi1 avx2 smep bmi2 erms fma"
_SSE_ONLY = {"OPENBLAS_CORETYPE": "Nehalem"}  # numpy's OpenBLAS takes these CPUs under qemu for newer ones

CPUS = (
    EmulatedCpu(name="cortex-a53", arch="aarch64", model="cortex-a53", clock_mhz=1400, about=_arm(0x0, 0xD03, 4, _ARMV8)),
    EmulatedCpu(name="cortex-a72", arch="aarch64", model="cortex-a72", clock_mhz=1800, about=_arm(0x0, 0xD08, 3, _ARMV8)),
    EmulatedCpu(name="cortex-a76", arch="aarch64", model="cortex-a76", clock_mhz=2400, about=_arm(0x4, 0xD0B, 1, _ARMV8_2)),
    EmulatedCpu(name="neoverse-n1", arch="aarch64", model="neoverse-n1", clock_mhz=2600, about=_arm(0x3, 0xD0C, 1, _ARMV8_2)),
    EmulatedCpu(
        name="armv7",  # with NEON and VFPv4: the oldest that the 32-bit systems of Raspberry Pi and Debian run on together with wheels
        arch="armv7l",
        model="cortex-a7",
        clock_mhz=900,
        about={"model name": "ARMv7 Processor rev 5 (v7l)"} | _arm(0x0, 0xC07, 5, _ARMV7) | {"CPU architecture": "7"},
    ),
    EmulatedCpu(name="Haswell", arch="x86_64", model="Haswell", clock_mhz=2600, about=_intel("Intel Core (Haswell)", 60, _X86_64_V3)),
    EmulatedCpu(
        name="Nehalem",
        arch="x86_64",
        model="Nehalem",
        clock_mhz=2600,
        about=_intel("Intel Core i7 9xx (Nehalem)", 26, _X86_64_V2),
        environment=_SSE_ONLY,
    ),
    EmulatedCpu(
        name="Denverton",
        arch="x86_64",
        model="Denverton-v2",
        clock_mhz=2200,
        about=_intel("Intel Atom (Denverton)", 95, f"{_X86_64_V2} movbe aes rdrand erms"),
        environment=_SSE_ONLY,
    ),
)
