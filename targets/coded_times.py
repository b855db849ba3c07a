"""Jobs about coded weights: how fast this machine decodes them, and a cold load from a storage that is held to a rate.

Runs on the device with the standard library and numpy; never imports edgepack. What is held to a rate is throttled, and is said to be so.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import coded
import machine
import protocol
import weight_source

_BLOCK = 1 << 16


def coding(folder, manifest, job, open_session) -> dict:
    """Times of `runs` decodings, on one thread and on `threads`; for each of `rates`, in MB/s, loads of the coded and the plain file."""
    stated = manifest["coded"]
    with coded.Coded(folder / stated["coded"], stated["bytes"], stated["sha256"]) as weights:
        weights.touch()
        decode = [_decoded(weights, threads, job["runs"]) for threads in sorted({1, job["threads"]})]
        content = bytes(weights.decoded(job["threads"]))
    throttled = [_throttled(folder, manifest, rate, job, content, open_session) for rate in job["rates"]]
    sizes = {"decoded_bytes": stated["bytes"], "coded_bytes": (folder / stated["coded"]).stat().st_size}
    return {"decode": decode, "throttled": throttled, **sizes}


def _decoded(weights, threads, runs) -> dict:
    samples = []
    for _ in range(runs):
        start = time.perf_counter()
        weights.decoded(threads)
        samples.append(round(protocol.ms_since(start), 3))
    return {"threads": threads, "samples_ms": samples}


def _throttled(folder, manifest, rate, job, content, open_session) -> dict:
    """read_bytes in read_ms prove the rate; load_ms is reading, decoding and opening the session, one after the other."""
    stated = manifest["coded"]
    with tempfile.TemporaryDirectory() as place:
        plain = Path(place) / stated["file"]
        plain.write_bytes(content)
        rows = {}
        for name, path in (("coded", folder / stated["coded"]), ("plain", plain)):
            machine.drop_from_cache(path.parent)
            start = time.perf_counter()
            read_bytes = _read_held(path, rate * 1e6)
            read_ms = protocol.ms_since(start)
            weights = _in_memory(folder, manifest, job["threads"]) if name == "coded" else _in_file(folder, manifest, plain)
            open_session(folder, manifest, job["threads"], exact=False, weights=weights)
            rows[name] = {"read_bytes": read_bytes, "read_ms": round(read_ms, 3), "load_ms": round(protocol.ms_since(start), 3)}
    return {"mb_s": rate, **rows}


def _read_held(path, bytes_a_second) -> int:
    """Reads the file block by block, no faster than that."""
    count, start = 0, time.perf_counter()
    with path.open("rb", buffering=0) as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            count += len(block)
            ahead = count / bytes_a_second - (time.perf_counter() - start)
            if ahead > 0:
                time.sleep(ahead)
    return count


def _in_memory(folder, manifest, threads):
    return weight_source.weights_of(folder, dict(manifest, coded=dict(manifest["coded"], start="stream")), threads)


def _in_file(folder, manifest, plain):
    """As a pack without coding opens it: the file is mapped."""
    is_model = manifest["coded"]["file"] == manifest["model"]
    return weight_source.Weights(plain if is_model else folder / manifest["model"], None, None if is_model else plain.parent)


JOBS = {"coding": coding}
