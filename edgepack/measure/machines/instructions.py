"""Counts instructions of an emulated inference: compiles qemu's counting plugin once, and reads its output."""

import hashlib
import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

from edgepack.core.cache import run_once
from edgepack.measure.machines.emulated_cpus import EmulatedCpu
from edgepack.measure.machines.emulated_guest import emulator_version
from edgepack.measure.machines.machine import Uncountable

_SOURCE = Path(__file__).parent / "instructions.c"


def counting_plugin(place: Path, cpu: EmulatedCpu) -> Path:
    """The plugin as a library, from the cache or compiled now. Uncountable: no compiler, or one that fails."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Uncountable("instructions are not counted: no C compiler builds qemu's plugin", "apt-get install gcc libc6-dev")
    version = 1 if int(emulator_version(cpu).split(".")[0]) < 9 else 2  # of the interface; what is used here is the same in both
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]

    def work(folder: Path, resume: Path) -> dict[str, Any]:
        options = ["-shared", "-fPIC", "-O2", "-fvisibility=hidden", f"-DPLUGIN_VERSION={version}"]
        command = [compiler, *options, str(_SOURCE), "-o", str(folder / "instructions.so")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Uncountable(
                f"instructions are not counted: {compiler} cannot build qemu's plugin: {_first_line(done.stderr)}",
                "apt-get install gcc libc6-dev",
            )
        return {"interface": version}

    return run_once(place, f"{cpu.arch}-plugin-{version}-{digest}", work)[0] / "instructions.so"


def _first_line(complaint: str) -> str:
    """It goes into a report, which names no folder of this machine."""
    return (complaint.strip().splitlines() or ["it gave no reason"])[0].replace(f"{_SOURCE.parent}/", "")


def per_inference(marked: Path, lengths: tuple[int, ...], runs: int) -> list[tuple[int, ...]]:
    """Instructions of each of `runs` inferences, by length, from the plugin's file: see targets/counting.py for its marks.

    Uncountable where the marks are not all there: an emulator without plugins.
    """
    lines = [line.split() for line in marked.read_text().splitlines()] if marked.is_file() else []
    counts = [int(total) for _, total in lines]
    if [int(number) for number, _ in lines] != list(range(len(lengths) * (runs + 1))):
        raise Uncountable(
            "instructions are not counted: this qemu gave the plugin no marks", "apt-get install qemu-user, as Debian builds it"
        )
    parts = [counts[at : at + runs + 1] for at in range(0, len(counts), runs + 1)]
    return [tuple(after - before for before, after in itertools.pairwise(part)) for part in parts]
