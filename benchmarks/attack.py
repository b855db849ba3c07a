"""Attacks edgepack for as long as it is given, and counts what went wrong: the table of RESULTS.md under "Attacked".

    python benchmarks/attack.py               # all of it, under 20 minutes on two quiet cores
    python benchmarks/attack.py --quick       # a tenth, for trying out
    python benchmarks/attack.py --only inputs,kills

Nothing but the number of faults counts, and every fault is shown with what brings it back. Exit code 1 where there is any.
"""

import argparse
import contextlib
import datetime
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from attack_builds import Builder, Faults, Limit, Row, WarmBuilds, check_pack, settings, within_limit  # noqa: E402
from attack_kills import kills, started  # noqa: E402
from fuzz_commands import fault_of_line, lines, make_subjects  # noqa: E402
from fuzz_subjects import SUBJECTS  # noqa: E402
from fuzzing import fault_of  # noqa: E402
from hostile import HOSTILE, check_reports, shipped_poisoned  # noqa: E402
from settings_tried import SETTINGS  # noqa: E402

from edgepack.pack.manifest import MANIFEST_FILE  # noqa: E402
from edgepack.ship.platforms import platform_names  # noqa: E402


def inputs(count: int) -> Row:
    """Configs, weights, profiles, recipes, rows, parquet, packs and targets' answers, changed by chance."""
    faults, names, tried = Faults(), list(SUBJECTS), 0
    for number in within_limit(range(count), "inputs"):
        tried += 1
        name = names[number % len(names)]
        with tempfile.TemporaryDirectory() as place:
            fault = fault_of(SUBJECTS[name](Path(place), random.Random(f"{name}-{number}")))
        faults.note(f"{name}-{number}", fault)
    return Row("inputs changed by chance: tracebacks, over 10 s, long or hiding messages", tried, faults)


def commands(count: int) -> Row:
    """Command lines with a value by chance for one argument, in a folder with a model, data and a pack."""
    faults, tried = Faults(), 0
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        builder = Builder(Path(place) / "builds")
        builder.reference()
        make_subjects(Path(place), builder.place / "reference")
        for words in within_limit(islice(lines(random.Random("commands")), count), "commands"):
            tried += 1
            faults.note(tried - 1, fault_of_line(words))
    return Row("values of arguments: tracebacks, over 10 s, long or hiding messages", tried, faults)


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


def flips(count: int) -> Row:
    """One bit of a pack, a cached stage or a shipped module is changed: whoever opens it has to notice."""
    faults, tried = Faults(), 0
    with tempfile.TemporaryDirectory() as place:
        builder = Builder(Path(place))
        builder.reference()
        subjects = builder.checked_folders()
        for number in within_limit(range(count), "flips"):
            tried, draw = tried + 1, random.Random(f"flips-{number}")
            name, files, is_accepted = subjects[number % len(subjects)]
            path = draw.choice(files)
            content = path.read_bytes()
            at, bit = draw.randrange(len(content)), draw.randrange(8)
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            faults.note(name, f"bit {bit} of byte {at} of {path.name}" if is_accepted() else "")
            path.write_bytes(content)
        for name, _, is_accepted in subjects:
            faults.note(name, "" if is_accepted() else "it is refused as it was written")
    return Row("flipped bits in pack, cache and signed module: accepted", tried, faults)


def pairs(count: int) -> Row:
    """Two builds on one --out, begun at once or a moment apart."""
    faults, tried = Faults(), 0
    with tempfile.TemporaryDirectory() as place:
        builder = Builder(Path(place))
        builder.reference()
        for number in within_limit(range(count), "pairs"):
            tried, draw = tried + 1, random.Random(f"pairs-{number}")
            out = Path(place) / f"pack{number}"
            first = started(lambda o=out: builder.build(o, Path(place) / "used"))
            time.sleep(draw.choice([0, draw.uniform(0, 2)]))
            second = started(lambda o=out: builder.build(o, Path(place) / "used"))
            codes = sorted(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in (first, second))
            fault = "" if codes in ([0, 1], [0, 0]) else f"exit codes {codes}"  # 0 and 0: the second found it finished
            fault = fault or check_pack(out, builder.expected)
            faults.note(f"number {number}", fault)
            shutil.rmtree(out, ignore_errors=True)
    return Row("two builds on one --out: no winner, or a pack that is not whole", tried, faults)


