"""Jobs about what a measurement happens in: other work on the machine, the storage's speed, minutes under load.

Runs on the device with the standard library and numpy; never imports edgepack.
"""

from __future__ import annotations

import mmap
import time

import machine
import numpy as np

_CHUNK = 1 << 20
_SLICE_S = 10.0  # of a sustained run: what is told of each is its count, its middle and its slow end


def quiet(folder, manifest, job, _) -> dict:
    """What others make of the machine while this process does nothing for `seconds`."""
    contention = Contention()
    time.sleep(job["seconds"])
    return {"contention": contention.since()}


def storage(folder, manifest, job, _) -> dict:
    """The model's files read from the storage by themselves, and then mapped and touched page by page from the page cache.

    read_bytes is what the storage delivered, null where the system does not tell; below `bytes` the page cache helped.
    """
    coded = (manifest.get("coded") or {}).get("coded")
    files = sorted(path for path in folder.iterdir() if path.is_file() and (path.name.startswith(manifest["model"]) or path.name == coded))
    machine.drop_from_cache(folder)
    before, start = machine.bytes_read_from_storage(), time.perf_counter()
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.read(_CHUNK):
                pass
    read_ms = (time.perf_counter() - start) * 1e3
    after, start = machine.bytes_read_from_storage(), time.perf_counter()
    for path in files:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            np.frombuffer(mapped, np.uint8)[:: mmap.PAGESIZE].max()
    map_ms = (time.perf_counter() - start) * 1e3
    delivered = None if before is None or after is None else after - before
    return {"bytes": sum(path.stat().st_size for path in files), "read_ms": read_ms, "read_bytes": delivered, "map_ms": map_ms}


def sustained(act, job) -> dict:
    """`act()` again and again for job["seconds"], warmed up by nothing: a row for every ten seconds, with clock and temperature then."""
    rows: list = []
    began = time.perf_counter()
    while time.perf_counter() - began < job["seconds"]:
        at_s, samples = time.perf_counter() - began, []
        until = min(began + job["seconds"], time.perf_counter() + _SLICE_S)
        while time.perf_counter() < until or not samples:
            start = time.perf_counter()
            act()
            samples.append((time.perf_counter() - start) * 1e3)
        facts = machine.facts()
        p50, p90 = np.percentile(samples, [50, 90]).round(4).tolist()
        row = {"at_s": round(at_s, 1), "n": len(samples), "p50": p50, "p90": p90}
        rows.append(dict(row, clock_mhz=facts["clock_mhz"], temperature_c=facts["temperature_c"]))
    return {"slices": rows}


class Contention:
    """What other processes take of the cores that this one may use, from now on; a hypervisor's other guests apart."""

    def __init__(self) -> None:
        self._before, self._start = machine.cpu_seconds(), time.perf_counter()

    def since(self) -> dict:
        """Shares of the cores' time, 0 to 1; null where the system does not tell."""
        now, wall = machine.cpu_seconds(), time.perf_counter() - self._start
        if now is None or self._before is None or wall <= 0:
            return {"others": None, "stolen": None}
        busy, stolen, ours = (now[key] - self._before[key] for key in ("busy", "stolen", "own"))
        whole = wall * len(machine.usable_cores())
        return {"others": round(min(1.0, max(0.0, busy - ours) / whole), 4), "stolen": round(min(1.0, max(0.0, stolen) / whole), 4)}


JOBS = {"quiet": quiet, "storage": storage}
