"""A pack for the 32-bit Raspberry Pi on tflite-runtime 2.14 and numpy 1, in an environment of its own: does it answer as it must?

    python benchmarks/old_runtime.py --model MODEL --data DATA         # builds the pack; or --pack PACK. Minutes

The same weights with a scale for each channel run there too: what that runtime makes of them is the reason that edgepack refuses
to ship such a file. On a machine that is no ARM it is the same release of the runtime with x86 kernels, and the table says so.
Golden answers are that release's own, by another numpy, so where the packs are built here cosines are to the pack in fp32.
Exit code 1 where the pack's answers differ from its golden ones by more than its tolerance.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from peer_environments import environment, python_of

from edgepack.core.errors import EdgepackError
from edgepack.core.resources import shipped
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Quantize
from edgepack.quantize.schemes.tflite_int8 import quantize
from edgepack.quantize.tflite_scales import refuse_for_old_runtime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, default=Path("build/peers"))
    wanted = parser.parse_args()
    python = python_of("tflite-runtime", wanted.work)
    with tempfile.TemporaryDirectory() as scratch:
        packs = prepared(wanted, Path(scratch))
        exact = None if wanted.pack else golden_of(Path(scratch) / "fp32")
        print("| pack | runtime | machine | largest difference from its golden answers | cosine of all answers | tolerance | may ship |")
        print("|---|---|---|---|---|---|---|")
        held = [row(name, pack, exact, python, Path(scratch)) for name, pack in packs.items()]
    sys.exit(0 if held[0] else 1)


def prepared(wanted: argparse.Namespace, scratch: Path) -> dict[str, Path]:
    """The pack as it ships, and where it is built here, the same with a scale for each channel."""
    if wanted.pack:
        return {"as shipped": wanted.pack}
    fixed = {"model": wanted.model, "data": wanted.data, "student": "same", "prune_heads": 0.0, "precision": "int8"}
    profile = load_profile("raspberry-pi-3-32bit")
    build(Recipe.read(fixed, "the command line"), profile, scratch / "pack", effort=None)
    build(Recipe.read(fixed | {"precision": "fp32"}, "the command line"), profile, scratch / "fp32", effort=None)
    shutil.copytree(scratch / "pack", scratch / "channels")
    (scratch / "channels" / "model.tflite").unlink()
    quantize(scratch / "fp32", Quantize(precision="int8", why=""), False, scratch / "channels")
    return {"as shipped": scratch / "pack", "a scale for each channel": scratch / "channels"}


def golden_of(pack: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (pack / "golden.jsonl").open(encoding="utf-8")]


def row(name: str, pack: Path, exact: list[dict[str, Any]] | None, python: Path, scratch: Path) -> bool:
    manifest = json.loads((pack / "pack.json").read_text())
    golden = golden_of(pack)
    result = run(python, pack, golden, scratch)
    actual, expected = _joined(result["outputs"]), _joined([entry["output"] for entry in golden])
    worst, runtime = float(np.abs(actual - expected).max()), result["runtime"]
    cells = (
        name,
        f"{runtime['name']} {runtime['version']}, numpy {runtime['numpy']}",
        result["machine"]["arch"],
        f"{worst:.3g}",
        f"{_cosine(actual, _joined([entry['output'] for entry in exact or golden])):.4f}",
        f"{manifest['golden_tolerance']:g}",
        _may_ship(pack / manifest["model"]),
    )
    print(f"| {' | '.join(cells)} |", flush=True)
    return worst <= manifest["golden_tolerance"]


def run(python: Path, pack: Path, golden: list[dict[str, Any]], scratch: Path) -> dict[str, Any]:
    rows = [{name: entry[name] for name in ("input_ids", "token_type_ids")} for entry in golden]
    job = scratch / "job.json"
    job.write_text(json.dumps({"kind": "answer", "threads": 1, "rows": rows}))
    command = [str(python), str(shipped("targets") / "run_litert.py"), str(pack), str(job)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        sys.exit(f"{pack}: {done.stdout[-400:]} {done.stderr[-400:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _may_ship(file: Path) -> str:
    try:
        refuse_for_old_runtime(file)
    except EdgepackError as error:
        return f"no: {error.problem.split(' (')[0]}"
    return "yes"


def _joined(outputs: list[Any]) -> np.ndarray:
    return np.concatenate([np.ravel(output) for output in outputs])


def _cosine(result: np.ndarray, expected: np.ndarray) -> float:
    length = float(np.linalg.norm(result) * np.linalg.norm(expected))
    return float(result @ expected) / length if length else 0.0


if __name__ == "__main__":
    main()
