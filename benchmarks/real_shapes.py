"""Each family at the shape of its published base model, with random weights: what a pack in each precision really is.

    python benchmarks/real_shapes.py [FAMILY...] [--format onnx tflite] [--precision fp32 fp16 int8 int4] [--layers N]

A miniature hides faults: exporters fold small weights and leave large ones. Each row is a whole build, which compares the export with
torch, checks every matrix product against the plan and verifies its own pack; the table shows the products and the stored bytes by
precision, and the file's size beside the prediction. It takes minutes a row. --layers cuts the depth alone: widths make the faults.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from small import make_tokenizer

from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import Manifest, read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.precision import precision_names
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.tasks import task_named

_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
# Of the published models; the config classes of transformers state the others' own base shape by default.
SHAPES: dict[str, dict[str, Any]] = {
    "albert": _BASE | {"embedding_size": 128, "vocab_size": 30000},  # albert-base-v2
    "electra": _BASE | {"embedding_size": 768},  # electra-base
    "deberta-v2": _BASE | {"vocab_size": 128100, "position_buckets": 256},  # deberta-v3-base
    "llama": {
        "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536,
        "vocab_size": 49152, "max_position_embeddings": 2048, "tie_word_embeddings": True,
    },  # SmolLM-135M
    "qwen2": {
        "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "intermediate_size": 4864,
        "vocab_size": 151936, "max_position_embeddings": 2048, "tie_word_embeddings": True,
    },  # Qwen2.5-0.5B
}  # fmt: skip
PROFILES = {"onnx": "raspberry-pi", "tflite": "phone"}
BY_DEFAULT = ("albert", "bert", "distilbert", "modernbert")


def make_real(family: str, folder: Path, **more: Any) -> None:
    """A model folder of the family's published shape. more: settings of the config in place of those."""
    import transformers

    facts = FAMILIES[family]
    needed = {key: value for key, value in facts.tiny.items() if key in facts.only or key in facts.must_state}
    task = task_named("text-generation" if facts.causal else "text-classification")
    config = transformers.AutoConfig.for_model(facts.model_type, **(needed | SHAPES.get(family, {}) | more))
    torch.manual_seed(0)
    getattr(transformers, task.auto_class).from_config(config, dtype=torch.float32).save_pretrained(folder)
    make_tokenizer(folder)


def rows(family: str, formats: list[str], precisions: list[str], layers: int | None) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_real(family, folder / "model", **({FAMILIES[family].config_layers: layers} if layers else {}))
        for file_format in formats:
            for precision in precisions:
                started, out = time.monotonic(), folder / f"{file_format}-{precision}"
                recipe = Recipe.read(
                    {"model": str(folder / "model"), "student": "same", "prune_heads": 0.0, "precision": precision, "format": file_format},
                    "real_shapes",
                )
                try:
                    build(recipe, load_profile(PROFILES[file_format]), out, folder / "cache", effort=None)
                    cells = measured(read_manifest(out))
                except EdgepackError as error:
                    cells = [f"**{error.problem}**", "", "", ""]
                yield f"| {family} | {file_format} | {precision} | {' | '.join(cells)} | {time.monotonic() - started:.0f} |"


def measured(manifest: Manifest) -> list[str]:
    counts = ", ".join(f"{count} {kind}" for kind, count in manifest.products.items() if count)
    stored = sum(manifest.weight_bytes.values())
    shares = ", ".join(f"{size / stored:.1%} {kind}" for kind, size in manifest.weight_bytes.items())
    predicted = manifest.predictions.file_mb
    return [counts, shares, f"{manifest.file_mb:.1f}", f"{predicted:.1f} ({predicted / manifest.file_mb - 1:+.1%})"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", default=BY_DEFAULT, metavar="FAMILY")
    parser.add_argument("--format", nargs="+", default=["onnx"], choices=["onnx", "tflite"])
    parser.add_argument("--precision", nargs="+", default=["int8"], choices=precision_names())
    parser.add_argument("--layers", type=int)
    wished = parser.parse_args()
    print("| family | format | precision | matrix products | bytes of matrices and tables | MB | predicted MB | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for family in wished.families:
        for row in rows(family, wished.format, wished.precision, wished.layers):
            print(row, flush=True)


if __name__ == "__main__":
    main()
