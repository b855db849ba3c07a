"""Job `count`: marks each inference, so that an emulator with edgepack's plugin can count its instructions. No times, no memory.

A mark is a system call that does nothing: getpgid of a process number that no system gives.
"""

import contextlib
import gc
import os

from feeds import random_text

MARK = 0x7E000000
WARM_UP_RUNS = 2  # in the second the runtime's memory lies as in all later ones


def count(folder, manifest, job, open_session) -> dict:
    """`runs` inferences of each of `lengths` tokens. Marks are numbered from 0: one before each inference, and one behind the last."""
    run = open_session(folder, manifest, job["threads"], exact=False)
    marks = 0
    for length in job["lengths"]:
        feeds = random_text(manifest, length)
        for _ in range(WARM_UP_RUNS):
            run(feeds)
        gc.collect()
        gc.disable()
        for _ in range(job["runs"]):
            marks = _mark(marks)
            run(feeds)
        marks = _mark(marks)
        gc.enable()
    return {"marks": marks}


JOBS = {"count": count}


def _mark(number) -> int:
    with contextlib.suppress(ProcessLookupError):
        os.getpgid(MARK | number)
    return number + 1
