"""Requests and answers over a pipe to another machine, and the files that it keeps by their hashes: see targets/board.py.

What answers there may be Python or Java: both speak the same lines of JSON.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar
from edgepack.core.reading import ANSWER_BYTES, parse_json
from edgepack.core.showing import shown
from edgepack.measure.machines.board_answers import checked_board, checked_ended, checked_missing
from edgepack.measure.machines.machine import Facts, Pushed
from edgepack.measure.machines.targets import Target
from edgepack.pack.manifest import MANIFEST_FILE, REPORT_FILES, STATEMENT_FILE, Manifest, PackedFile, packed
from edgepack.plan.runtime import packages_to_look_for

OTHER_PROGRAM = "find what else prints there, and start again"
ANSWER_S = 120.0
_HELLO = b"edgepack is here\n"
_CHUNK = 1 << 20
_SLOWEST_BYTES_S = 50_000
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


class Session:
    """One session. free_mb: asks the machine how much room it has, before files go there; None where it cannot tell."""

    def __init__(self, target: Target, pipe: Pipe, free_mb: Callable[[], float | None]) -> None:
        self._target, self._pipe, self._free_mb = target, pipe, free_mb
        self._sent: list[str] = []

    def greet(self, lines: Sequence[Any]) -> str | None:
        """Says `lines`. None where the far end answers, else what it complained of."""
        for line in lines:
            self._pipe.write(json.dumps(line).encode() + b"\n")
        for _ in range(_MOST_CHATTER):
            line = self._pipe.read_line(ANSWER_S)
            if line == _HELLO:
                return None
            if not line:
                break
        return self._pipe.complaint()

    def ask(self, do: str, wait_s: float = ANSWER_S, **more: Any) -> Any:
        self._pipe.write(json.dumps({"do": do, **more}).encode() + b"\n")
        return self._answer(wait_s)

    def send(self, files: Sequence[tuple[Path, PackedFile]]) -> Pushed:
        """Files into the board's store. EdgepackError before any is sent where they cannot have room."""
        by_hash = {file.sha256: (path, file) for path, file in files}
        absent = [by_hash[digest] for digest in self._missing(by_hash)]
        needed_mb = sum(file.bytes for _, file in absent) / 1e6
        self._make_room(needed_mb, list(by_hash))
        with bar(f"push to {self._target.name}", needed_mb) as progress:
            for path, file in absent:
                self._put(path, file, progress)
        return Pushed(files=len(absent), of_files=len(by_hash), mb=round(needed_mb, 3))

    def _make_room(self, needed_mb: float, keep: list[str]) -> None:
        """Files of other packs go where there is too little; EdgepackError where that is not enough."""
        free_mb = self._free_mb()
        if free_mb is not None and free_mb < needed_mb:
            self.ask("prune", keep=keep)
            free_mb = self._free_mb()
        if free_mb is not None and free_mb < needed_mb:
            raise self._full(f"{free_mb:.1f} MB free, {needed_mb:.1f} MB needed")

    def _missing(self, by_hash: dict[str, tuple[Path, PackedFile]]) -> list[str]:
        sizes = {digest: file.bytes for digest, (_, file) in by_hash.items()}
        answer = self.ask("missing", wait_s=ANSWER_S + sum(sizes.values()) / _SLOWEST_BYTES_S, files=sizes)
        return checked_missing(answer, sizes, f"of {self._target.name}")

    def place(self, folders: dict[str, dict[str, tuple[Path, PackedFile]]]) -> Pushed:
        """Folders by name of files by name. Where the disk is full, what was sent goes again."""
        pushed = self.send([file for files in folders.values() for file in files.values()])
        try:
            for name, content in folders.items():
                self.ask("place", folder=name, files={file: entry.sha256 for file, (_, entry) in content.items()})
        except Answered:
            self._forget()
            raise
        return pushed

    def _put(self, path: Path, file: PackedFile, progress: Any) -> None:
        self._sent.append(file.sha256)
        self._pipe.write(json.dumps({"do": "put", "sha256": file.sha256, "count": file.bytes}).encode() + b"\n")
        with path.open("rb") as content:
            for chunk in iter(lambda: content.read(_CHUNK), b""):
                self._pipe.write(chunk)
                progress.advance(len(chunk) / 1e6)
        try:
            self._answer(ANSWER_S + file.bytes / _SLOWEST_BYTES_S)
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
                f"{self._target.name} stopped answering: edgepack's process there ended{in_brackets(self._pipe.complaint())}",
                "check whether a user or too little memory ended it there, and start again",
            )
        answer = parse_json(self._pipe.read(self._count(line), wait_s), f"what {self._target.name} answered", OTHER_PROGRAM, finite=False)
        if isinstance(answer, dict) and answer.get("disk_is_full"):
            raise self._full(str(answer.get("error")))
        if isinstance(answer, dict) and "error" in answer:
            raise Answered(f"{self._target.name} failed: {answer['error']}", "correct that there, and start again")
        return answer

    def _count(self, line: bytes) -> int:
        """The length of the answer that follows. int() would take underscores and blanks too, and any size."""
        if not re.fullmatch(rb"[0-9]{1,10}\n?", line) or int(line) > ANSWER_BYTES:
            raise EdgepackError(f"{self._target.name} announced an answer of {shown(line, 40)} bytes", OTHER_PROGRAM)
        return int(line)

    def _full(self, what: str) -> Answered:
        return Answered(
            f"the disk of {self._target.name} is full: {what}. What was sent was removed again",
            f"free some space there, or set another folder for {self._target.name} in targets.toml",
        )


def with_hash(path: Path) -> tuple[Path, PackedFile]:
    return path, packed(path)


def files_to_bring(folder: Path, manifest: Manifest) -> dict[str, tuple[Path, PackedFile]]:
    """A pack's files by name, but for its reports."""
    pack = [file for file in manifest.files if file.name not in (*REPORT_FILES, STATEMENT_FILE)]
    return {file.name: (folder / file.name, file) for file in pack} | {MANIFEST_FILE: with_hash(folder / MANIFEST_FILE)}


def facts_from(session: Session, target: Target, has_python: bool) -> Facts:
    wanted = packages_to_look_for()
    facts = checked_board(session.ask("facts", packages=wanted), wanted, has_python, f"of {target.name}")
    return Facts.read(facts, target.name)


def in_brackets(complaint: str) -> str:
    return f" ({complaint.strip().splitlines()[-1]})" if complaint.strip() else ""


def check_ended(done: Any, target: Target, folder: Path, job: dict[str, Any]) -> None:
    """EdgepackError where a job's process was ended: it ran too long, or a signal came; and where `done` tells no end."""
    checked_ended(done, job["kind"], f"of {target.name}")
    if done["too_long"]:
        raise EdgepackError(
            f"{job['kind']} ran over {target.time_out_s:g} s on {target.name} and was ended there",
            "measure when no other program runs there, or with --quick, or raise time_out_s in targets.toml",
        )
    if done["code"] < 0:
        raise EdgepackError(
            f"{job['kind']} was killed on {target.name} by signal {-done['code']}"
            + (": most often too little memory" if done["code"] == -9 else ""),
            f"check whether the pack fits there: {target.command('check', str(folder))}",
        )
