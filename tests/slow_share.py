"""Which of the slow tests `make test` runs: a third of them, another third for another commit. `make test-all` runs all of them.

All of them take two cores more than half an hour, of which builds of whole packs are the most. Three commits in a row see them all,
give or take a merge. A checksum of a test's name says which third it belongs to, so that a new test moves no other.
"""

import os
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

SHARE = "EDGEPACK_SLOW_TESTS"  # `a third`: of the commit at hand; nothing: all of them
THIRDS = 3


def third_of_commit() -> int | None:
    """None: all slow tests run. The first third where no commit is known."""
    if os.environ.get(SHARE) != "a third":
        return None
    if not shutil.which("git"):
        return 0
    command = ["git", "rev-list", "--count", "HEAD"]
    count = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False).stdout.strip()
    return int(count) % THIRDS if count.isdigit() else 0


def third_of(nodeid: str) -> int:
    return zlib.crc32(nodeid.encode()) % THIRDS


def left_out(items: list[pytest.Item], third: int | None) -> list[pytest.Item]:
    """The slow tests of the other thirds."""
    if third is None:
        return []
    return [item for item in items if item.get_closest_marker("slow") and third_of(item.nodeid) != third]
