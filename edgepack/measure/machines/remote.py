"""A machine at the other end of a pipe: sends targets/board.py through it, which does everything else there.

The transport only starts a command there. What lies on the board is the board's own business: it cleans up when the pipe ends.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar
from edgepack.core.reading import ANSWER_BYTES, answer_of, as_object, parse_json
from edgepack.core.resources import shipped
from edgepack.core.showing import shown
from edgepack.measure.machines.board_setup import set_up_board
from edgepack.measure.machines.job_answers import checked, checked_about
from edgepack.measure.machines.jobs import failure, script_of
from edgepack.measure.machines.machine import Facts, Pushed, Removal, SetUp
from edgepack.measure.machines.targets import Target
from edgepack.pack.manifest import REPORT_FILES, STATEMENT_FILE, Manifest, PackedFile, packed
from edgepack.plan.runtime import packages_to_look_for

_SOURCES = ("machine", "hashing", "store", "board_python", "board_process", "board")
_BOOT = (
    "import sys, json, types\n"
    "for name, text in json.loads(sys.stdin.buffer.readline().decode()):\n"
    "    module = sys.modules[name] = types.ModuleType(name)\n"
    "    exec(compile(text, name + '.py', 'exec'), module.__dict__)\n"
    "sys.modules['board'].main()"
)
_HELLO = b"edgepack is here\n"
_CHUNK = 1 << 20
_ANSWER_S, _SLOWEST_BYTES_S = 120.0, 50_000
_NO_PYTHON = "install it there, or name the one to use in targets.toml, as python = ..."
_OTHER_PROGRAM = "find what else prints there, and start again"
_MOST_CHATTER = 100  # lines that a login script may print before


class Pipe(Protocol):
    """A command's standard input and output on another machine. EdgepackError where the connection is gone.

    read_line: empty where the command ended. read: exactly so many bytes. complaint: the end of its standard error.
    """

    def write(self, data: bytes) -> None: ...

    def read_line(self, time_out_s: float) -> bytes: ...

    def read(self, count: int, time_out_s: float) -> bytes: ...

    def complaint(self) -> str: ...


class Answered(EdgepackError):
    """The board itself said what is wrong: the session goes on, where a broken pipe ends it."""


class Remote:
    """One session. `place` names the machine in reports and errors."""

    can = frozenset({"computes", "times", "quiet", "storage", "texts", "ops", "copies"})

    def __init__(self, target: Target, pipe: Pipe, no_python_fix: str = _NO_PYTHON) -> None:
        self.target, self.place, self._pipe, self._no_python_fix = target, f"at {target.address}", pipe, no_python_fix
        self._sent: list[str] = []
        self._greet()

    def facts(self) -> Facts:
        facts = as_object(self.ask("facts", packages=packages_to_look_for()), f"the facts of {self.target.name}", _OTHER_PROGRAM)
        checked_about(facts.get("machine"), f"of {self.target.name}")
        return Facts.read(facts, self.target.name)

    def emulated_by(self) -> str | None:
        return self.facts().machine.get("emulated_by")

    def set_up(self, runtime: str, version: str | None, wheels: Path | None, dry_run: bool) -> SetUp:
        return set_up_board(self, runtime, version, wheels, dry_run)

    def remove(self) -> Removal:
        return Removal(target=self.target.name, address=self.target.address, **self.ask("remove"))

    def push(self, folder: Path, manifest: Manifest) -> Pushed:
        """Brings the pack and targets/: only what is not there by its hash. Where the disk is full, what was sent goes again."""
        pack = [file for file in manifest.files if file.name not in (*REPORT_FILES, STATEMENT_FILE)]
        files = {file.name: (folder / file.name, file) for file in pack} | {"pack.json": _with_hash(folder / "pack.json")}
        targets = shipped("targets")
        scripts, module = ({path.name: _with_hash(path) for path in sorted(place.glob("*.py"))} for place in (targets, targets / "module"))
        pushed = self.send([*files.values(), *scripts.values(), *module.values()])
        try:
            for name, content in (("pack", files), ("targets", scripts), ("module", module)):
                self.ask("place", folder=name, files={file: packed.sha256 for file, (_, packed) in content.items()})
        except Answered:
            self._forget()
            raise
        return pushed

    def send(self, files: Sequence[tuple[Path, PackedFile]]) -> Pushed:
        """Files into the board's store. EdgepackError before any is sent where they cannot have room."""
        by_hash = {file.sha256: (path, file) for path, file in files}
        absent = [by_hash[digest] for digest in self._missing(by_hash)]
        needed_mb = sum(file.bytes for _, file in absent) / 1e6
        self._make_room(needed_mb, list(by_hash))
        with bar(f"push to {self.target.name}", needed_mb) as progress:
            for path, file in absent:
                self._put(path, file, progress)
        return Pushed(files=len(absent), of_files=len(by_hash), mb=round(needed_mb, 3))

    def _make_room(self, needed_mb: float, keep: list[str]) -> None:
        """Files of other packs go where there is too little; EdgepackError where that is not enough."""
        free_mb = self.facts().free_mb
        if free_mb is not None and free_mb < needed_mb:
            self.ask("prune", keep=keep)
            free_mb = self.facts().free_mb
        if free_mb is not None and free_mb < needed_mb:
            raise self._full(f"{free_mb:.1f} MB free, {needed_mb:.1f} MB needed")

    def _missing(self, by_hash: dict[str, tuple[Path, PackedFile]]) -> list[str]:
        sizes = {digest: file.bytes for digest, (_, file) in by_hash.items()}
        return self.ask("missing", wait_s=_ANSWER_S + sum(sizes.values()) / _SLOWEST_BYTES_S, files=sizes)

    def run_job(self, folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]:
        """The target's one JSON object for one job on the pack that was pushed; errors as those of the local transport."""
        limit_s = self.target.time_out_s
        done = self.ask("run", wait_s=limit_s + _ANSWER_S, script=script_of(runtime), job=job, time_out_s=limit_s)
        if done["too_long"]:
            raise EdgepackError(
                f"{job['kind']} ran over {limit_s:g} s on {self.target.name} and was ended there",
                "measure when no other program runs there, or with --quick, or raise time_out_s in targets.toml",
            )
        if done["code"] < 0:
            raise EdgepackError(
                f"{job['kind']} was killed on {self.target.name} by signal {-done['code']}"
                + (": most often too little memory" if done["code"] == -9 else ""),
                f"check whether the pack fits there: edgepack target check {self.target.name} {folder}",
            )
        if done["code"] and "ModuleNotFoundError" in done["err"]:
            raise EdgepackError(
                f"{self.target.python} on {self.target.name} cannot run {runtime}: {done['err'].strip().splitlines()[-1]}",
                f"install a Python with it there: edgepack target setup {self.target.name} --pack {folder}",
            )
        if done["code"]:
            raise failure(f"{folder} on {self.target.name}", runtime, job, done["err"].strip() or f"exit code {done['code']}", done["out"])
        return checked(answer_of(done["out"], f"of {self.target.name}"), job, f"of {self.target.name}")

    def ask(self, do: str, wait_s: float = _ANSWER_S, **more: Any) -> Any:
        self._pipe.write(json.dumps({"do": do, **more}).encode() + b"\n")
        return self._answer(wait_s)

    def _put(self, path: Path, file: PackedFile, progress: Any) -> None:
        self._sent.append(file.sha256)
        self._pipe.write(json.dumps({"do": "put", "sha256": file.sha256, "count": file.bytes}).encode() + b"\n")
        with path.open("rb") as content:
            for chunk in iter(lambda: content.read(_CHUNK), b""):
                self._pipe.write(chunk)
                progress.advance(len(chunk) / 1e6)
        try:
            self._answer(_ANSWER_S + file.bytes / _SLOWEST_BYTES_S)
        except Answered:
            self._forget()
            raise

    def _forget(self) -> None:
        self.ask("forget", files=self._sent)
        self._sent.clear()

    def _answer(self, wait_s: float) -> Any:
        line = self._pipe.read_line(wait_s)
        if not line:
            raise EdgepackError(
                f"{self.target.name} stopped answering: edgepack's process there ended{_in_brackets(self._pipe.complaint())}",
                "check whether a user or too little memory ended it there, and start again",
            )
        answer = parse_json(self._pipe.read(self._count(line), wait_s), f"what {self.target.name} answered", _OTHER_PROGRAM, finite=False)
        if isinstance(answer, dict) and answer.get("disk_is_full"):
            raise self._full(str(answer.get("error")))
        if isinstance(answer, dict) and "error" in answer:
            raise Answered(f"{self.target.name} failed: {answer['error']}", "correct that there, and start again")
        return answer

    def _count(self, line: bytes) -> int:
        """The length of the answer that follows. int() would take underscores and blanks too, and any size."""
        if not re.fullmatch(rb"[0-9]{1,10}\n?", line) or int(line) > ANSWER_BYTES:
            raise EdgepackError(f"{self.target.name} announced an answer of {shown(line, 40)} bytes", _OTHER_PROGRAM)
        return int(line)

    def _full(self, what: str) -> Answered:
        return Answered(
            f"the disk of {self.target.name} is full: {what}. What was sent was removed again",
            f"free some space there, or set another folder for {self.target.name} in targets.toml",
        )

    def _greet(self) -> None:
        sources = [[name, (shipped("targets") / f"{name}.py").read_text(encoding="utf-8")] for name in _SOURCES]
        for line in (sources, {"folder": self.target.folder}):
            self._pipe.write(json.dumps(line).encode() + b"\n")
        for _ in range(_MOST_CHATTER):
            line = self._pipe.read_line(_ANSWER_S)
            if line == _HELLO:
                return
            if not line:
                break
        raise self._no_python(self._pipe.complaint())

    def _no_python(self, complaint: str) -> EdgepackError:
        if "not found" in complaint or "No such file" in complaint:
            return EdgepackError(
                f"no {self.target.python} on {self.target.name}{_in_brackets(complaint)}",
                self._no_python_fix,
            )
        return EdgepackError(
            f"{self.target.python} on {self.target.name} does not run edgepack's files{_in_brackets(complaint)}",
            "a Python from 3.8 on is needed there",
        )


def boot_command(target: Target) -> list[str]:
    """What a transport starts on the machine: a Python that takes its program from the pipe."""
    return [target.python, "-X", "utf8", "-u", "-c", _BOOT]


def _with_hash(path: Path) -> tuple[Path, PackedFile]:
    return path, packed(path)


def _in_brackets(complaint: str) -> str:
    return f" ({complaint.strip().splitlines()[-1]})" if complaint.strip() else ""
