"""tflite-runtime 2.14 for this machine, in a folder of its own beside edgepack's environment: what a pack for it is judged with.

LiteRT opens such a pack too, and rounds otherwise here and there: answers that a device must give again come from its own release.
"""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from edgepack.core.cache import cache_folder, run_once
from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.measure.machines.machine import Facts
from edgepack.measure.machines.wheels import DEFAULT_VERSIONS, MODULES, fetch_wheels, requirements
from edgepack.plan.formats import OLD_RUNTIME

_MAKER = 1  # rises with what this file makes
_IMPORT_S = 120


@cache
def old_runtime(facts: Callable[[], Facts]) -> Path | None:
    """The folder for its PYTHONPATH, from the cache or by pip now. None, and said why, where this machine cannot have it."""
    version = DEFAULT_VERSIONS[OLD_RUNTIME]
    key = f"{OLD_RUNTIME}-{version}-{sys.implementation.cache_tag}-{_MAKER}"

    def work(folder: Path, resume: Path) -> dict[str, Any]:
        wheels = resume / "wheels"
        wheels.mkdir(exist_ok=True)
        for path in fetch_wheels(facts(), requirements(OLD_RUNTIME, version), wheels, None):
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(folder)
        command = [*interpreter(folder), "-c", f"import {MODULES[OLD_RUNTIME]}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_IMPORT_S, env=os.environ | environment(folder), check=False)
        if done.returncode:
            raise EdgepackError(f"it does not start: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}", "")
        return {"version": version}

    try:
        return run_once(cache_folder() / "runtimes", key, work)[0]
    except EdgepackError as error:
        say(f"{OLD_RUNTIME} {version} cannot be had here, so LiteRT answers in its place, which may differ a little: {error.problem}")
        return None


def interpreter(site: Path | None) -> list[str]:
    """How a target's Python starts. -S: none of this environment's packages, of which LiteRT would come first."""
    return [sys.executable, *(["-S"] if site else []), "-X", "utf8"]


def environment(site: Path | None) -> dict[str, str]:
    """What it needs beside this process's own variables."""
    return {"PYTHONPATH": str(site)} if site else {}
