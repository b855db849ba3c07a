"""The Java sources under the user's package and name, and what javac makes of them."""

import re
import shutil
import subprocess
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.escape import java
from edgepack.plan.runtime import python_runtimes
from edgepack.ship.release import Release, with_constants

JAVA, STUBS = Path(__file__).with_name("java"), Path(__file__).with_name("stubs")
LANGUAGE_LEVEL = "11"
_PACKAGE = "edgepack.module"
_RUNTIMES = {runtime.format: runtime.name for runtime in python_runtimes() if runtime.android}  # java/ has a folder for each
_SHORT_RUN = ("-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC")  # half the seconds: a compiler that compiles itself only a little
_RENAMED = ("Assets", "Folder", "Main", "Model")  # classes that are called after the module: Pack... in java/
_CLASS = re.compile(rf"\bPack({'|'.join(_RENAMED)})\b")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # zip's first day: the same pack gives the same bytes


def class_prefix(name: str) -> str:
    """`intents` becomes Intents, `my_intents` MyIntents; EdgepackError where a class of the module has that name."""
    prefix = "".join(part.capitalize() for part in name.split("_"))
    reserved = {path.stem for path in JAVA.rglob("*.java")} - {f"Pack{part}" for part in _RENAMED}
    hidden = sorted(reserved & {f"{prefix}{part}" for part in _RENAMED})
    if hidden:
        raise EdgepackError(f"--name {name!r} would replace {hidden[0]}, a class of the module", "give another --name, such as intents")
    return prefix


def write_sources(folder: Path, package: str, name: str, kind: str, release: Release | None = None, host: str = "android") -> list[Path]:
    """The sources for packs of one format (onnx, tflite) as `folder`/com/example/...; what they are called there.

    host: the part of java/ that is for where the module runs: android, or desktop.
    release: whose keys, name and oldest version the code asks for; without one it asks for none.
    """
    place, prefix = folder.joinpath(*package.split(".")), class_prefix(name)
    place.mkdir(parents=True)
    written = []
    for part in ("core", "folder", _RUNTIMES[kind], host):
        for path in sorted((JAVA / part).glob("*.java")):
            text = path.read_text(encoding="utf-8").replace(f"package {_PACKAGE};", f"package {package};")
            text = _CLASS.sub(rf"{prefix}\1", text)
            text = text.replace('FOLDER = "pack"', f'FOLDER = "{java(name)}"')
            if path.name == "Signer.java" and release is not None:
                text = with_constants(text, _signer(name, release))
            written.append(place / _CLASS.sub(rf"{prefix}\1", path.name))
            written[-1].write_text(text, encoding="utf-8")
    return written


def _signer(name: str, release: Release) -> dict[str, str]:
    keys = ", ".join(f'"{java(key)}"' for key in release.public_keys)
    return {
        "PUBLIC_KEYS = {}": f"PUBLIC_KEYS = {{{keys}}}",
        'NAME = ""': f'NAME = "{java(name)}"',
        'MINIMUM_VERSION = "0.0.0"': f'MINIMUM_VERSION = "{java(release.minimum_version)}"',
    }


def classes_jar(sources: list[Path]) -> bytes | None:
    """A jar of the compiled sources, the same bytes for the same javac; None where there is no javac.

    Compiled against signatures alone (stubs/): which names and types a class file refers to is all that it says of a library, so
    the bytes are those that the library's own jar gives.
    """
    javac = shutil.which("javac")
    if javac is None:
        return None
    with tempfile.TemporaryDirectory() as place:
        stubs = sorted(str(path) for path in STUBS.rglob("*.java"))
        command = [javac, *_SHORT_RUN, "-proc:none", "--release", LANGUAGE_LEVEL, "-encoding", "UTF-8", "-g:source,lines", "-d", place]
        done = subprocess.run([*command, *map(str, sources), *stubs], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"javac does not compile the module:\n{done.stderr}")
        names = {path.relative_to(STUBS).with_suffix("").as_posix() for path in STUBS.rglob("*.java")}
        classes = sorted(path for path in Path(place).rglob("*.class"))
        contents = {path.relative_to(place).as_posix(): path.read_bytes() for path in classes}
    return zipped({name: content for name, content in contents.items() if name.removesuffix(".class").partition("$")[0] not in names})


def zipped(files: dict[str, bytes]) -> bytes:
    """Stored, in the order of their names, without a time."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), files[name])
    return buffer.getvalue()
