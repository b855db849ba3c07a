"""What targets in JavaScript share: the packs they take, and facts of this machine that they cannot read themselves."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import as_object
from edgepack.core.records import Frozen
from edgepack.core.resources import shipped
from edgepack.measure.machines.machine import Facts, Pushed
from edgepack.pack.manifest import Manifest

ABILITIES = frozenset({"computes", "times", "quiet"})  # see machine.Machine


def check_pack(place: str, manifest: Manifest) -> None:
    """EdgepackError: a TFLite file, which the runtimes of JavaScript do not open."""
    if manifest.format != "onnx":
        raise EdgepackError(
            f"onnxruntime {place} opens ONNX files, and the pack is a TFLite file for {manifest.plan.runtime}",
            "build the pack with --format onnx, or leave this target out",
        )


def pushed_nothing(place: str, manifest: Manifest) -> Pushed:
    """The pack stays where it is, and the runtime reads it there. EdgepackError as of check_pack."""
    check_pack(place, manifest)
    return Pushed(files=0, of_files=len(manifest.files), mb=0.0)


class Host(Frozen):
    """This machine as targets/host.py reads it. saturates_u8s8: null where nobody can tell."""

    machine: dict[str, Any]
    saturates_u8s8: bool | None


def host(dropped: Path | None = None) -> Host:
    """As it is now: a browser's page cannot read its load, clock or temperature. dropped: a folder to forget first."""
    command = [sys.executable, "-X", "utf8", str(shipped("targets") / "host.py"), *([str(dropped)] if dropped else [])]
    return Host(**json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout))


def emulated_by() -> str | None:
    """What emulates this machine's CPU: JavaScript cannot see it."""
    return host().machine.get("emulated_by")


def completed(answer: dict[str, Any], complete: Callable[[dict[str, Any]], dict[str, Any]], place: str) -> dict[str, Any]:
    """The answer with its facts of the machine, before the job and after it, made complete by `complete`."""
    facts = [key for key in ("machine", "machine_before") if key in answer]
    return answer | {key: complete(as_object(answer[key], f"{key} {place}")) for key in facts}


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
