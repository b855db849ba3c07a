"""onnxruntime's own Java, out of packages that carry it: an old one with libraries for this machine, and what Android's build fetches."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

from kotlin_compiler import kept_folder

_DOWNLOAD_S = 400
_OLD = "pyserini==0.40.0"  # its jar holds onnxruntime 1.17.0 for Linux
_ANDROID = "com.github.asus4.onnxruntime@0.4.9"  # holds the .aar of onnxruntime 1.29
NOT_IN_THE_OLD = ("createSession(files.map(manifest.model), options)", "createSession(files.read(manifest.model), options)")


@cache
def old_for_linux() -> Path | None:
    """A folder of classes and libraries that a JVM here can run; None where pip does not give it."""
    return _kept("onnxruntime-java-1.17.0", _unpack_old)


@cache
def for_android() -> Path | None:
    """The classes of the .aar; None where npm does not give it."""
    folder = _kept("onnxruntime-android-1.29", _unpack_android)
    return folder / "classes.jar" if folder else None


def _kept(name: str, fetch: Callable[[Path], bool]) -> Path | None:
    from filelock import FileLock

    place = kept_folder(name)
    with FileLock(place / "lock"):
        if not (place / "done").is_file() and fetch(place):
            (place / "done").touch()
    return place / "content" if (place / "done").is_file() else None


def _unpack_old(place: Path) -> bool:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--python-version",
        "3.12",
        "--only-binary",
        ":all:",
        "-d",
        str(place),
        _OLD,
    ]
    if subprocess.run(command, capture_output=True, timeout=_DOWNLOAD_S, check=False).returncode:
        return False
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("fatjar.jar"))
        archive.extract(name, place)
    with zipfile.ZipFile(place / name) as jar:
        wanted = [
            each for each in jar.namelist() if each.startswith("ai/onnxruntime/") and ("/native/" not in each or "linux-x64/" in each)
        ]
        jar.extractall(place / "content", wanted)
    wheel.unlink()
    shutil.rmtree(place / name.partition("/")[0])
    return True


def _unpack_android(place: Path) -> bool:
    npm = shutil.which("npm")
    if npm is None or subprocess.run([npm, "pack", _ANDROID], cwd=place, capture_output=True, timeout=_DOWNLOAD_S, check=False).returncode:
        return False
    import tarfile

    (package,) = place.glob("*.tgz")
    with tarfile.open(package) as archive:
        content = archive.extractfile("package/Plugins/Android/onnxruntime.aar").read()
    with zipfile.ZipFile(BytesIO(content)) as library:
        library.extract("classes.jar", place / "content")
    package.unlink()
    return True
