"""A machine at the other end of a pipe: sends targets/board.py through it, which does everything else there.

The transport only starts a command there. What lies on the board is the board's own business: it cleans up when the pipe ends.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import answer_of
from edgepack.core.resources import shipped
from edgepack.measure.machines.board_answers import checked_removed
from edgepack.measure.machines.board_setup import set_up_board
from edgepack.measure.machines.job_answers import checked
from edgepack.measure.machines.jobs import failure, script_of
from edgepack.measure.machines.machine import Facts, Pushed, Removal, SetUp
from edgepack.measure.machines.session import ANSWER_S, Pipe, Session, check_ended, facts_from, files_to_bring, in_brackets, with_hash
from edgepack.measure.machines.targets import Target
from edgepack.pack.manifest import Manifest, PackedFile

_SOURCES = ("machine", "hashing", "store", "board_python", "board_process", "board")
_BOOT = (
    "import sys, json, types\n"
    "for name, text in json.loads(sys.stdin.buffer.readline().decode()):\n"
    "    module = sys.modules[name] = types.ModuleType(name)\n"
    "    exec(compile(text, name + '.py', 'exec'), module.__dict__)\n"
    "sys.modules['board'].main()"
)
_NO_HOME = "this user has no home folder"  # as targets/board.py says it
_NO_PYTHON = "install it there, or name the one to use in targets.toml, as python = ..."


class Remote:
    """One session. `place` names the machine in reports and errors."""

    can = frozenset({"computes", "times", "quiet", "storage", "texts", "ops", "copies"})

    def __init__(self, target: Target, pipe: Pipe, no_python_fix: str = _NO_PYTHON) -> None:
        self.target, self.place, self._no_python_fix = target, f"at {target.address}", no_python_fix
        self._session = Session(target, pipe, lambda: self.facts().free_mb)
        sources = [[name, (shipped("targets") / f"{name}.py").read_text(encoding="utf-8")] for name in _SOURCES]
        complaint = self._session.greet([sources, {"folder": target.folder}])
        if complaint is not None:
            raise self._no_python(complaint)

    def ask(self, do: str, wait_s: float = ANSWER_S, **more: Any) -> Any:
        return self._session.ask(do, wait_s, **more)

    def send(self, files: Sequence[tuple[Path, PackedFile]]) -> Pushed:
        return self._session.send(files)

    def facts(self) -> Facts:
        return facts_from(self._session, self.target, has_python=True)

    def emulated_by(self) -> str | None:
        return self.facts().machine.get("emulated_by")

    def set_up(self, runtime: str, version: str | None, wheels: Path | None, dry_run: bool) -> SetUp:
        return set_up_board(self, runtime, version, wheels, dry_run)

    def remove(self) -> Removal:
        answer = checked_removed(self.ask("remove"), f"of {self.target.name}")
        return Removal(target=self.target.name, address=self.target.address, removed=answer.removed, freed_mb=answer.freed_mb)

    def push(self, folder: Path, manifest: Manifest) -> Pushed:
        """Brings the pack and targets/: only what is not there by its hash. Where the disk is full, what was sent goes again."""
        targets = shipped("targets")
        scripts, module = ({path.name: with_hash(path) for path in sorted(place.glob("*.py"))} for place in (targets, targets / "module"))
        return self._session.place({"pack": files_to_bring(folder, manifest), "targets": scripts, "module": module})

    def run_job(self, folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]:
        """The target's one JSON object for one job on the pack that was pushed; errors as those of the local transport."""
        limit_s = self.target.time_out_s
        done = self.ask("run", wait_s=limit_s + ANSWER_S, script=script_of(runtime), job=job, time_out_s=limit_s)
        check_ended(done, self.target, folder, job)
        if done["code"] and "ModuleNotFoundError" in done["err"]:
            raise EdgepackError(
                f"{self.target.python} on {self.target.name} cannot run {runtime}: {done['err'].strip().splitlines()[-1]}",
                f"install a Python with it there: {self.target.command('setup', '--pack', str(folder))}",
            )
        if done["code"]:
            raise failure(f"{folder} on {self.target.name}", runtime, job, done["err"].strip() or f"exit code {done['code']}", done["out"])
        return checked(answer_of(done["out"], f"of {self.target.name}"), job, f"of {self.target.name}")

    def _no_python(self, complaint: str) -> EdgepackError:
        if "not found" in complaint or "No such file" in complaint:
            return EdgepackError(
                f"no {self.target.python} on {self.target.name}{in_brackets(complaint)}",
                self._no_python_fix,
            )
        if _NO_HOME in complaint:
            return EdgepackError(f"on {self.target.name} {_NO_HOME}", "set an absolute `folder` for it in targets.toml")
        return EdgepackError(
            f"{self.target.python} on {self.target.name} does not run edgepack's files{in_brackets(complaint)}",
            "a Python from 3.8 on is needed there",
        )


def boot_command(target: Target) -> list[str]:
    """What a transport starts on the machine: a Python that takes its program from the pipe."""
    return [target.python, "-X", "utf8", "-u", "-c", _BOOT]
