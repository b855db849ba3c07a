"""What coded weights take, how good they are and what decoding costs: an encoder's file at several bits a weight.

    python benchmarks/coding.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2

Nothing is trained. Each file goes through the runtime of the target, text by text. `nearest` is what facts were measured by first: each
channel to the nearest step of so many deviations; `half zero` sets the smaller half of each matrix to zero and keeps int8. Run it alone.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from edgepack.compress.few_values import OnFewValues
from edgepack.export.file_names import GRAPH_FILE
from edgepack.export.onnx_weights import load_mapped
from edgepack.export.weight_places import weights_in
from edgepack.measure.answers import answer
from edgepack.measure.machines.transports.local import run_job
from edgepack.model.material import Material, gather
from edgepack.model.quality import judge_outputs
from edgepack.pack.coding import code_file, parts_between
from edgepack.pack.runnable import read_runnable, write_runnable
from edgepack.plan.coding import VALUES, WeightKind
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Export, Quantize
from edgepack.quantize.coarse import Coarse, few_values_of, round_coarse
from edgepack.quantize.coarse_curve import Grids, mean_bits
from edgepack.quantize.onnx_coarse import weighed, with_grid
from edgepack.quantize.onnx_int8_ops import quantized_products
from edgepack.quantize.onnx_int8_search import Texts, prepare
from edgepack.quantize.schemes.onnx_int8 import feeds_of, write_int8

RUNTIME = "onnxruntime"
CALIBRATION, MOMENTS = 64, 400  # texts of the train split
RATES = [10, 20, 40, 90, 400]


@dataclass(frozen=True)
class Judged:
    """Rows of the test split, and what the fp32 export says of them."""

    material: Material
    rows: Any
    features: Any
    expected: Any

    def quality(self, outputs: Any) -> Any:
        return judge_outputs(self.material.task, outputs, self.features, self.rows, self.material.labels, self.expected)


def main() -> None:
    wanted = _arguments()
    material = gather(Recipe(model=str(wanted.model), data=str(wanted.data)))
    exported = _exported(material, wanted.work / "export")
    rows = material.rows("test")[: wanted.rows]
    features = material.encoded(rows)
    expected = _outputs(exported, features)
    judged = Judged(material, rows, features, expected)
    _print("fp32", _file_mb(exported), None, judged, expected)
    for name, bits, model in _models(exported, material, wanted):
        folder = wanted.work / name.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        write_int8(model, folder)
        write_runnable(folder, read_runnable(exported))
        outputs = _outputs(folder, features)
        sizes = {codec: _coded(folder, codec, wanted.work) for codec in ("deflate", "zstd")}
        _print(name, _file_mb(folder), bits, judged, outputs, sizes)
    if wanted.speed:
        _speed(wanted.work)


def _models(exported: Path, material: Material, wanted: argparse.Namespace) -> Iterator[tuple[str, float | None, onnx.ModelProto]]:
    """Name, bits a weight (order-0 entropy) and model of each row."""
    step = Quantize(precision="int8", why="")
    model = load_mapped(exported / GRAPH_FILE)
    train = material.train[:MOMENTS]
    prepared = prepare(model, step, Texts(feeds_of(model, train[:CALIBRATION]), ()))
    quantized = quantized_products(prepared.model, False, (), prepared.ranges)
    started = time.perf_counter()
    grid = weighed(model, prepared, quantized, step, feeds_of(model, train))
    print(f"# weighed {len(grid.matrices)} matrices in {time.perf_counter() - started:.0f} s", flush=True)
    for bits in wanted.bits:
        coarse, details = grid.at(bits)
        yield f"{bits:g} bits", float(details["bits"]), with_grid(quantized, coarse)
    yield "int8", grid.fine_bits(), quantized
    rounded = [(f"nearest {sigma:g}", _nearest(grid, sigma)) for sigma in wanted.nearest]
    rounded += [("half zero", _half_zero(grid))] if wanted.half_zero else []
    rounded += [(f"{kind} untrained", _few_values(grid, kind)) for kind in VALUES] if wanted.few_values else []
    for name, coarse in rounded:
        yield name, mean_bits(coarse), with_grid(quantized, coarse)


def _nearest(grid: Grids, sigma: float) -> dict[str, Coarse]:
    return {matrix.name: round_coarse(matrix.values, sigma * matrix.values.std(axis=1), 0.0, 127) for matrix in grid.matrices}


def _half_zero(grid: Grids) -> dict[str, Coarse]:
    rounded = {}
    for matrix in grid.matrices:
        remaining = np.where(np.abs(matrix.values) < np.median(np.abs(matrix.values)), np.float32(0), matrix.values)
        rounded[matrix.name] = round_coarse(remaining, np.abs(remaining).max(axis=1) / 127, 0.0, 127)
    return rounded


def _few_values(grid: Grids, kind: WeightKind) -> dict[str, Coarse]:
    """By rounding alone: it tells what such weights take, and that they need a training."""
    values = {matrix.name: OnFewValues(kind).rounded(torch.tensor(matrix.values)).numpy() for matrix in grid.matrices}
    return {name: coarse for name, each in values.items() if (coarse := few_values_of(each)) is not None}


def _exported(material: Material, folder: Path) -> Path:
    from edgepack.pipeline.export_onnx import export_file
    from edgepack.pipeline.scoring import load_model

    if not (folder / "runnable.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_runnable(folder, export_file(load_model(material, material.source), material, Export(opset=20, why=""), folder))
    return folder


def _outputs(folder: Path, features: list) -> list[np.ndarray]:
    return answer(folder, RUNTIME, features, threads=1, exact=True, title=folder.name)


def _file_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.glob("model.onnx*")) / 1e6


def _coded(folder: Path, codec: str, work: Path) -> float:
    """The size of graph and coded weights; the coded folder stays in work/coded-..."""
    out = work / f"coded-{codec}-{folder.name}"
    out.mkdir(exist_ok=True)
    source, places = weights_in(folder, "model.onnx")
    stated = code_file(source, parts_between(places, source.stat().st_size), codec, "stream", out)
    (out / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    write_runnable(out, read_runnable(folder).model_copy(update={"coded": stated}))
    return ((out / "model.onnx").stat().st_size + (out / stated.coded).stat().st_size) / 1e6


def _print(name: str, mb: float, bits: float | None, judged: "Judged", outputs: Any, sizes: Any = None) -> None:
    expected = judged.expected
    quality = judged.quality(outputs)
    plain = judged.quality(expected)
    lost = quality.score.drop_from(plain.score)
    wide, narrow = np.concatenate([each.ravel() for each in expected]), np.concatenate([each.ravel() for each in outputs])
    error = float(np.square(narrow - wide).sum() / np.square(wide - wide.mean()).sum())
    coded = " | ".join(f"{sizes[codec]:.2f}" if sizes else "" for codec in ("deflate", "zstd"))
    flips = round((quality.flip_share or 0) * len(judged.rows))
    shown = "" if bits is None else f"{bits:.2f}"
    columns = (name, shown, f"{mb:.2f}", coded, f"{quality.score.value:.4f}", f"{lost:+.2f}", str(flips), f"{error:.4f}")
    print(f"| {' | '.join(columns)} |", flush=True)


def _speed(work: Path) -> None:
    """Decoding by both codecs, throttled loads, and S128 of coded and plain files in turns."""
    for folder in sorted(work.glob("coded-*")):
        result = run_job(folder, RUNTIME, {"kind": "coding", "threads": 2, "runs": 5, "rates": RATES})
        speeds = {row["threads"]: round(result["decoded_bytes"] / 1e3 / float(np.median(row["samples_ms"])), 1) for row in result["decode"]}
        loads = {row["mb_s"]: [row["coded"]["load_ms"], row["plain"]["load_ms"]] for row in result["throttled"]}
        print(json.dumps({"folder": folder.name, "decode_mb_s": speeds, "throttled_load_ms [coded, plain]": loads}), flush=True)
    for folder in sorted(work.glob("coded-deflate-*")):
        plain = work / folder.name.removeprefix("coded-deflate-")
        job = {"kind": "latency", "threads": 1, "length": 128, "runs": 20, "seconds": 1.0}
        turns = [[float(np.median(run_job(place, RUNTIME, job)["samples_ms"])) for place in (plain, folder)] for _ in range(5)]
        ratio = float(np.median([coded / whole for whole, coded in turns]))
        print(json.dumps({"folder": folder.name, "S128 coded over plain": round(ratio, 3), "turns_ms": turns}), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bits", type=float, nargs="*", default=[4.0, 3.5, 3.2, 3.0, 2.8, 2.5])
    parser.add_argument("--nearest", type=float, nargs="*", default=[0.35], help="steps in deviations of a channel, nearest rounding")
    parser.add_argument("--half-zero", action="store_true")
    parser.add_argument("--few-values", action="store_true", help="ternary and binary weights, by rounding alone")
    parser.add_argument("--rows", type=int, default=None, help="of the test split; all if left out")
    parser.add_argument("--speed", action="store_true", help="time decoding, throttled loads and S128 too: on a quiet machine")
    parser.add_argument("--work", type=Path, default=Path("build/coding"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
