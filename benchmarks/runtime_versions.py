"""Which release of onnxruntime opens which of our files: small random models of every family, each release in a folder of its own.

    python benchmarks/runtime_versions.py                       # downloads each release, about 20 MB
    python benchmarks/runtime_versions.py --versions 1.20.1 1.23.2

`OLDEST` in plan/runtimes/onnxruntime.py is what this prints. A cell is the largest difference from what the installed release answers.
"""

import argparse
import sys
from pathlib import Path

import onnxruntime
from releases import answers, cell, installed

from edgepack.export.file_names import MODEL_FILE
from edgepack.export.onnx_decoder import export_decoder, runnable_decoder
from edgepack.export.onnx_export import export_onnx
from edgepack.export.onnx_optimization import optimize_onnx
from edgepack.export.onnx_weights import load_mapped, save_whole
from edgepack.plan.steps import Export, Quantize
from edgepack.quantize.onnx_int8_search import Texts, int8_model, prepare
from edgepack.quantize.schemes.onnx_blockwise import quantize_decoder
from edgepack.quantize.schemes.onnx_fp16 import store_halves
from edgepack.tasks import task_named

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from small import DECODERS, ENCODERS, make_model

VERSIONS = ("1.19.2", "1.20.1", "1.21.1", "1.22.1", "1.23.2", "1.25.1", "1.27.0", "1.29.0")
_IDS = [[2, 7, 30, 121, 55, 3]]
_JOB = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
options.log_severity_level = 4
found = []
for path in sys.argv[2:]:
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        ids = np.array(IDS)
        known = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        feeds = {}
        for value in session.get_inputs():
            past = value.name.startswith("past")
            feeds[value.name] = np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32) if past else known[value.name]
        found.append(session.run(None, feeds)[0].ravel().tolist())
    except Exception as error:
        found.append(str(error))
print(json.dumps(found))
""".replace("IDS", str(_IDS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", default=VERSIONS)
    parser.add_argument("--work", type=Path, default=Path("build/runtimes"))
    wanted = parser.parse_args()
    files = {name: path for family in (*ENCODERS, *DECODERS) for name, path in files_of(family, wanted.work / family)}
    expected = answers(_JOB, None, files.values())
    result = {version: answers(_JOB, installed("onnxruntime", version, wanted.work), files.values()) for version in wanted.versions}
    print(f"\n| file | {' | '.join(wanted.versions)} | {onnxruntime.__version__} |\n{'|---' * (len(wanted.versions) + 2)}|")
    for index, name in enumerate(files):
        cells = [cell(result[version][index], expected[index]) for version in wanted.versions]
        print(f"| {name} | {' | '.join(cells)} | {cell(expected[index], expected[index])} |")


def files_of(family: str, folder: Path):
    """(name, path) of a random model's file in each precision that its kind has."""
    decodes = family in DECODERS
    task = task_named("text-generation" if decodes else "text-classification")
    model = make_model(folder / "model", family, task.name)
    places = {name: folder / name for name in ("fp32", *(("int8", "int4") if decodes else ("fp16", "int8")))}
    for place in places.values():
        place.mkdir(exist_ok=True)
    if decodes:
        export_decoder(model, Export(opset=20, why=""), places["fp32"])
        cache = runnable_decoder(model, task).cache
        for precision in ("int8", "int4"):
            step = Quantize(precision=precision, method="blockwise", asymmetric=precision == "int4", why="")
            quantize_decoder(places["fp32"], step, places[precision], (), cache)
    else:
        export_onnx(model, task, Export(opset=20, why=""), folder / "graph.onnx")
        optimize_onnx(folder / "graph.onnx", places["fp32"])
        store_halves(places["fp32"], places["fp16"])
        step = Quantize(precision="int8", why="")
        save_whole(int8_model(prepare(load_mapped(folder / "graph.onnx"), step, Texts([], [])), step), folder / "int8.onnx")
        optimize_onnx(folder / "int8.onnx", places["int8"])
    for name, place in places.items():
        yield f"{family}, {name}", str((place / MODEL_FILE).resolve())


if __name__ == "__main__":
    main()
