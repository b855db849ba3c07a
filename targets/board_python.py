"""A Python of edgepack's own in a folder on a board: made, filled from wheels, asked for versions. Standard library only."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from store import Wrong

_VERSIONS = """
import json, sys
try:
    from importlib.metadata import version
except ImportError:
    version = None
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except Exception:
        found[name] = None
print(json.dumps(found))
"""


def make(folder: Path) -> None:
    """A fresh one in `folder`; an earlier one goes."""
    shutil.rmtree(str(folder / "venv"), ignore_errors=True)
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Wrong("`python3 -m venv` failed: {}".format((done.stdout.decode(errors="replace").strip().splitlines() or ["?"])[-1]))


def program(folder: Path) -> Path:
    return folder / "venv" / "bin" / "python"


def unpack(folder: Path, wheels: list) -> None:
    """Wheels are archives of plain files: neither pip nor a network is needed."""
    site = next((folder / "venv" / "lib").glob("python*")) / "site-packages"
    for path in wheels:
        with zipfile.ZipFile(str(path)) as wheel:
            wheel.extractall(str(site))
    for data in site.glob("*.data"):
        for part in ("purelib", "platlib"):
            if (data / part).is_dir():
                shutil.copytree(str(data / part), str(site), dirs_exist_ok=True)
        shutil.rmtree(str(data))


def check_imports(python: str, module: str) -> None:
    """Wrong where `module` cannot be imported there, with the reason."""
    command = [python, "-c", "import importlib, sys; importlib.import_module(sys.argv[1])", module]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines() or ["it ended by signal {}".format(-done.returncode)]
        raise Wrong("{} cannot be imported there: {}".format(module, why[-1]))


def versions(python: str, packages: list) -> dict:
    """By package; None where it is not installed."""
    done = subprocess.run([python, "-c", _VERSIONS, *packages], check=False, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    return json.loads(done.stdout) if done.returncode == 0 else {}
