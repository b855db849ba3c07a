"""Two products for one against pruning with a refit, on a decoder: perplexity of the int8 file, its size, and tokens a second; untrained.

    python benchmarks/decoder_factorization.py --model ../shared/models/stories260k
    python benchmarks/decoder_factorization.py --model build/peers/smollm2-135m --wikitext ../shared/data/wikitext2

Each row is the teacher after one stage, exported to ONNX and stored in blocks of 8 bits as a build does it. Data are those of
benchmarks/decoder_study.py, or what the model draws itself (benchmarks/decoder_rounding.py). The stage sees the first `--lines` lines of
the train split; perplexity is of the first `--blocks` blocks of 256 tokens of the test split. The shares are such that the layers keep
about as many weights. Time is that of a token behind 64 others, one thread, all files in turns.
"""

import argparse
import json
import shutil
import statistics
import time
from pathlib import Path

import numpy as np
from decoder_rounding import drawn
from decoder_study import texts
from factorization import factored, pruned

from edgepack.compress.context import StageContext
from edgepack.export.file_names import MODEL_FILE
from edgepack.export.onnx_decoder import export_decoder, runnable_decoder
from edgepack.measure.answers import answer
from edgepack.measure.machines.transports.local import run_job
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.material import gather
from edgepack.model.structure import count_params
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Export, Quantize
from edgepack.quantize.schemes.onnx_blockwise import quantize_decoder

ROWS = {
    "whole": lambda model, context: model,
    "SVD, 30 % less": factored(0.3, "svd"),
    "tensor network, 30 % less": factored(0.3, "tensor"),
    "refit: 40 % of FFN": pruned(0.0, 0.4),
}
LENGTH, RUNS = 64, 12  # tokens before the one that is timed, and its repetitions in a turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--wikitext", type=Path, help="folder with valid.txt and test.txt; texts of the model's own if left out")
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    parser.add_argument("--work", type=Path, default=Path("build/decoder-factorization"))
    wanted = parser.parse_args()
    data = texts(wanted.wikitext, wanted.work / "data") if wanted.wikitext else drawn(wanted.model, 200, wanted.work / "data")
    lines = (data / "train.txt").read_text(encoding="utf-8").splitlines()[: wanted.lines]
    (data / "train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    material = gather(Recipe(model=wanted.model, data=str(data), task="text-generation"))
    judged = material.encoded(material.rows("test"))[: wanted.blocks]
    rows, packs = {}, {}
    for name in wanted.rows:
        packs[name] = wanted.work / "".join(letter for letter in name if letter.isalnum())
        model, began = load_checkpoint(material.source, material.task.name), time.monotonic()
        context = StageContext(material.task, material.rows("train"), material.train, [], material.labels, Path(), 0)
        model = ROWS[name](model, context).eval()
        seconds = time.monotonic() - began
        write(model, material.task, packs[name])
        exact = perplexity(run_model(model, material.task, judged, "score"))
        file = perplexity(answer(packs[name], "onnxruntime", judged, threads=1, exact=False))
        mb = sum(path.stat().st_size for path in packs[name].glob(f"{MODEL_FILE}*")) / 1e6
        rows[name] = f"{seconds:.0f} | {count_params(model) / 1e6:.3f} | {mb:.3f} | {exact:.3f} | {file:.3f}"
        print(f"# {name}: {rows[name]}", flush=True)
    speeds = tokens_a_second(packs, wanted.turns)
    print("| row | s of the stage | parameters, M | MB in int8 | perplexity, fp32 | of the file | tokens/s |")
    print("|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {row} | {speeds[name]:.0f} |")


def write(model, task, pack: Path) -> None:
    shutil.rmtree(pack, ignore_errors=True)
    exported = pack / "fp32"
    exported.mkdir(parents=True)
    export_decoder(model, Export(opset=20, positions=1024, why=""), exported)
    runnable = runnable_decoder(model, task, 1024)
    quantize_decoder(exported, Quantize(precision="int8", method="blockwise", why=""), pack, (), runnable.cache)
    (pack / "runnable.json").write_text(json.dumps(runnable.as_json()), encoding="utf-8")
    shutil.rmtree(exported)


def perplexity(outputs) -> float:
    return float(np.exp(np.concatenate([output[:, 0] for output in outputs]).mean()))


def tokens_a_second(packs: dict[str, Path], turns: int) -> dict[str, float]:
    """The median of the turns' medians."""
    samples: dict[str, list[float]] = {name: [] for name in packs}
    job = {"kind": "decode", "threads": 1, "length": LENGTH, "runs": RUNS, "warm_up_runs": 2, "seconds": 0}
    for _ in range(turns):
        for name, pack in packs.items():
            samples[name].append(statistics.median(run_job(pack, "onnxruntime", job)["samples_ms"]))
    return {name: 1e3 / statistics.median(values) for name, values in samples.items()}


if __name__ == "__main__":
    main()
