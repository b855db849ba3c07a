"""Whether a coded pack runs as fast as the same pack uncoded: one process, both open, in turns.

    python benchmarks/coded_latency.py PACK [--tokens 128] [--turns 200]

PACK: any int8 pack of an encoder whose weights are not coded. Its copy is coded here, decoded into memory as a device that streams does it,
and answers the same ids. CPU time of one thread, so that other work on the machine counts little; the figure is the ratio.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import edgepack
from edgepack.export.weight_places import weights_in
from edgepack.pack.coding import code_file, parts_between
from edgepack.pack.manifest import WEIGHT_CACHE, read_manifest, seal
from edgepack.pack.runnable import write_runnable

GOAL = 1.02


def coded_copy(pack: Path, folder: Path) -> None:
    shutil.copytree(pack, folder, ignore=shutil.ignore_patterns(WEIGHT_CACHE))
    manifest = read_manifest(folder)
    source, places = weights_in(folder, manifest.model)
    stated = code_file(source, parts_between(places, source.stat().st_size), "deflate", "stream", folder)
    source.unlink()
    manifest = manifest.model_copy(update={"coded": stated})
    write_runnable(folder, manifest)
    seal(folder, manifest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--turns", type=int, default=200)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        coded_copy(wanted.pack, Path(place) / "coded")
        models = {"uncoded": edgepack.load(wanted.pack, 1), "coded": edgepack.load(Path(place) / "coded", 1)}
        vocab = read_manifest(wanted.pack).vocab
    ids = [(index * 7919) % vocab for index in range(wanted.tokens)]
    samples: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(wanted.turns + 5):
        for name in list(models)[:: 1 if turn % 2 else -1]:
            began = time.process_time()
            models[name].session.run(ids, [0] * len(ids))
            samples[name] += [1e3 * (time.process_time() - began)] if turn >= 5 else []
    print(f"| {wanted.tokens} tokens, one thread | CPU ms, median | least |\n|---|---|---|")
    for name, values in samples.items():
        print(f"| {name} | {np.median(values):.3f} | {min(values):.3f} |")
    ratio = np.median(samples["coded"]) / np.median(samples["uncoded"])
    pairs = np.array(samples["coded"]) / np.array(samples["uncoded"])
    print(f"| coded / uncoded | {ratio:.3f} | {min(samples['coded']) / min(samples['uncoded']):.3f} |")
    print(f"| median of the pairs | {np.median(pairs):.3f} | |")
    sys.exit(1 if ratio > GOAL else 0)


if __name__ == "__main__":
    main()
