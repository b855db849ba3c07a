"""Kills builds, measurings and set-ups at random moments, for benchmarks/attack.py: each has to be followed by one that ends well."""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from attack_builds import Builder, Faults, Row, within_limit


def kills(count: int) -> Row:
    """Builds, measurings and set-ups of a board are killed at a random moment, and started again."""
    faults, tried = Faults(), Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        builder = Builder(Path(place))
        builder.reference()
        lasts_s: dict[str, float] = {}
        for number in within_limit(range(count), "kills"):
            kind = _KILLED[number % len(_KILLED)]
            tried[kind] += 1
            draw = random.Random(f"kills-{number}")
            fault, took_s = _KILLS[kind](builder, Path(place), number, draw, lasts_s.get(kind, 5.0))
            lasts_s[kind] = took_s
            faults.note(f"number {number}, {kind}", fault)
    note = ", ".join(f"{number} {kind}" for kind, number in tried.items())
    return Row("kills: half packs, wrong bytes, mixed reports, reruns that fail", sum(tried.values()), faults, note)


_KILLED = (*(["warm build"] * 11), *(["fresh build"] * 2), "measure", "measure --out", "measure", "measure --out", *(["set-up"] * 3))


def _killed_build(builder: Builder, place: Path, number: int, draw: random.Random, lasts_s: float, is_warm: bool) -> tuple[str, float]:
    """lasts_s: seconds that the last one took, so that a busy machine moves the moments too. Gives a fault, and the seconds now."""
    out, cache = place / f"pack{number}", place / ("used" if is_warm else f"cache{number}")
    _killed(lambda: builder.build(out, cache), draw.uniform(0, lasts_s))
    began = time.monotonic()
    fault = builder.fault_after_kill(out, cache)
    took_s = time.monotonic() - began
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(cache, ignore_errors=True) if not is_warm else None
    return fault, took_s


def _killed_measuring(builder: Builder, place: Path, number: int, draw: random.Random, lasts_s: float, is_out: bool) -> tuple[str, float]:
    out = place / "reports" if is_out else None
    before = builder.reports(out) if out else {}
    if out and not before:
        builder.measure(out)
        before = builder.reports(out)
    began = time.monotonic()
    ended = _killed(lambda: builder.measure(out), draw.uniform(0, lasts_s))
    took_s = time.monotonic() - began if ended else lasts_s * 1.1
    return builder.fault_of_measured(out, before), min(took_s, 60.0)


def _killed_set_up(builder: Builder, place: Path, number: int, draw: random.Random, lasts_s: float) -> tuple[str, float]:
    from measure.test_board_sessions import Session, finish, is_set_up

    with tempfile.TemporaryDirectory() as home:
        session = Session(Path(home))
        session.start("set_up")
        time.sleep(draw.uniform(0, lasts_s))
        session.end(signal.SIGKILL)
        began = time.monotonic()
        again = Session(Path(home))
        answers = again.ask("set_up"), finish(again)
        again.end()
        fault = "" if answers == (True, {}) and is_set_up(Path(home)) else str(answers)
        return fault, time.monotonic() - began


_KILLS: dict[str, Callable[..., tuple[str, float]]] = {
    "warm build": partial(_killed_build, is_warm=True),
    "fresh build": partial(_killed_build, is_warm=False),
    "measure": partial(_killed_measuring, is_out=False),
    "measure --out": partial(_killed_measuring, is_out=True),
    "set-up": _killed_set_up,
}


def started(act: Callable[[], None]) -> int:
    """A process with everything loaded already: what is killed is the work, not an import."""
    process = os.fork()
    if process:
        return process
    os.setsid()
    code = 1
    try:
        sys.stderr = sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  it ends with the process
        act()
        code = 0
    finally:
        os._exit(code)


def _killed(act: Callable[[], None], after_s: float) -> bool:
    """Whether it had ended by itself before."""
    process = started(act)
    time.sleep(after_s)
    ended = os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    os.killpg(process, signal.SIGKILL) if _leads_a_group(process) else os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return ended


def _leads_a_group(process: int) -> bool:
    try:
        return os.getpgid(process) == process
    except ProcessLookupError:
        return False
