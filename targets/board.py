"""Serves one session on a board over a pipe: takes files by hash, runs jobs, and cleans up when the pipe ends, however it ends.

Standard library only. It comes through the pipe itself, so that nothing lies on the board before anybody knows what there is
room for. A request is a line of JSON on standard input, behind a `put` follow the bytes; an answer is a line with its length, and JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import board_process
import board_python
import machine
from store import FRESH_MARK, MARK, Store, Wrong, being_set_up_by, bytes_under, checked, claim, error_of, is_set_up, mark_finished, sweep

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before anything here imports onnxruntime: it would keep a database in the home folder
NO_HOME = "this user has no home folder"
HELLO = b"edgepack is here\n"  # before it may stand what a login script prints
IDLE_S = 600  # a network that is cut without a word leaves nobody here for longer


class Session:
    """root: the board's own folder, kept where `set_up` made it; else everything lies in a folder that vanishes with the session."""

    def __init__(self, folder: str) -> None:
        self.root = _placed(folder)
        sweep(self.root)
        self.is_lasting = is_set_up(self.root)
        self._work: Path | None = None
        self._half_made = False
        self._claim: int | None = None
        self._process: subprocess.Popen | None = None
        self._idle: threading.Timer | None = None

    def serve(self, request: dict, data) -> None:
        """One request; a job's answer follows when it has ended, all others' at once."""
        self._wait_no_longer()
        what = request.pop("do")
        try:
            if what == "put":
                answer = self.put(data=data, **request)
            elif what == "run":
                self.run(**request)
                return
            else:
                answer = self._requests()[what](**request)
        except (Wrong, OSError) as error:
            answer = error_of(error)
        self._say(answer)

    def facts(self, packages: list) -> dict:
        """The machine, its Python, versions of those of `packages` that it has, and how much room there is."""
        place = self.root if self.root.is_dir() else self.root.parent
        return {
            "machine": machine.facts(),
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "libc": list(platform.libc_ver()),
            "pointer_bits": 64 if sys.maxsize > 2**32 else 32,
            "folder": str(self.root),
            "is_set_up": self.is_lasting,
            "exists": self.root.exists(),
            "folder_mb": round(bytes_under(self.root) / 1e6, 1) if self.is_lasting else None,
            "free_mb": round(shutil.disk_usage(place).free / 1e6, 1) if place.is_dir() else None,
            "is_writable": place.is_dir() and os.access(place, os.W_OK),
            "packages": board_python.versions(self._python(), packages),
        }

    def put(self, sha256: str, count: int, data) -> bool:
        """Takes the `count` bytes that follow into the store; also where there is none they are read, for the next request follows."""
        try:
            store = self.store()
        except OSError:
            data.read(count)
            raise
        return store.put(sha256, count, data)

    def place(self, folder: str, files: dict) -> str:
        """A folder of this session with `files`, {name: hash}, from the store."""
        return self.store().place(self.work() / checked(folder), files)

    def run(self, script: str, job: dict, time_out_s: float) -> None:
        """Starts a target's script on this session's pack, in a process of its own that dies with this one."""
        path = self.work() / "job.json"
        path.write_text(json.dumps(job))
        command = [self._python(), "-X", "utf8", str(self.work() / "targets" / checked(script)), str(self.work() / "pack"), str(path)]
        self._process = board_process.started(command)
        threading.Thread(target=self._wait, args=(self._process, time_out_s), daemon=True).start()

    def set_up(self) -> bool:
        """The board's own folder with a Python of its own; whatever an earlier one held is replaced."""
        self._check_nobody_sets_up()
        if self.root.exists() and not self.is_lasting and any(path.name != FRESH_MARK for path in self.root.iterdir()):
            raise Wrong("{} is there already and was not made by edgepack".format(self.root))
        self.root.mkdir(parents=True, exist_ok=True)
        # Until the last step the mark says that this is half made: what is killed before, the next session removes.
        self._claim = claim(self.root)
        self._half_made = self.is_lasting = True
        board_python.make(self.root)
        return True

    def unpack(self, wheels: list, module: str, packages: list) -> dict:
        """Wheels from the store into the folder's Python; versions of `packages` there. Wrong: `module` cannot be imported."""
        store = self.store()
        board_python.unpack(self.root, [store.folder / checked(digest) for digest in wheels])
        store.forget(wheels)
        board_python.check_imports(self._python(), module)
        versions = board_python.versions(self._python(), packages)
        mark_finished(self.root)
        self._half_made = False
        self._let_go()
        return versions

    def remove(self) -> dict:
        """The board's own folder, all of it; nothing that edgepack did not make."""
        self._check_nobody_sets_up()
        if not self.is_lasting:
            if self.root.exists():
                raise Wrong("{} was not made by edgepack: it has no {}".format(self.root, MARK))
            return {"removed": None, "freed_mb": 0.0}
        freed = bytes_under(self.root)
        shutil.rmtree(str(self.root))
        self.is_lasting, self._work = False, None
        return {"removed": str(self.root), "freed_mb": round(freed / 1e6, 1)}

    def _check_nobody_sets_up(self) -> None:
        process = being_set_up_by(self.root)
        if process not in (None, os.getpid()):
            raise Wrong("{} is being set up by another session there (process {}): wait for it".format(self.root, process))

    def _requests(self) -> dict:
        return {
            "facts": self.facts,
            "missing": lambda files: self.store().missing(files),
            "place": self.place,
            "forget": lambda files: self.store().forget(files),
            "prune": lambda keep: self.store().prune(keep),
            "set_up": self.set_up,
            "unpack": self.unpack,
            "remove": self.remove,
        }

    def work(self) -> Path:
        """This session's own folder, made when it is first needed."""
        if self._work is None:
            name = "work" if self.is_lasting else self.root.name
            inside = self.root if self.is_lasting else self.root.parent
            self._work = Path(tempfile.mkdtemp(prefix="{}-{}-".format(name, os.getpid()), dir=str(inside)))
            (self._work / MARK).write_text("{}\n")
        return self._work

    def end(self) -> None:
        """Nothing of this session stays: not its process, not its folder, not a set-up that was not finished."""
        self._wait_no_longer()
        board_process.kill(self._process)
        if self._process:
            self._process.wait()
        if self._work:
            shutil.rmtree(str(self._work), ignore_errors=True)
        if self._half_made and (self.root / MARK).is_file():
            shutil.rmtree(str(self.root), ignore_errors=True)
        self._let_go()

    def _let_go(self) -> None:
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def _wait(self, process, time_out_s) -> None:
        timer = threading.Timer(time_out_s, board_process.kill, (process,))
        timer.start()
        out, err = process.communicate()
        too_long = not timer.is_alive()
        timer.cancel()
        complaint = err.decode(errors="replace")[-4000:]
        self._say({"code": process.returncode, "out": out.decode(errors="replace"), "err": complaint, "too_long": too_long})

    def _say(self, answer) -> None:
        self.wait_a_while()
        with contextlib.suppress(OSError, ValueError):
            say(answer)

    def _wait_no_longer(self) -> None:
        if self._idle:
            self._idle.cancel()

    def wait_a_while(self) -> None:
        """For the next request; a session that nobody asks anything any more ends."""
        self._wait_no_longer()
        self._idle = threading.Timer(IDLE_S, os.kill, (os.getpid(), signal.SIGTERM))
        self._idle.daemon = True
        self._idle.start()

    def store(self) -> Store:
        """Kept between sessions where the board is set up, else this session's own."""
        return Store((self.root if self.is_lasting else self.work()) / "store")

    def _python(self) -> str:
        program = board_python.program(self.root)
        return str(program) if self.is_lasting and program.exists() else sys.executable


def say(answer) -> None:
    """A line with the count of bytes that follow, and the answer: a line alone might be longer than the other end's buffer."""
    content = json.dumps(answer).encode()
    sys.stdout.buffer.write(str(len(content)).encode() + b"\n" + content)
    sys.stdout.buffer.flush()


def _placed(folder: str) -> Path:
    """In the home folder unless it is absolute. Wrong: this user has none."""
    if Path(folder).is_absolute():
        return Path(folder)
    try:
        return Path.home() / folder
    except (RuntimeError, KeyError):  # Python 3.8 raises what the list of users does
        raise Wrong(NO_HOME) from None


def main() -> None:
    """The first line names the folder; the session ends with standard input."""
    data = sys.stdin.buffer
    try:
        session = Session(json.loads(data.readline().decode())["folder"])
    except Wrong as error:
        sys.exit(str(error))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        session.wait_a_while()
        sys.stdout.buffer.write(HELLO)
        sys.stdout.buffer.flush()
        for line in iter(data.readline, b""):
            session.serve(json.loads(line.decode()), data)
    finally:
        session.end()


if __name__ == "__main__":
    print(json.dumps(Session(sys.argv[1]).facts(sys.argv[2:])))
