"""Runs a command and writes what it cost: `timed.py RESULT.json COMMAND...`; standard library only.

It is a process of its own because Linux adds what a process held before exec to the peak of what it becomes: a benchmark
that has loaded torch cannot weigh its children.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """RESULT.json: seconds, peak_mb (of the largest process of the command, 10^6 bytes)."""
    result, *command = sys.argv[1:]
    started = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
    seconds = time.perf_counter() - started
    Path(result).write_text(json.dumps({"seconds": round(seconds, 2), "peak_mb": round(usage.ru_maxrss * 1024 / 1e6, 1)}))
    sys.exit(child.returncode if child.returncode >= 0 else 128 - child.returncode)


if __name__ == "__main__":
    main()
