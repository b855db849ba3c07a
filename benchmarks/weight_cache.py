"""What packed weights that are kept on the disk bring: starts with and without them, in turn, each in a process of its own.

    python benchmarks/weight_cache.py PACK... [--turns 9]

PACK: an ONNX or TFLite pack; it is copied, once as `--weight-cache` and once as `--no-weight-cache` builds it. Session ms: a start as the
target opens it, by its own clock. CPU ms, anonymous and mapped MB: of a module's start, with its tokenizer. The system can take back
what is mapped, and cannot take back what is anonymous. Medians.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from edgepack.measure.machines.transports.local import run_job
from edgepack.pack.manifest import read_manifest
from edgepack.pack.runnable import RUNNABLE_FILE

LENGTH = 128
CHILD = """
import json, sys, time
from pathlib import Path
import numpy, tokenizers
from edgepack.ship.load import device_module
from importlib import import_module
def mb():
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) / 1e3 for name in ("RssAnon", "RssFile")}
opened = import_module(device_module().__name__ + ".model").opened
manifest, folder = json.loads(sys.argv[2]), Path(sys.argv[1])
import_module(device_module().__name__ + "." + manifest.pop("session_module"))
before, start = mb(), time.process_time()
model = opened(folder, manifest, folder, 1)
cpu_ms = (time.process_time() - start) * 1e3
ids = list(range(5, 5 + int(sys.argv[3])))
if manifest["task"] == "text-generation":
    model.session.decoder(len(ids) + 1).step(ids)
else:
    model.session.run(ids, [0] * len(ids))
print(json.dumps({"cpu_ms": cpu_ms, **{name: now - before[name] for name, now in mb().items()}}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", nargs="+", type=Path, metavar="PACK")
    parser.add_argument("--turns", type=int, default=9)
    wanted = parser.parse_args()
    print(
        "| pack | | first start ms | session ms | CPU ms | anonymous MB | mapped MB | on the disk MB |\n|---|---|---|---|---|---|---|---|"
    )
    for pack in wanted.packs:
        with tempfile.TemporaryDirectory() as place:
            for line in rows(pack, Path(place), wanted.turns):
                print(line, flush=True)


def rows(pack: Path, place: Path, turns: int) -> list[str]:
    runtime, folders = read_manifest(pack).plan.runtime, {}
    for name, is_kept in (("packed at each start", False), ("kept", True)):
        folders[name] = folder = shutil.copytree(pack, place / name, ignore=shutil.ignore_patterns(".weight-cache"))
        stated = json.loads((folder / RUNNABLE_FILE).read_text()) | {"weight_cache": is_kept}
        (folder / RUNNABLE_FILE).write_text(json.dumps(stated))
    job = {"kind": "load", "threads": 1, "length": 16, "cold": False}
    first = {name: run_job(folder, runtime, job | {"first": True}) for name, folder in folders.items()}
    samples: dict[str, list[dict]] = {name: [] for name in folders}
    for _ in range(turns):
        for name, folder in folders.items():
            samples[name].append(run_job(folder, runtime, job) | loaded(folder))
    lines = []
    for name in folders:
        figures = [first[name]["session_ms"]]
        figures += [statistics.median(row[key] for row in samples[name]) for key in ("session_ms", "cpu_ms", "RssAnon", "RssFile")]
        shown = " | ".join(f"{figure:.1f}" for figure in (*figures, first[name]["weight_cache_bytes"] / 1e6))
        lines.append(f"| {pack.name} | {name} | {shown} |")
    return lines


def loaded(folder: Path) -> dict:
    manifest = json.loads((folder / RUNNABLE_FILE).read_text()) | {"exact": False}
    session = "session_onnxruntime" if manifest["session"] else "session_litert"
    listed = json.loads((folder / "pack.json").read_text())["files"]
    manifest |= {"session_module": session, "files": listed, "format": "onnx" if manifest["session"] else "tflite"}
    command = [sys.executable, "-c", CHILD, str(folder), json.dumps(manifest), str(LENGTH)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
