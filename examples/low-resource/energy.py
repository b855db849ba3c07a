"""What a text costs in energy, where Linux tells it: the counters of whole CPU packages, everything that runs on them included."""

import time
from collections.abc import Sequence
from pathlib import Path

import edgepack

COUNTERS = Path("/sys/class/powercap")  # often readable by root alone
_LEAST_SECONDS, _LEAST_TEXTS = 5.0, 8


def millijoules_a_text(pack: Path, texts: Sequence[str], counters: Path = COUNTERS, seconds: float = _LEAST_SECONDS) -> float | None:
    """Over texts that the pack answers one after the other, for so many seconds. None: this machine does not tell it."""
    if not texts or joules(counters) is None:
        return None
    with edgepack.load(pack) as model:
        model(texts[0])
        asked, started, before = 0, time.monotonic(), joules(counters)
        while asked < _LEAST_TEXTS or time.monotonic() - started < seconds:
            model(texts[asked % len(texts)])
            asked += 1
        after = joules(counters)
    if before is None or after is None or after < before:  # a counter began anew
        return None
    return 1e3 * (after - before) / asked


def joules(counters: Path = COUNTERS) -> float | None:
    """Of all packages together since some moment. None: there are no counters, or they may not be read."""
    try:
        packages = [place for place in sorted(counters.glob("intel-rapl:*")) if (place / "name").read_text().startswith("package")]
        microjoules = [int((place / "energy_uj").read_text()) for place in packages]  # AMD's CPUs have the same names
    except (OSError, ValueError):
        return None
    return sum(microjoules) / 1e6 if microjoules else None
