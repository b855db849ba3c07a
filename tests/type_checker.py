"""TypeScript's own compiler, out of npm, for code that modules and pages show; what is missing where it is not available."""

import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path

from kotlin_compiler import kept_folder

_TYPESCRIPT, _REACT_NATIVE = "5.9.3", "0.88.1"
_FETCH_S = 300
_SETTINGS = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--lib", "es2022,dom"]


@cache
def packages() -> Path | None:
    """A node_modules folder with the compiler and react-native's types, made once and kept; None where npm does not give them."""
    from filelock import FileLock

    place = kept_folder(f"typescript-{_TYPESCRIPT}-react-native-{_REACT_NATIVE}")
    if shutil.which("npm"):
        with FileLock(place / "lock"):
            if not (place / "done").is_file() and _fetched(place):
                (place / "done").touch()
    return place / "node_modules" if (place / "done").is_file() else None


def _fetched(place: Path) -> bool:
    """Of react-native the package alone: its types ask for nothing else where they are not checked themselves."""
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", f"typescript@{_TYPESCRIPT}"]
    for command in (install, ["npm", "pack", f"react-native@{_REACT_NATIVE}"]):
        if subprocess.run(command, cwd=place, capture_output=True, timeout=_FETCH_S, check=False).returncode:
            return False
    (package,) = place.glob("react-native-*.tgz")
    with tarfile.open(package) as archive:
        archive.extractall(place, filter="data")
    package.unlink()
    (place / "package").rename(place / "node_modules" / "react-native")
    return True


def complaints(file: Path, *more: str) -> str:
    """What the compiler says of a file; empty where nothing is wrong."""
    command = ["node", str(packages() / "typescript" / "bin" / "tsc"), *_SETTINGS, *more, str(file)]
    return subprocess.run(command, cwd=file.parent, capture_output=True, text=True, timeout=_FETCH_S, check=False).stdout
