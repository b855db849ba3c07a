"""onnxruntime's own Java: old classes over today's library for this machine, and what Android's build fetches; out of packages."""

import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

from kotlin_compiler import kept_folder

_DOWNLOAD_S = 400
_OLD, _OLD_VERSION = "pyserini==0.40.0", "1.17.0"  # its jar holds that onnxruntime for Linux
_ANDROID = "com.github.asus4.onnxruntime@0.4.9"  # holds the .aar of onnxruntime 1.29
NOT_IN_THE_OLD = ("createSession(files.map(manifest.model), options)", "createSession(files.read(manifest.model), options)")
NO_QNN_IN_THE_OLD = ("options.addQnn(", "options.addXnnpack(")  # of the runner for phones; neither is in the library below it


@cache
def for_linux() -> Path | None:
    """A folder of 1.17's Java over the library of the onnxruntime that is installed here; None where pip does not give the Java."""
    import onnxruntime

    return _kept(f"onnxruntime-java-{_OLD_VERSION}-over-{onnxruntime.__version__}", _unpack_and_join)


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


def _unpack_and_join(place: Path) -> bool:
    """The library that binds Java asks for the C library by a name and a version of symbols: both become today's."""
    import onnxruntime

    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"), None)
    if library is None or not _unpack_old(place):
        return False
    natives = place / "content" / "ai" / "onnxruntime" / "native" / "linux-x64"
    shutil.copyfile(library, natives / "libonnxruntime.so")
    binding = natives / "libonnxruntime4j_jni.so"
    old, new = (f"VERS_{version}" for version in (_OLD_VERSION, onnxruntime.__version__))
    assert len(old) == len(new), "a name in the binary keeps its length"
    file = f"libonnxruntime.so.{_OLD_VERSION}\0".encode()
    changes = {
        old.encode(): new.encode(),
        _elf_hash(old): _elf_hash(new),
        file: b"libonnxruntime.so.1".ljust(len(file), b"\0"),
    }
    content = binding.read_bytes()
    for before, after in changes.items():
        assert content.count(before) == 1, before
        content = content.replace(before, after)
    binding.write_bytes(content)
    return True


def _elf_hash(name: str) -> bytes:
    """Of a version's name, as the dynamic linker compares it (System V ABI, hash table)."""
    value = 0
    for letter in name.encode():
        value = (value << 4) + letter
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return struct.pack("<I", value)


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
