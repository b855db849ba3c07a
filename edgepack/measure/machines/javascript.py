"""What targets in JavaScript share: the packs they take, and facts of this machine that they cannot read themselves."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.resources import shipped
from edgepack.measure.machines.machine import Facts
from edgepack.pack.manifest import Manifest

ABILITIES = frozenset({"computes", "times", "quiet"})  # see machine.Machine


def check_pack(place: str, manifest: Manifest) -> None:
    """EdgepackError: a TFLite file, which the runtimes of JavaScript do not open."""
    if manifest.format != "onnx":
        raise EdgepackError(
            f"onnxruntime {place} opens ONNX files, and the pack is a TFLite file for {manifest.plan.runtime}",
            "build the pack with --format onnx, or leave this target out",
        )


def host(dropped: Path | None = None) -> dict[str, Any]:
    """This machine as it is now: a browser's page cannot read its load, clock or temperature. dropped: a folder to forget first."""
    command = [sys.executable, "-X", "utf8", str(shipped("targets") / "host.py"), *([str(dropped)] if dropped else [])]
    return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)


def emulated_by() -> str | None:
    """What emulates this machine's CPU: JavaScript cannot see it."""
    return host().get("emulated_by")


def facts_of(machine: dict[str, Any], package: str, version: str, place: str) -> Facts:
    """Facts where no Python is asked and nothing is kept."""
    return Facts.read(
        {
            "machine": machine,
            "python": None,
            "implementation": None,
            "libc": None,
            "pointer_bits": None,
            "folder": None,
            "is_set_up": False,
            "exists": False,
            "folder_mb": None,
            "free_mb": None,
            "is_writable": True,
            "packages": {package: version},
        },
        place,
    )
