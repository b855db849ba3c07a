"""What a file that reads one text at a time saves: the same int8 model with and without --batch, in turns within one process.

    python benchmarks/one_text.py --model ../shared/models/minilm-l6-sst2 --texts ../shared/data/sst2/train.tsv

Times are CPU times of the thread that runs, which other work on the machine moves less than the clock: least, tenth and median.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import onnxruntime

from edgepack.export.onnx_export import export_onnx
from edgepack.export.onnx_weights import load_mapped
from edgepack.model.checkpoint import load_checkpoint, load_tokenizer
from edgepack.plan.steps import Export, Quantize
from edgepack.quantize.onnx_int8_ops import quantized_products
from edgepack.quantize.onnx_int8_search import Texts, prepare
from edgepack.quantize.schemes.onnx_int8 import feeds_of, write_int8
from edgepack.tasks import task_named
from edgepack.tasks.common.rows import Row

LENGTHS, TEXTS, WARM_UP = (128, 64, 16), 32, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True, help="a file with a text a line; columns behind a tab are left out")
    parser.add_argument("--task", default="text-classification")
    parser.add_argument("--work", type=Path, default=Path("build/one-text"))
    parser.add_argument("--turns", type=int, default=120)
    wanted = parser.parse_args()
    sessions = {name: opened(written(wanted, name, batch)) for name, batch in (("--batch", True), ("one text", False))}
    print("| tokens | file | least ms | tenth | median | median beside --batch |\n|---|---|---|---|---|---|")
    for length in LENGTHS:
        times = in_turns(sessions, length, wanted.turns)
        for name, values in times.items():
            least, tenth, median = np.percentile(values, [0, 10, 50])
            print(f"| {length} | {name} | {least:.2f} | {tenth:.2f} | {median:.2f} | {median / np.median(times['--batch']):.3f} |")


def written(wanted: argparse.Namespace, name: str, batch: bool) -> Path:
    """The folder of the model in int8, smoothed on the same texts as the other."""
    folder, task = wanted.work / name.strip("-").replace(" ", "-"), task_named(wanted.task)
    folder.mkdir(parents=True, exist_ok=True)
    export_onnx(load_checkpoint(wanted.model, task.name), task, Export(opset=20, batch=batch, why=""), folder / "graph.onnx")
    lines = wanted.texts.read_text(encoding="utf-8").splitlines()[:TEXTS]
    rows = [Row("", text=line.split("\t")[0]) for line in lines]
    model = load_mapped(folder / "graph.onnx")
    texts = Texts(feeds_of(model, task.encode(load_tokenizer(wanted.model), rows, max(LENGTHS))), [])
    write_int8(quantized_products(prepare(model, Quantize(precision="int8", why=""), texts).model, False), folder)
    return folder


def opened(folder: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])


def in_turns(sessions: dict[str, onnxruntime.InferenceSession], length: int, turns: int) -> dict[str, list[float]]:
    """Milliseconds of each run behind the warm-up; who comes first changes with every turn."""
    ids = np.random.default_rng(0).integers(1000, 20000, (1, length))
    known = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(turns + WARM_UP):
        for name, session in list(sessions.items())[:: 1 if turn % 2 else -1]:
            feeds = {value.name: known[value.name] for value in session.get_inputs()}
            start = time.thread_time()
            session.run(None, feeds)
            times[name].append((time.thread_time() - start) * 1e3)
    return {name: values[WARM_UP:] for name, values in times.items()}


if __name__ == "__main__":
    main()
