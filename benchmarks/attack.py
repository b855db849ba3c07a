"""Attacks edgepack for as long as it is given, and counts what went wrong: the table of RESULTS.md under "Attacked".

    python benchmarks/attack.py               # all of it, under 20 minutes on two quiet cores
    python benchmarks/attack.py --quick       # a tenth, for trying out
    python benchmarks/attack.py --only inputs,kills

Nothing but the number of faults counts, and every fault is shown with what brings it back. Exit code 1 where there is any.
"""

import argparse
import datetime
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from attack_builds import Builder, check_pack  # noqa: E402
from fuzz_subjects import SUBJECTS  # noqa: E402
from fuzzing import fault_of  # noqa: E402


class Row(NamedTuple):
    what: str
    tried: int
    faults: list[str]
    note: str = ""


def inputs(count: int) -> Row:
    """Configs, weights, profiles, recipes, rows, parquet, packs and targets' answers, changed by chance."""
    faults, names = [], list(SUBJECTS)
    for number in range(count):
        name = names[number % len(names)]
        with tempfile.TemporaryDirectory() as place:
            fault = fault_of(SUBJECTS[name](Path(place), random.Random(f"{name}-{number}")))
        faults += [f"{name}-{number}: {fault}"] if fault else []
    return Row("inputs changed by chance: tracebacks, over 10 s, long or hiding messages", count, faults)


def coverage(count: int) -> Row:
    """The same readers, fed bytes that atheris makes where they reach new lines of edgepack."""
    what = "inputs that a coverage-guided fuzzer made: the same"
    command = [sys.executable, str(ROOT / "benchmarks" / "attack_coverage.py"), f"-runs={count}", "-rss_limit_mb=6000", "-timeout=10"]
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run([*command, f"-artifact_prefix={place}/"], cwd=place, capture_output=True, text=True, check=False)
    if "No module named 'atheris'" in done.stderr:
        return Row(what, 0, [], "not run: pip install 'edgepack[fuzz]'")
    faults = [line for line in done.stderr.splitlines() if line.startswith("FAULT")]
    return Row(what, count, faults or ([done.stderr[-300:]] if done.returncode else []))


def kills(count: int) -> Row:
    """A build, or a measuring into a pack, is killed at a random moment, and started again."""
    faults, draw = [], random.Random("kills")
    with tempfile.TemporaryDirectory() as place:
        builder = Builder(Path(place))
        whole_s = builder.reference()
        for number in range(count):
            out, cache = Path(place) / f"pack{number}", Path(place) / ("used" if number % 2 else f"cache{number}")
            act = (lambda o=out, c=cache: builder.build(o, c)) if number % 4 < 3 else builder.measure
            after_s = draw.uniform(0, whole_s * (1.1 if number % 4 < 3 else 0.5))
            _killed(act, after_s)
            fault = builder.fault_after_kill(out, cache) if number % 4 < 3 else builder.fault_of_measured()
            faults += [f"number {number}, after {after_s:.2f} s: {fault}"] if fault else []
            shutil.rmtree(out, ignore_errors=True)
            shutil.rmtree(cache, ignore_errors=True) if number % 2 == 0 else None
    return Row("kills of builds and measurings: half packs, wrong bytes, reruns that fail", count, faults, f"a build takes {whole_s:.1f} s")


def setups(count: int) -> Row:
    """A board's set-up is killed at a random moment, and started again."""
    from measure.test_board_sessions import Session, finish, is_set_up

    faults, draw = [], random.Random("setups")
    for number in range(count):
        with tempfile.TemporaryDirectory() as place:
            session = Session(Path(place))
            session.start("set_up")
            time.sleep(draw.uniform(0, 0.4))
            session.end(signal.SIGKILL)
            again = Session(Path(place))
            answers = again.ask("set_up"), finish(again)
            again.end()
            faults += [] if answers == (True, {}) and is_set_up(Path(place)) else [f"number {number}: {answers}"]
    return Row("kills of a board's set-up: what the next one cannot replace", count, faults)


