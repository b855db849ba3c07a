"""Feeds readers bytes that atheris makes where they reach new lines of edgepack; benchmarks/attack.py starts it in an empty folder."""

import sys
import tempfile
from pathlib import Path

import atheris

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

with atheris.instrument_imports(
    include=["edgepack.core", "edgepack.plan", "edgepack.pack", "edgepack.model.readers", "edgepack.model.data"]
):
    from fuzz_subjects import reader_of_bytes, seeds_of_bytes
    from fuzzing import fault_of

_faults: set[str] = set()


def once(content: bytes) -> None:
    """The first byte says which reader."""
    with tempfile.TemporaryDirectory() as place:
        read = reader_of_bytes(Path(place), content)
        fault = fault_of(read) if read else ""
    if fault and fault.rpartition(" at ")[2] not in _faults:
        _faults.add(fault.rpartition(" at ")[2])
        print(f"FAULT {fault} from {content[:80]!r}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    Path("seeds").mkdir()
    for number, seed in enumerate(seeds_of_bytes()):
        (Path("seeds") / str(number)).write_bytes(seed)
    atheris.Setup([*sys.argv, "seeds"], once)
    atheris.Fuzz()
