"""What measures on a phone without Python: targets/java over the module's own Java and the runtime that an app fetches.

Android's d8 makes it of compiled classes, where d8 and the runtime's package are at hand; else a Gradle project is written, which one
command builds.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
import zlib
from importlib.metadata import version as version_of
from io import BytesIO
from pathlib import Path

from edgepack.core.cache import cache_folder
from edgepack.core.escape import Verbatim
from edgepack.core.files import rename_whole, sha256_of, sync, write_atomically
from edgepack.core.host import home_folder
from edgepack.core.progress import say
from edgepack.core.resources import shipped
from edgepack.ship.jvm.sources import JAVA, LANGUAGE_LEVEL, STUBS
from edgepack.ship.platforms.android import COMPILE_SDK, MIN_SDK
from edgepack.ship.published import tools
from edgepack.ship.shipping import rendered

_PROJECT = {
    "settings.gradle.kts": "settings.gradle.kts",
    "build.gradle.kts": "build.gradle.kts",
    "gradle.properties": "gradle.properties",
    "AndroidManifest.xml": "src/main/AndroidManifest.xml",
}
_BUILT = "build/outputs/apk/release/runner-release-unsigned.apk"  # as Gradle's plugin for Android calls it
_DEXED = "runner.zip"
_D8_S = 300
_DAMAGED = (EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)  # what zipfile raises where a bit has flipped


def runner_for(runtime: str, coordinate: str, version: str, cache: str | None = None) -> Path:
    """The runner of a runtime and of its published release: there already, made now by d8, or, not there yet, where Gradle will put it.

    runtime: the name of its folder in targets/java.
    """
    sources = runner_sources(runtime)
    names = {
        "tools": tools(),
        "compile_sdk": COMPILE_SDK,
        "min_sdk": MIN_SDK,
        "version": version_of("edgepack"),
        "dependency": Verbatim(f"{coordinate}:{version}"),
        "annotations": Verbatim(f"org.jspecify:jspecify:{tools()['jspecify'].version}"),
    }
    files = {f"src/main/java/edgepack/module/{path.name}": path.read_bytes() for path in sources}
    files |= {place: rendered(f"runner.{template}.j2", **names).encode() for template, place in _PROJECT.items()}
    folder = cache_folder(cache) / "runner" / _key(files)
    if not _is_written(files, folder):
        shutil.rmtree(folder, ignore_errors=True)  # what was built of other sources goes too
        _write(files, folder)
    dexed = folder / _DEXED
    if _is_as_made(dexed):
        return dexed
    if (folder / _BUILT).is_file():
        return folder / _BUILT
    program, package = find_d8(), find_package(coordinate, version)
    if program and package and shutil.which("javac"):
        _dex(sources, package, program, dexed)
        return dexed
    return folder / _BUILT


def runner_sources(runtime: str) -> list[Path]:
    """The module's Java that opens and runs a model, and what measures with it."""
    core = [*(JAVA / "core").glob("*.java"), *(JAVA / runtime).glob("*.java")]
    java = shipped("targets") / "java"
    measuring = [*java.glob("*.java"), *(java / runtime).glob("*.java")]
    return sorted([*core, *measuring])


def find_d8() -> Path | None:
    """On the path, or the newest of the SDK's build tools."""
    named = shutil.which("d8")
    if named:
        return Path(named)
    tried = [path for sdk in _sdks() for path in sdk.glob("build-tools/*/d8")]
    return max(tried, key=lambda path: [int(part) for part in re.findall(r"[0-9]+", path.parent.name)], default=None)


def _sdks() -> list[Path]:
    named = [os.environ.get("ANDROID_HOME"), os.environ.get("ANDROID_SDK_ROOT")]
    home = home_folder()
    return [Path(place) for place in named if place] + ([home / "Android" / "Sdk"] if home else [])


