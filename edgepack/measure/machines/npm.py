"""Fetches runtimes' JavaScript packages by npm, once, into the cache. No script of a package runs here."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from edgepack.core.cache import cache_folder
from edgepack.core.errors import EdgepackError
from edgepack.core.files import rename_whole
from edgepack.core.progress import say
from edgepack.plan.runtime import all_runtimes

PACKAGES = {facts.npm.name: facts.npm for facts in all_runtimes() if facts.npm}
_FETCH_S = 600


def check_fetchable(name: str) -> None:
    """EdgepackError where a package is neither in the cache nor can be fetched into it."""
    if not _folder(name).is_dir() and not shutil.which("npm"):
        raise EdgepackError(
            f"{name} {PACKAGES[name].version} is not in the cache, and there is no npm to fetch it",
            "install Node.js with npm (Debian: apt-get install nodejs npm)",
        )


def fetched(name: str) -> Path:
    """The package's own folder, in a node_modules with what it needs. EdgepackError leaves nothing in the cache."""
    done = _folder(name)
    if not done.is_dir():
        check_fetchable(name)
        try:
            done.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(done.parent / f"{done.name}.lock"):
                if not done.is_dir():
                    _fetch(name, done)
        except OSError as error:
            raise _not_fetched(name, error.strerror or str(error)) from None
    return done / "node_modules" / name


def _folder(name: str) -> Path:
    return cache_folder() / "npm" / f"{name}-{PACKAGES[name].version}"


def _fetch(name: str, done: Path) -> None:
    say(f"fetching {name} {PACKAGES[name].version} by npm, once, into {done}")
    with tempfile.TemporaryDirectory(dir=done.parent, prefix=".partial-") as place:
        (Path(place) / "package.json").write_text('{"private": true}\n')
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", f"{name}@{PACKAGES[name].version}"]
        try:
            ended = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=_FETCH_S, env=_quiet(), check=False)
        except subprocess.TimeoutExpired:
            raise _not_fetched(name, f"npm took over {_FETCH_S} s") from None
        if ended.returncode:
            raise _not_fetched(name, _reason(ended.stderr))
        _drop_what_nothing_reads(Path(place) / "node_modules" / name)
        finished = Path(place) / "made"
        finished.mkdir()
        (Path(place) / "node_modules").rename(finished / "node_modules")
        rename_whole(finished, done)


def _quiet() -> dict[str, str]:
    return os.environ | {"NPM_CONFIG_UPDATE_NOTIFIER": "false", "NPM_CONFIG_LOGLEVEL": "error"}


def _reason(complaint: str) -> str:
    """npm's own words, without the lines that say where its log is."""
    lines = [line.removeprefix("npm error ").removeprefix("npm ERR! ") for line in complaint.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("A complete log", "code ", "npm "))]
    return "; ".join(lines[:2]) or "npm said nothing"


def _drop_what_nothing_reads(package: Path) -> None:
    """A page needs three files of a hundred megabytes, Node the library of its own system."""
    wanted = PACKAGES[package.name].files
    for path in (package / "dist").iterdir() if wanted else ():
        if path.name not in wanted:
            path.unlink()
    for other in package.glob("bin/*/*"):
        if other.name != sys.platform:
            shutil.rmtree(other)


def _not_fetched(name: str, reason: str) -> EdgepackError:
    full = "ENOSPC" in reason or "no space left" in reason.lower()
    return EdgepackError(
        f"{name} {PACKAGES[name].version} could not be fetched by npm: {reason}",
        "free some space, or set EDGEPACK_CACHE to a folder on another disk"
        if full
        else "check that npm reaches its registry, or copy the folder npm/ of edgepack's cache from a machine where it does",
    )