def flips(count: int) -> Row:
    """One bit of a pack, a cached stage or a shipped module is changed: whoever opens it has to notice."""
    faults, draw = [], random.Random("flips")
    with tempfile.TemporaryDirectory() as place:
        builder = Builder(Path(place))
        builder.reference()
        subjects = builder.checked_folders()
        for number in range(count):
            name, files, is_accepted = subjects[number % len(subjects)]
            path = draw.choice(files)
            content = path.read_bytes()
            at, bit = draw.randrange(len(content)), draw.randrange(8)
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            faults += [f"{name}: bit {bit} of byte {at} of {path.name}"] if is_accepted() else []
            path.write_bytes(content)
        faults += [f"{name} is refused as it was written" for name, _, is_accepted in subjects if not is_accepted()]
    return Row("flipped bits in pack, cache and signed module: accepted", count, faults)


def pairs(count: int) -> Row:
    """Two builds on one --out, begun at once or a moment apart."""
    faults, draw = [], random.Random("pairs")
    with tempfile.TemporaryDirectory() as place:
        builder = Builder(Path(place))
        builder.reference()
        for number in range(count):
            out = Path(place) / f"pack{number}"
            first = _started(lambda o=out: builder.build(o, Path(place) / "used"))
            time.sleep(draw.choice([0, draw.uniform(0, 2)]))
            second = _started(lambda o=out: builder.build(o, Path(place) / "used"))
            codes = sorted(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in (first, second))
            fault = "" if codes in ([0, 1], [0, 0]) else f"exit codes {codes}"  # 0 and 0: the second found it finished
            fault = fault or check_pack(out, builder.expected)
            faults += [f"number {number}: {fault}"] if fault else []
            shutil.rmtree(out, ignore_errors=True)
    return Row("two builds on one --out: no winner, or a pack that is not whole", count, faults)


def strings(count: int) -> Row:
    return _tests("hostile strings in every field, each platform's files parsed", ["tests/ship/test_hostile_packs.py"])


def warm(count: int) -> Row:
    full = [] if count > 1 else ["-k", "test_a_setting_moves or test_every_setting"]
    return _tests("fields of the recipe, files, columns, versions: warm differs from fresh", ["tests/pipeline/test_keys.py", *full])


ATTACKS: dict[str, tuple[Callable[[int], Row], int]] = {
    "inputs": (inputs, 10_000),
    "coverage": (coverage, 20_000),
    "kills": (kills, 60),
    "setups": (setups, 40),
    "flips": (flips, 1000),
    "pairs": (pairs, 20),
    "strings": (strings, 10),
    "warm": (warm, 10),
}


def _tests(what: str, arguments: list[str]) -> Row:
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1]
    tried = sum(int(word) for word, kind in zip(last.split(), last.split()[1:], strict=False) if kind.startswith(("passed", "failed")))
    return Row(what, tried, [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))], "tests of the suite")


def _started(act: Callable[[], None]) -> int:
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


def _killed(act: Callable[[], None], after_s: float) -> None:
    process = _started(act)
    time.sleep(after_s)
    os.killpg(process, signal.SIGKILL) if _leads_a_group(process) else os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def _leads_a_group(process: int) -> bool:
    try:
        return os.getpgid(process) == process
    except ProcessLookupError:
        return False


def _rows(names: list[str], share: float) -> Iterator[Row]:
    for name in names:
        attack, count = ATTACKS[name]
        began = time.monotonic()
        row = attack(max(1, round(count * share)))
        print(f"{name}: {row.tried} tried, {len(row.faults)} faults, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        for fault in row.faults[:20]:
            print(f"  {fault}", file=sys.stderr, flush=True)
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the attacks")
    parser.add_argument("--only", help=f"some of: {', '.join(ATTACKS)}")
    asked = parser.parse_args()
    rows = list(_rows(asked.only.split(",") if asked.only else list(ATTACKS), 0.1 if asked.quick else 1.0))
    print(f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}\n\n| attack | tried | faults | |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.tried:,} | {len(row.faults)} | {row.note} |")
    sys.exit(any(row.faults for row in rows))


if __name__ == "__main__":
    main()