def find_package(coordinate: str, version: str) -> Path | None:
    """The runtime's .aar, where a build of Gradle or Maven has fetched it before."""
    group, _, name = coordinate.partition(":")
    home, stated = home_folder(), os.environ.get("GRADLE_USER_HOME")
    gradle = Path(stated) if stated else home / ".gradle" if home else None
    fetched = gradle.glob(f"caches/modules-2/files-2.1/{group}/{name}/{version}/*/{name}-{version}.aar") if gradle else ()
    maven = [home / ".m2" / "repository" / group.replace(".", "/") / name / version / f"{name}-{version}.aar"] if home else []
    return next((path for path in (*fetched, *maven) if path.is_file()), None)


def _dex(sources: list[Path], package: Path, program: Path, goal: Path) -> None:
    """Whole or not at all; without a word where d8 or javac refuses, because Gradle's way stays open."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        try:
            with zipfile.ZipFile(package) as archive:
                (folder / "runtime.jar").write_bytes(archive.read("classes.jar"))
                libraries = {name: archive.read(name) for name in archive.namelist() if re.fullmatch(r"jni/[\w-]+/[\w.-]+\.so", name)}
        except (*_DAMAGED, KeyError) as error:
            say(f"the runtime's package {package} is damaged, so d8 makes no runner for phones of it: {error}")
            return
        annotations = sorted((STUBS / "org" / "jspecify").rglob("*.java"))
        command = ["javac", "-proc:none", "-nowarn", "--release", LANGUAGE_LEVEL, "-encoding", "UTF-8", "-d", str(folder / "classes")]
        if not _worked([*command, "-cp", str(folder / "runtime.jar"), *map(str, [*sources, *annotations])]):
            return
        classes = sorted(str(path) for path in (folder / "classes").rglob("*.class"))
        out = folder / "dexed.zip"
        inputs = ["--release", "--min-api", str(MIN_SDK), "--output", str(out), *_system_library()]
        if not _worked([str(program), *inputs, str(folder / "runtime.jar"), *classes]):
            return
        buffer = BytesIO(out.read_bytes())
        with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
            for name, content in libraries.items():
                archive.writestr(name.replace("jni/", "lib/", 1), content)
        fresh = goal.with_name(f"{goal.name}.{os.getpid()}")
        fresh.write_bytes(buffer.getvalue())
        sync(fresh)
        write_atomically(_hash_of(goal), sha256_of(fresh))
        fresh.replace(goal)
        sync(goal.parent)
    say(f"made a runner for phones without Python with {program}")


def _system_library() -> list[str]:
    """Android's own classes, which d8 wants to know of, where the SDK has them."""
    jars = [path for sdk in _sdks() for path in sdk.glob("platforms/android-*/android.jar")]
    newest = max(jars, key=lambda path: [int(part) for part in re.findall(r"[0-9]+", path.parent.name)], default=None)
    return ["--lib", str(newest)] if newest else []


def _worked(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_D8_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"{command[0]} does not make the runner for phones: {error}")
        return False
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        say(f"{command[0]} does not make the runner for phones: {last}")
    return done.returncode == 0


def _hash_of(runner: Path) -> Path:
    return runner.with_name(f"{runner.name}.sha256")


def _is_as_made(runner: Path) -> bool:
    """Whether a runner of d8 is there with the bytes that it was written with. A damaged one goes, and is made again."""
    if not runner.is_file():
        return False
    stated = _hash_of(runner)
    if stated.is_file() and stated.read_text(encoding="utf-8", errors="replace") == sha256_of(runner):
        return True
    say(f"a runner for phones is damaged and is made again: {runner}")
    runner.unlink()
    return False


def _is_written(files: dict[str, bytes], folder: Path) -> bool:
    """Whether the project's files are those that edgepack writes."""
    return all((folder / name).is_file() and (folder / name).read_bytes() == content for name, content in files.items())


def _key(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()[:24]


def _write(files: dict[str, bytes], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        fresh = Path(place) / "project"
        for name, content in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        rename_whole(fresh, folder)
