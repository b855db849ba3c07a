"""The wheels that a board's Python needs, fetched here by pip for its architecture, C library and version."""

import re
import subprocess
import sys
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.machine import Facts
from edgepack.plan.runtime import runtime_facts

_OLDEST_GLIBC_MINOR = 5  # manylinux1


def requirements(runtime: str, version: str | None) -> list[str]:
    """What to ask pip for: the runtime in this version, or in the one that edgepack is tested with, and what its script imports."""
    facts = runtime_facts(runtime)
    first, *others = facts.wheels
    return [f"{first}=={version or facts.version}", *others]


def fetch_wheels(facts: Facts, wanted: list[str], folder: Path, source: Path | None, retries: int = 5) -> list[Path]:
    """Wheels of `wanted` for the machine of `facts`, in `folder`. source: a folder to take them from, in place of pip's index.

    retries: how often pip asks an index again that does not answer; its own five take three quarters of a minute without a network.
    """
    if source is not None and not source.is_dir():
        raise EdgepackError(f"no folder of wheels at {str(source)!r}", "check the path, or leave --wheels out to have pip download them")
    python = ".".join(facts.python.split(".")[:2])
    platforms = [part for tag in _platforms(facts) for part in ("--platform", tag)]
    offline = ["--no-index", "--find-links", str(source)] if source else []
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
        "--retries", str(retries), "--implementation", "cp", "--python-version", python, *platforms, *offline,
        "--dest", str(folder), *wanted,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines() or ["pip said nothing"]
        raise EdgepackError(
            f"no wheels of {', '.join(wanted)} for Python {python} on {facts.machine['arch']} ({' '.join(facts.libc)}): {lines[-1]}",
            "download them where there is a network and name their folder with --wheels, or use a Python there that has wheels",
        )
    return sorted(folder.glob("*.whl"))


def _platforms(facts: Facts) -> list[str]:
    """Tags of wheels that run on a Linux with this C library, the newest first. EdgepackError: another one."""
    arch, (name, version) = facts.machine["arch"], facts.libc
    minor = re.fullmatch(r"2\.([0-9]{1,3})(\..*)?", version)
    if facts.implementation != "CPython" or name != "glibc" or not minor:
        library = f"{name} {version}".strip() or "an unknown C library"
        raise EdgepackError(
            f"no wheels for {facts.implementation} with {library}: runtimes come for CPython with glibc 2 alone",
            "use a system with glibc, such as Debian, Ubuntu or Raspberry Pi OS",
        )
    arch = {"aarch64": "aarch64" if facts.pointer_bits == 64 else "armv7l"}.get(arch, arch)  # a 32-bit system on a 64-bit kernel
    return [
        *(f"manylinux_2_{part}_{arch}" for part in range(int(minor[1]), _OLDEST_GLIBC_MINOR - 1, -1)),
        f"manylinux2014_{arch}",
        f"linux_{arch}",
    ]
