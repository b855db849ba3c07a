"""Runs a function of edgepack in a child process under limits: what it works on may be a stranger's program, as a chat template is.

A limit within this process would not do: a single step of Python can fill the memory or take hours, and nothing interrupts it.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryFile
from threading import Timer
from typing import Any

from edgepack.core.errors import EdgepackError

CPU_S = 5  # of the child for all calls together, so that a busy machine changes no result
MEMORY_MB = 500  # more than the child has once its libraries are imported
CHARACTERS = 1_000_000  # of one answer
_START_S = 600.0  # to import what it computes with: minutes, where much else runs
_WALL_S = 120.0  # for a machine that cannot limit a process's CPU time, and for one where much else runs
_BOOT = (
    "import json, sys\n"
    "sys.path[:] = json.loads(sys.argv[1])\n"
    "from edgepack.core.limited import serve\n"
    "serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))"
)

Call = Callable[[Any], Any]


class OverLimit(Exception):
    """What the function used too much of, as the end of a sentence: "takes more than ...". Every later call raises it too."""


class Failed(Exception):
    """The function raised something. The text names its type and says what it said."""


@contextlib.contextmanager
def limited(maker: Callable[[Any], Call], setting: Any, cpu_s: int = CPU_S) -> Iterator[Call]:
    """`maker(setting)` in a child process, as a function here. Arguments and results are JSON.

    maker: a function at the top of a module; what it imports before it returns counts for no limit. Calls raise OverLimit or Failed.
    EdgepackError: this machine is too busy to start it.
    """
    command = [
        sys.executable,
        "-X",
        "utf8",
        "-c",
        _BOOT,
        json.dumps(list(map(str, sys.path))),
        maker.__module__,
        maker.__name__,
        str(cpu_s),
    ]
    piped = subprocess.PIPE
    with TemporaryFile() as errors, subprocess.Popen(command, stdin=piped, stdout=piped, stderr=errors, encoding="utf-8") as process:
        timer = Timer(_START_S, process.kill)
        timer.start()
        over: OverLimit | None = None

        def call(argument: Any) -> Any:
            nonlocal over
            if over is None:
                answer = _asked(process, argument)
                if "over" not in answer:
                    return _result(answer)
                over = OverLimit(answer["over"].format(cpu_s=cpu_s))
            raise over

        try:
            if _asked(process, setting) != {"result": None}:
                if process.poll() == -_signal("SIGKILL"):
                    problem = f"a child process did not start within {_START_S:.0f} s, or this machine ran out of memory"
                    raise EdgepackError(problem, "try again when less runs on this machine")
                errors.seek(0)
                raise RuntimeError(f"{maker.__module__} does not start in a child process: {errors.read()[-2000:]!r}")
            timer.cancel()
            timer = Timer(_WALL_S, process.kill)
            timer.start()
            yield call
        finally:
            timer.cancel()
            process.kill()
            with contextlib.suppress(BrokenPipeError):
                process.communicate()


def _asked(process: "subprocess.Popen[str]", argument: Any) -> dict[str, Any]:
    try:
        _write(process, argument)
        line = process.stdout.readline() if process.stdout else ""
    except BrokenPipeError:
        line = ""
    answer: dict[str, Any] = json.loads(line) if line.endswith("\n") else {"over": _ending(process.wait())}
    return answer


def _write(process: "subprocess.Popen[str]", value: Any) -> None:
    if process.stdin:
        process.stdin.write(json.dumps(value) + "\n")
        process.stdin.flush()


def _result(answer: dict[str, Any]) -> Any:
    if "failed" in answer:
        raise Failed(answer["failed"])
    return answer["result"]


def _ending(code: int) -> str:
    """Why a child has ended that was not told to."""
    if code == -_signal("SIGXCPU"):
        return "takes more than {cpu_s} s of computing"
    if code == -_signal("SIGKILL"):
        return f"takes more than {{cpu_s}} s of computing, or {_WALL_S:.0f} s by the clock, or too much memory"
    return f"ends the process that works on it (exit code {code})"


def _signal(name: str) -> int:
    import signal

    return int(getattr(signal, name, 0))


def serve(module: str, name: str, cpu_s: int) -> None:
    """The child: answers lines of JSON on its standard input until that ends."""
    call = resolve_name(f"{module}:{name}")(json.loads(sys.stdin.readline()))
    _set_limits(cpu_s)
    print(_answer(lambda _: None, None), flush=True)  # it has begun
    for line in sys.stdin:
        print(_answer(call, json.loads(line)), flush=True)


def _answer(call: Call, argument: Any) -> str:
    try:
        text = json.dumps({"result": call(argument)})
    except MemoryError:
        return json.dumps({"over": f"takes more than {MEMORY_MB} MB of memory"})
    except RecursionError:
        return json.dumps({"over": "calls itself without an end, or is nested too deeply"})
    except Exception as error:  # whatever a stranger's program may raise
        return json.dumps({"failed": f"{type(error).__name__}: {error}"[:1000]})
    return text if len(text) <= CHARACTERS else json.dumps({"over": f"gives more than {CHARACTERS:,} characters"})


def _set_limits(cpu_s: int) -> None:
    """As far as this system knows them: Windows knows none, and macOS does not limit memory."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    end_s = int(used.ru_utime + used.ru_stime) + 1 + cpu_s
    limits = {resource.RLIMIT_CPU: end_s, resource.RLIMIT_CORE: 0}
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + MEMORY_MB * 1_000_000
    for kind, limit in limits.items():
        most = resource.getrlimit(kind)[1]
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))
