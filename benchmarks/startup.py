"""How long `edgepack profiles` takes as a process, beside a process that only imports pydantic, rich and typer.

    python benchmarks/startup.py            # twenty turns of each, in turn; half a minute

The CPU time of the processes is compared, for it does not change with other work on the machine as the wall clock does.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMMANDS = {
    "python": ["-c", "pass"],
    "import pydantic, rich, typer": ["-c", "import pydantic, rich, typer"],
    "edgepack profiles": ["-m", "edgepack", "profiles"],
    "edgepack --help": ["-m", "edgepack", "--help"],
    "edgepack build --help": ["-m", "edgepack", "build", "--help"],
}
BASE = "import pydantic, rich, typer"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=20)
    wanted = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(wanted.turns):
        for name, arguments in COMMANDS.items():
            times[name].append(timed([sys.executable, *arguments]))
    base = statistics.median(cpu for cpu, _ in times[BASE])
    print("| process | CPU ms, median | lowest | wall ms, median | CPU against the imports alone |\n| --- | --- | --- | --- | --- |")
    for name, rows in times.items():
        cpu = [row[0] for row in rows]
        wall = statistics.median(row[1] for row in rows)
        middle = statistics.median(cpu)
        print(f"| `{name}` | {middle * 1e3:.0f} | {min(cpu) * 1e3:.0f} | {wall * 1e3:.0f} | {middle / base:.2f} |")


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds of CPU and of the clock that a process takes."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime), wall


if __name__ == "__main__":
    main()
