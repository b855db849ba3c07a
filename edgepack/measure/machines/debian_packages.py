"""Debian's packages for another architecture, unpacked into a folder. Nothing is installed here, and no script of theirs runs."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.emulated_cpus import Arch

_DEBIAN = {"aarch64": "arm64", "armv7l": "armhf"}
_PYTHON = ("python3-minimal", "libpython3-stdlib", "libstdc++6", "libgomp1", "libgcc-s1", "zlib1g", "libexpat1")
_PACKAGES = {"aarch64": _PYTHON, "armv7l": (*_PYTHON, "python3-numpy", "libatomic1")}  # numpy has no wheels for armv7
_ALTERNATIVES = ("blas/libblas.so.3", "lapack/liblapack.so.3")  # what update-alternatives would link beside the other libraries


def packages_of(arch: Arch) -> tuple[str, ...]:
    """Debian's packages that a root is asked for; apt adds what these need."""
    return _PACKAGES[arch]


def check_tools() -> None:
    """EdgepackError where apt-get or dpkg-deb is missing."""
    missing = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    if missing:
        raise EdgepackError(
            f"{' and '.join(missing)} not found: an emulated ARM system is made from Debian's packages",
            "run this on Debian or Ubuntu; or measure on a real board: ssh://user@host",
        )


def download(arch: Arch, packages: Sequence[str], folder: Path) -> list[Path]:
    """Debian's `packages` with all that they need, as files. apt keeps its state in `folder`, and checks signatures and hashes."""
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()  # nothing is installed: everything is fetched
    settings = {
        "APT::Architecture": _DEBIAN[arch],
        "APT::Architectures": _DEBIAN[arch],
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # the user that apt would become cannot read this folder
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache::archives": folder / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Debug::NoLocking": "true",
    }
    apt = ["apt-get", "-q=2", *(part for key, value in settings.items() for part in ("-o", f"{key}={value}"))]
    updated = _apt([*apt, "update"])
    done = _apt([*apt, "-y", "--download-only", "install", *packages])
    if done.returncode:  # an update that failed in part may still have brought all that is needed
        errors = [line for line in (updated.stderr + done.stderr).splitlines() if line.startswith("E:")] or ["apt said nothing"]
        raise EdgepackError(
            f"apt could not fetch the packages of a {_DEBIAN[arch]} system: {errors[0].removeprefix('E: ')}",
            f"check that this machine reaches its package mirror, and that the mirror has {_DEBIAN[arch]}; then start again",
        )
    return sorted((folder / "archives").glob("*.deb"))


def _apt(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environment)


def unpack(packages: list[Path], folder: Path) -> None:
    """Makes a root of them; no script of theirs runs."""
    for path in packages:
        done = subprocess.run(["dpkg-deb", "-x", str(path), str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise EdgepackError(f"{path.name} cannot be unpacked: {done.stderr.strip()}", "free some disk space, and start again")
    for name in ("bin", "lib", "sbin"):
        if not (folder / name).exists():  # systems from Debian 13 on link these into usr
            (folder / name).symlink_to(f"usr/{name}")
    for name in _ALTERNATIVES:
        for path in (folder / "usr" / "lib").glob(f"*/{name}"):
            (path.parent.parent / path.name).symlink_to(name)
