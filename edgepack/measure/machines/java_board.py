"""A phone without Python at the other end of a pipe: targets/java answers there, over what runs the model in an app."""

import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import answer_of
from edgepack.measure.machines.job_answers import checked
from edgepack.measure.machines.jobs import refusal
from edgepack.measure.machines.machine import Facts, Pushed, Removal, SetUp
from edgepack.measure.machines.session import (
    ANSWER_S,
    Pipe,
    Session,
    check_ended,
    facts_from,
    files_to_bring,
    in_brackets,
    with_hash,
)
from edgepack.measure.machines.targets import Target
from edgepack.pack.manifest import Manifest
from edgepack.pack.weight_places import write_weights

PROGRAM, LIBRARIES = "runner.jar", "lib"
MAIN = "edgepack.module.Runner"
_LIBRARY_FOLDERS = ("lib/", "jni/")  # in an app's package, and in a library's
_DAMAGED = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)  # what zipfile raises where a bit has flipped
_NOTHING = "edgepack keeps nothing on a phone without Python"


class JavaBoard:
    """One session. See machine.Machine: the model is timed, and not the tokenizer or the storage by itself."""

    can = frozenset({"computes", "times", "quiet", "ops", "copies"})

    def __init__(self, target: Target, pipe: Pipe) -> None:
        self.target, self.place = target, f"at {target.address}, by Java"
        self._session = Session(target, pipe, lambda: self.facts().free_mb)
        complaint = self._session.greet([])
        if complaint is not None:
            raise EdgepackError(
                f"{target.name} does not start edgepack's runner{in_brackets(complaint)}",
                "Android 8 or newer is needed there; or give it a Python: see the guide for Android",
            )

    def facts(self) -> Facts:
        return facts_from(self._session, self.target, has_python=False)

    def emulated_by(self) -> str | None:
        return self.facts().machine.get("emulated_by")

    def set_up(self, runtime: str, version: str | None, wheels: Path | None, dry_run: bool) -> SetUp:
        raise EdgepackError(f"nothing to set up for {self.target.name}: {_NOTHING}", "measure: it brings its runner each time")

    def remove(self) -> Removal:
        return Removal(target=self.target.name, address=self.target.address, removed=None, freed_mb=0.0)

    def push(self, folder: Path, manifest: Manifest) -> Pushed:
        """Brings the pack, with the places of its weights, which Java cannot read out of an ONNX file."""
        with tempfile.TemporaryDirectory() as place:
            files = files_to_bring(folder, manifest)
            for model in {manifest.model, manifest.score_model} - {None} if manifest.format == "onnx" else ():
                weights = Path(place) / f"{model}.weights.json"
                write_weights(folder / model, weights)
                files[weights.name] = with_hash(weights)
            return self._session.place({"pack": files})

    def run_job(self, folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]:
        """The runner's one JSON object for one job on the pack that was pushed."""
        limit_s = self.target.time_out_s
        done = self._session.ask("run", wait_s=limit_s + ANSWER_S, job=job, time_out_s=limit_s)
        check_ended(done, self.target, folder, job)
        if done["code"]:
            if done["out"].startswith('{"error"'):
                raise refusal(answer_of(done["out"], f"of {self.target.name}"))
            raise EdgepackError(
                f"the runner on {self.target.name} failed on {job['kind']} of {folder}: {_reason(done)}",
                "check the pack with `edgepack verify`; a runtime older than the pack needs refuses its file",
            )
        return checked(answer_of(done["out"], f"of {self.target.name}"), job, f"of {self.target.name}")


def _reason(done: dict[str, Any]) -> str:
    """The first line of Java's complaint; what follows it is where that was."""
    lines = [line.strip() for line in done["err"].splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    stated = next((line for line in lines if "Exception" in line or "Error" in line), lines[0] if lines else f"exit code {done['code']}")
    return stated.partition("Exception in thread ")[2].partition('" ')[2] or stated


def parts_of(runner: Path, abi: str, folder: Path) -> list[tuple[str, Path]]:
    """What a phone of `abi` needs of a runner, as files in `folder` and the names that they have there: the program, and its libraries.

    EdgepackError: not an archive, or one that has no libraries for such a phone.
    """
    try:
        with zipfile.ZipFile(runner) as archive, zipfile.ZipFile(folder / PROGRAM, "w", zipfile.ZIP_DEFLATED) as program:
            parts, built_for = [(PROGRAM, folder / PROGRAM)], set()
            for name in sorted(archive.namelist()):
                inside = next((name.removeprefix(start) for start in _LIBRARY_FOLDERS if name.startswith(start)), None)
                if inside is None:
                    program.writestr(name, archive.read(name))
                elif inside.endswith(".so"):
                    built_for.add(inside.partition("/")[0])
                    if inside.partition("/")[0] == abi:
                        (folder / Path(name).name).write_bytes(archive.read(name))
                        parts.append((f"{LIBRARIES}/{Path(name).name}", folder / Path(name).name))
    except _DAMAGED as error:
        raise EdgepackError(f"{runner} is no runner for phones: {error}", "remove it, and build it again") from None
    if built_for and len(parts) == 1:
        raise EdgepackError(
            f"{runner} is for {', '.join(sorted(built_for))}, and the phone is {abi}", "build it again with libraries for that phone"
        )
    return parts