def strings(count: int) -> Row:
    """A hostile value in every string of a pack at once, ship for each platform, and a parser of each language that comes out."""
    faults, tried = Faults(), Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        builder = Builder(Path(place))
        builder.reference()
        content = json.loads((builder.place / "reference" / MANIFEST_FILE).read_text())
        pack = shutil.copytree(builder.place / "reference", Path(place) / "poisoned")
        for value in HOSTILE:
            for platform in [*platform_names(), "reports"]:
                if tried[platform] >= count:
                    continue
                try:
                    is_report = platform == "reports"
                    out = Path(place) / platform
                    out.mkdir(exist_ok=True) if is_report else None
                    tried[platform] += (
                        check_reports(content, value, out) if is_report else shipped_poisoned(pack, content, value, platform, out)
                    )
                except Exception as error:  # a value that escaped, or a crash
                    faults.note(f"{platform}, {value[:40]!r}", f"{type(error).__name__}: {str(error)[:200]}")
    note = ", ".join(f"{number} for {platform}" for platform, number in tried.items())
    return Row("hostile strings that become code or markup, by platform", sum(tried.values()), faults, note)


def warm(count: int) -> Row:
    """Each setting of a recipe: a build with the results of all builds before in its cache, beside one with an empty cache."""
    faults, tried = Faults(), 0
    with tempfile.TemporaryDirectory() as place:
        builds = WarmBuilds(Path(place))
        for name in within_limit(settings()[:count], "warm"):
            tried += 1
            faults.note(name, builds.fault_of(name))
    note = f"{len(SETTINGS) - len(settings())} of {len(SETTINGS)} settings belong to models of another task"
    return Row("a warm build differs from a fresh one, by setting", tried, faults, note)


def board(count: int) -> Row:
    """What lies in a board's home after it was set up, used as a transport does, and removed."""
    from measure.test_board_sessions import Session, finish

    faults = []
    for number in range(count):
        with tempfile.TemporaryDirectory() as home:
            session = Session(Path(home))
            session.ask("set_up"), finish(session), session.ask("remove")
            session.end()
            faults += [f"number {number}: {path.name} is left" for path in Path(home).iterdir()]
    return Row("files left on a board after remove", count, faults)


ATTACKS: dict[str, tuple[Callable[[int], Row], int]] = {  # the longest first
    "warm": (warm, len(settings())),
    "kills": (kills, 200),
    "inputs": (inputs, 10_000),
    "commands": (commands, 2000),
    "coverage": (coverage, 20_000),
    "pairs": (pairs, 50),
    "flips": (flips, 1000),
    "strings": (strings, 500),
    "board": (board, 5),
}


def _row(name: str, share: float) -> Row:
    attack, count = ATTACKS[name]
    began = time.monotonic()
    row = attack(max(1, round(count * share)))
    wall_s, cpu_s = time.monotonic() - began, sum(os.times()[:4])
    row = row._replace(wall_s=round(wall_s), cpu_s=round(cpu_s))
    print(f"{name}: {row.tried} tried, {len(row.faults)} faults, {row.wall_s} s, {row.cpu_s} s of CPU", file=sys.stderr, flush=True)
    return row


def _apart(name: str, share: float, asked: argparse.Namespace) -> Row:
    """A row in a process of its own, so that two cores have work, and a row's memory and threads are not the next one's."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
        command = [sys.executable, __file__, "--only", name, "--share", str(share), "--row", file.name, "--begin", str(asked.begin)]
        command += ["--minutes", str(asked.minutes)] if asked.minutes else []
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        text = file.read()
    return Row(**json.loads(text)) if text else Row(name, 0, ["it ended without a result"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the attacks")
    parser.add_argument("--share", type=float, default=1.0, help="of each count")
    parser.add_argument("--only", help=f"some of: {', '.join(ATTACKS)}")
    parser.add_argument("--minutes", type=float, help="end each row then, and count what was done")
    parser.add_argument("--begin", type=int, default=0, help="with this number of each row, where an earlier run came so far")
    parser.add_argument("--row", type=Path, help="do one row here, and write it as JSON to this file")
    asked = parser.parse_args()
    share, names = 0.1 if asked.quick else asked.share, asked.only.split(",") if asked.only else list(ATTACKS)
    Limit.begins_with = asked.begin
    if asked.minutes:
        Limit.ends_at = time.monotonic() + 60 * asked.minutes
    if asked.row:
        asked.row.write_text(json.dumps(_row(names[0], share)._asdict()))
        return
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda name: _apart(name, share, asked), names))
    print(f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}\n\n| attack | tried | faults | s | CPU s | |\n|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.tried:,} | {len(row.faults)} | {row.wall_s} | {row.cpu_s} | {row.note} |")
    sys.exit(any(row.faults for row in rows))


if __name__ == "__main__":
    main()
