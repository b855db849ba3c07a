"""ProGuard over a module's classes, with the rules that the module carries, as an app's release build does."""

import shutil
import subprocess
import zipfile
from functools import cache
from pathlib import Path

_MAJOR = slice(6, 8)  # of a class file: its version
_JAVA_11 = (55).to_bytes(2, "big")  # Debian's ProGuard reads no newer ones
RULES = Path(__file__).parent.parent / "edgepack" / "ship" / "templates" / "android.consumer-rules.pro"


def missing() -> str | None:
    if not shutil.which("proguard"):
        return "no proguard here: apt-get install proguard-cli"
    return None if _library_module() else "this JDK has no jmods/java.base.jmod"


@cache
def _library_module() -> Path | None:
    javac = shutil.which("javac")
    path = Path(javac).resolve().parent.parent / "jmods" / "java.base.jmod" if javac else None
    return path if path and path.is_file() else None


def _library(place: Path) -> Path:
    """The JDK's own classes under an older version number: what they are called and inherit is all that ProGuard asks."""
    jar = place / "java.base.jar"
    with zipfile.ZipFile(_library_module()) as module, zipfile.ZipFile(jar, "w") as out:
        for name in module.namelist():
            if name.startswith("classes/java/") and name.endswith(".class"):
                content = bytearray(module.read(name))
                content[_MAJOR] = _JAVA_11
                out.writestr(name.removeprefix("classes/"), bytes(content))
    return jar


def shrunk(classes: Path, main: str, place: Path) -> Path:
    """A jar of what `main` needs, renamed, made smaller and optimized; a warning of ProGuard is an error."""
    place.mkdir(parents=True)
    jar = place / "small.jar"
    command = [
        "proguard", "-injars", str(classes), "-outjars", str(jar), "-libraryjars", str(_library(place)),
        "-keep", f"public class {main} {{ public static void main(java.lang.String[]); }}", "-keepattributes", "*Annotation*",
        "-printmapping", str(place / "mapping.txt"), f"@{RULES}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    return jar
