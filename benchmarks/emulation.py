"""A pack on emulated CPUs: set-up from nothing and from the cache, answers beside this machine's, instructions of two runs.

    python benchmarks/emulation.py --pack PACK                       # ARM of 64 bits, and older x86; minutes
    python benchmarks/emulation.py --pack PACK_FOR_32_BITS --cpus armv7

Set-up is timed in a cache of its own, with the packages and wheels fetched again. The emulated figures are no times.
Exit code 1 where the two runs' instructions differ by more than 0.01 %.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from edgepack.measure.emulated import RUNS, emulate
from edgepack.measure.emulation import Agreement, Emulation
from edgepack.measure.machines.boards import set_up_target
from edgepack.measure.machines.targets import Target, find_targets, transport
from edgepack.pack.manifest import read_manifest

CPUS = ("cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1", "Haswell", "Nehalem", "Denverton")
LIMIT = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--cpus", nargs="+", default=CPUS)
    parser.add_argument("--cache", help="kept for the next time; left out, everything is fetched again")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        targets = find_targets([f"qemu://{name}" for name in wanted.cpus], cache=wanted.cache or scratch)
        print(
            "| CPU | runtime | set-up s | again s | answers and this machine's | and the pack's own | saturates | tokens | M instructions |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        worst = max([_row(wanted.pack, target) for target in targets], default=0.0)
    print(f"\nLargest difference of two runs: {worst:.4%} (goal: 0.01 %)")
    sys.exit(0 if worst <= LIMIT else 1)


def _row(pack: Path, target: Target) -> float:
    """Prints one CPU's lines; the largest relative difference of its two runs' instructions."""
    manifest = read_manifest(pack)
    seconds = [_timed(lambda: set_up_target(target, pack)) for _ in range(2)]
    with transport(target).opened(target) as machine:
        result = emulate(pack, manifest, machine, target.name)
        if result.crash:
            print(f"| {result.cpu} | {result.runtime['name']} | {seconds[0]:.1f} | {seconds[1]:.1f} | {result.crash.signal} | | | | |")
            return 0.0
        counted = result.instructions or ()
        again = machine.count(pack, manifest.plan.runtime, tuple(each.length for each in counted), RUNS) if counted else []
    pairs = [(each.length, each.instructions, min(runs)) for each, runs in zip(counted, again, strict=True)]
    for length, first, second in pairs or [(None, None, None)]:
        shown = f"{first / 1e6:.4f}, {second / 1e6:.4f} ({abs(second / first - 1):.4%})" if first else f"– ({result.instructions_why})"
        print(f"| {_cells(result, seconds)} | {length or '–'} | {shown} |", flush=True)
    return max((abs(second / first - 1) for _, first, second in pairs), default=0.0)


def _cells(result: Emulation, seconds: list[float]) -> str:
    saturation = "cannot" if result.saturation is None else "no" if not result.saturation.found else "yes"
    runtime = f"{result.runtime['name']} {result.runtime['version']}"
    times = [f"{each:.1f}" for each in seconds]
    return " | ".join([result.cpu, runtime, *times, _in_words(result.host), _in_words(result.golden), saturation])


def _in_words(answers: Agreement | None) -> str:
    if answers is None:
        return "–"
    decided = "" if answers.decided_otherwise is None else f", {answers.decided_otherwise} of {answers.texts} decided otherwise"
    return "bit by bit" if answers.equal_bit_by_bit else f"{answers.largest_difference:.2g}{decided}"


def _timed(act) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
