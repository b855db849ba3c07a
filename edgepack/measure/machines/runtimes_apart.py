"""Runtimes that conflict with edgepack's own packages: each is installed in a separate folder and judges the packs for it.

Another runtime may open such a pack too, and rounds otherwise here and there: answers that a device must give again come from its own.
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
from edgepack.measure.machines.wheels import fetch_wheels, requirements
from edgepack.plan.runtime import runtime_facts

_MAKER = 2  # rises with what this file makes
_IMPORT_S = 120
_RETRIES = 1  # there is a way without it, so that a machine without a network does not wait


@cache
def runtime_apart(runtime: str, facts: Callable[[], Facts]) -> Path | None:
    """The folder for its PYTHONPATH, from the cache or by pip now. None, with a message, where this machine cannot have it.

    EdgepackError: there is no folder for the cache, which the user can mend.
    """
    about = runtime_facts(runtime)
    place, key = cache_folder() / "runtimes", f"{runtime}-{about.version}-{sys.implementation.cache_tag}-{_MAKER}"

    def work(folder: Path, resume: Path) -> dict[str, Any]:
        wheels = resume / "wheels"
        wheels.mkdir(exist_ok=True)
        for path in fetch_wheels(facts(), requirements(runtime, about.version), wheels, None, _RETRIES):
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(folder)
        command = [*interpreter(folder), "-c", f"import {about.module}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_IMPORT_S, env=os.environ | environment(folder), check=False)
        if done.returncode:
            raise EdgepackError(f"it does not start: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}", "")
        return {"version": about.version}

    try:
        return run_once(place, key, work)[0]
    except EdgepackError as error:
        say(
            f"{runtime} {about.version} cannot be installed here, so the runtime in edgepack's environment answers in its place. "
            f"Its answers may differ a little. Reason: {error.problem}"
        )
        return None


def interpreter(site: Path | None) -> list[str]:
    """How a target's Python starts. -S: none of this environment's packages, of which another runtime would come first."""
    return [sys.executable, *(["-S"] if site else []), "-X", "utf8"]


def environment(site: Path | None) -> dict[str, str]:
    """What it needs beside this process's own variables."""
    return {"PYTHONPATH": str(site)} if site else {}
