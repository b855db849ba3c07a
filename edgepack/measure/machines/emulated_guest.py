"""Runs a Python under qemu-user: sets its CPU, system files and environment, and says how it ended."""

import contextlib
import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.emulated_cpus import EmulatedCpu
from edgepack.measure.machines.jobs import DROPPED

_TOPOLOGY = {  # of core {core} among the cores 0 to {last}
    "core_id": "{core}",
    "physical_package_id": "0",
    "cluster_id": "0",
    "core_siblings_list": "0-{last}",
    "package_cpus_list": "0-{last}",
    "cluster_cpus_list": "0-{last}",
    "thread_siblings_list": "{core}",
    "core_cpus_list": "{core}",
}
_REPEATABLE = {
    "PYTHONNOUSERSITE": "1",
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "LD_BIND_NOW": "1",  # no symbol is looked up while instructions are counted
}


class Guest:
    """One CPU with the files of its system. folder: what qemu takes for /, and behind it the files of this machine."""

    def __init__(self, cpu: EmulatedCpu, folder: Path, has_own_python: bool) -> None:
        self.cpu, self.folder = cpu, folder
        self._python = str(folder / "usr" / "bin" / "python3") if has_own_python else sys.executable

    def run(
        self, arguments: list[str], path: list[Path], time_out_s: float, plugin: tuple[Path, Path] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Python with `arguments`. path: its PYTHONPATH. plugin: qemu's, and the file that this writes to."""
        emulator = [self.cpu.emulator, "-cpu", self.cpu.model, "-seed", "0", "-L", str(self.folder)]
        if plugin:
            emulator += ["-plugin", f"file={str(plugin[0]).replace(',', ',,')}"]
        environment = self._environment(path) | ({"EDGEPACK_INSTRUCTIONS": str(plugin[1])} if plugin else {})
        command = [*emulator, self._python, "-X", "utf8", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=time_out_s, check=False,
            env=environment, preexec_fn=_prepare,
        )  # fmt: skip

    def _environment(self, path: list[Path]) -> dict[str, str]:
        """This machine's, less what would change the guest's threads and imports, and what makes one start like another."""
        inherited = {name: value for name, value in os.environ.items() if name not in DROPPED and not name.startswith(("QEMU_", "LD_"))}
        variables = {"PYTHONPATH": os.pathsep.join(map(str, path))}
        return inherited | _REPEATABLE | variables | self.cpu.environment


@contextlib.contextmanager
def guest(cpu: EmulatedCpu, root: Path | None) -> Iterator[Guest]:
    """A machine of the kind of `cpu`. root: a folder with a Python for it; without one, this Python runs on the emulated CPU.

    /proc/cpuinfo and /sys/devices/system/cpu are its own: without them onnxruntime crashes at import, and would choose its
    kernels by this machine's.
    """
    with tempfile.TemporaryDirectory(prefix="edgepack-emulated-") as place:
        folder = Path(place)
        for entry in root.iterdir() if root else ():
            (folder / entry.name).symlink_to(entry.absolute())
        for name, text in system_files(cpu).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        yield Guest(cpu, folder, root is not None)


def emulator_version(cpu: EmulatedCpu) -> str:
    """Such as 7.2.22. EdgepackError where qemu is not installed."""
    if shutil.which(cpu.emulator) is None:
        raise EdgepackError(f"qemu://{cpu.name} needs {cpu.emulator}, which is not installed", "apt-get install qemu-user")
    done = subprocess.run([cpu.emulator, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split("version", 1)[1].split()[0]


def ended_by(code: int) -> str | None:
    """The name of the signal that ended a guest; None where none did. qemu ends by the guest's own."""
    return signal.Signals(-code).name if code < 0 else None


def system_files(cpu: EmulatedCpu) -> dict[str, str]:
    """What tells programs about the CPU, by path under /."""
    cores, last = range(cpu.cores), cpu.cores - 1
    lines = "".join(f"{key}\t: {value}\n" for key, value in cpu.about.items())
    topology = "physical id\t: 0\ncore id\t\t: {core}\nsiblings\t: {cores}\ncpu cores\t: {cores}\napicid\t\t: {core}\n"
    more = topology if cpu.arch == "x86_64" else ""
    system = "sys/devices/system/cpu"
    files = {"proc/cpuinfo": "".join(f"processor\t: {core}\n{lines}{more.format(core=core, cores=cpu.cores)}\n" for core in cores)}
    files |= {f"{system}/{name}": f"0-{last}\n" for name in ("possible", "present", "online")} | {f"{system}/kernel_max": "255\n"}
    for core in cores:
        for name, text in _TOPOLOGY.items():
            files[f"{system}/cpu{core}/topology/{name}"] = text.format(core=core, last=last) + "\n"
        for name in ("cpuinfo_max_freq", "cpuinfo_min_freq"):
            files[f"{system}/cpu{core}/cpufreq/{name}"] = f"{cpu.clock_mhz * 1000}\n"
    return files


_LIBC = ctypes.CDLL(None)
_ADDR_NO_RANDOMIZE = 0x0040000  # personality(2)


def _prepare() -> None:
    """Of the process that becomes qemu: no core files, and the same addresses each time, by which instruction counts repeat."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _LIBC.personality(_ADDR_NO_RANDOMIZE)
