"""Each family at the shape of its published base model, with random weights: what a pack in each precision really is.

    python benchmarks/real_shapes.py [FAMILY...] [--format onnx tflite] [--precision fp32 fp16 int8 int4] [--layers N]

A miniature hides faults: exporters fold small weights and leave large ones. Each row is a whole build, which compares the export with
torch, checks every matrix product against the plan and verifies its own pack; the table shows the products and the stored bytes by
precision, and the file's size beside the prediction. It takes up to minutes a row. Layers that repeat are left out, and so are most rows of
the table of embeddings, as widths and structure make the faults: --layers 0 builds all of them.
"""

import argparse
import shutil
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
from edgepack.plan.precision import FileKind, all_precisions, precision_names
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.tasks import task_named

_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 514}
_LOCAL, _GLOBAL = "sliding_attention", "full_attention"
# Of the published models that stand behind each: what differs from the defaults of transformers' config classes.
SHAPES: dict[str, dict[str, Any]] = {
    "albert": _BASE | {"embedding_size": 128, "vocab_size": 30000, "max_position_embeddings": 512},  # albert-base-v2
    "bert": {},  # bert-base-uncased
    "camembert": _BASE | {"vocab_size": 32005, "type_vocab_size": 1},  # camembert-base
    "data2vec-text": _BASE | {"vocab_size": 50265, "type_vocab_size": 1},  # data2vec-text-base
    "deberta-v2": _BASE | {"vocab_size": 128100, "position_buckets": 256, "type_vocab_size": 0, "max_position_embeddings": 512},  # v3-base
    "distilbert": {},  # distilbert-base-uncased
    "electra": _BASE | {"embedding_size": 768, "max_position_embeddings": 512},  # electra-base-discriminator
    "mobilebert": {},  # mobilebert-uncased
    "modernbert": {},  # ModernBERT-base
    "mpnet": {"vocab_size": 30527, "max_position_embeddings": 514},  # mpnet-base
    "roberta": _BASE | {"vocab_size": 50265, "type_vocab_size": 1},  # roberta-base
    "xlm-roberta": _BASE | {"vocab_size": 250002, "type_vocab_size": 1},  # xlm-roberta-base
    "gpt2": {},  # gpt2
    "llama": {
        "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536,
        "vocab_size": 49152, "max_position_embeddings": 2048, "tie_word_embeddings": True,
    },  # SmolLM-135M
    "qwen2": {
        "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "intermediate_size": 4864,
        "vocab_size": 151936, "max_position_embeddings": 2048, "tie_word_embeddings": True,
    },  # Qwen2.5-0.5B
    "qwen3": {
        "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        "intermediate_size": 3072, "vocab_size": 151936, "max_position_embeddings": 2048, "tie_word_embeddings": True,
    },  # Qwen3-0.6B
    "smollm3": {"vocab_size": 128256, "max_position_embeddings": 2048, "tie_word_embeddings": True},  # SmolLM3-3B
    "gemma2": {"vocab_size": 256000, "max_position_embeddings": 2048, "sliding_window": 512},  # gemma-2-2b
    "gemma3_text": {
        "hidden_size": 640, "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
        "intermediate_size": 2048, "vocab_size": 262144, "max_position_embeddings": 2048, "sliding_window": 512,
    },  # gemma-3-270m
    "mistral": {"vocab_size": 32000, "max_position_embeddings": 2048, "sliding_window": 512},  # Mistral-7B-v0.1
    "phi3": {"max_position_embeddings": 2048, "original_max_position_embeddings": 2048, "sliding_window": 512},  # Phi-3-mini-4k
}  # fmt: skip
# The fewest layers in which each kind of layer stands; ALBERT's run from the same weights, so that all of them belong to its shape.
# Mistral's and Phi-3's are all alike, and one is as large as a whole encoder.
FEWEST_LAYERS = {"albert": 12, "modernbert": 4, "smollm3": 4, "mistral": 1, "phi3": 1}
OTHER_LAYERS: dict[str, dict[str, Any]] = {"gemma2": {"layer_types": [_LOCAL, _GLOBAL]}, "gemma3_text": {"layer_types": [_LOCAL, _GLOBAL]}}
# Weights of a table of embeddings: a longer one has its width and fewer rows. Of all layers and of the fewest: so that a build fits into
# memory, and so that copying the table's rows does not take most of a row's time.
MOST_WEIGHTS, MOST_WEIGHTS_OF_FEW_LAYERS = 150_000_000, 8_000_000
PROFILES = {"onnx": "raspberry-pi", "tflite": "phone"}


def model_of(family: str, cut: bool = False, **more: Any) -> torch.nn.Module:
    """A model of the family's published shape with random weights. cut: its table of embeddings has few rows.

    more: settings of the config in place of those.
    """
    import transformers

    facts, task = FAMILIES[family], task_of(family)
    needed = {key: value for key, value in facts.tiny.items() if key in facts.only or key in facts.must_state or key.endswith("_token_id")}
    config = transformers.AutoConfig.for_model(facts.model_type, **(needed | SHAPES[family] | more))
    width = getattr(config, "embedding_size", config.hidden_size)
    config.vocab_size = min(config.vocab_size, (MOST_WEIGHTS_OF_FEW_LAYERS if cut else MOST_WEIGHTS) // width)
    torch.manual_seed(0)
    return getattr(transformers, task_named(task).auto_class).from_config(config, dtype=torch.float32)


def task_of(family: str) -> str:
    return "text-generation" if FAMILIES[family].causal else "text-classification"


def cut_of(family: str, layers: int | None) -> dict[str, Any]:
    """Settings for so many layers; None: the fewest in which each kind of layer stands, 0: all."""
    layers = FEWEST_LAYERS.get(family, 2) if layers is None else layers
    return {FAMILIES[family].config_layers: layers} | OTHER_LAYERS.get(family, {}) if layers else {}


def rows(family: str, formats: list[str], precisions: list[str] | None = None, layers: int | None = None) -> Iterator[str]:
    """A row for each format and precision that there is for the family. layers: as in `cut_of`."""
    facts = FAMILIES[family]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model_of(family, cut=layers != 0, **cut_of(family, layers)).save_pretrained(folder / "model")
        make_tokenizer(folder / "model")
        for file_format in formats:
            there = [each.name for each in all_precisions() if FileKind(file_format, facts.causal) in each.quantize]
            for precision in [name for name in there if precisions is None or name in precisions]:
                started = time.monotonic()
                cells = built(folder, file_format, precision)
                yield f"| {family} | {file_format} | {precision} | {' | '.join(cells)} | {time.monotonic() - started:.0f} |"


def built(folder: Path, file_format: str, precision: str) -> list[str]:
    """The row's figures, or why there is no pack. The pack itself is dropped: those of all rows would fill a disk."""
    out = folder / f"{file_format}-{precision}"
    settings = {"model": str(folder / "model"), "student": "same", "prune_heads": 0.0, "precision": precision, "format": file_format}
    try:
        build(Recipe.read(settings, "real_shapes"), load_profile(PROFILES[file_format]), out, folder / "cache", effort=None)
        return measured(read_manifest(out))
    except EdgepackError as error:
        return [f"**{error.problem}**", "", "", ""]
    finally:
        shutil.rmtree(out, ignore_errors=True)


def measured(manifest: Manifest) -> list[str]:
    counts = ", ".join(f"{count} {kind}" for kind, count in manifest.products.items() if count)
    stored = sum(manifest.weight_bytes.values())
    shares = ", ".join(f"{size / stored:.1%} {kind}" for kind, size in manifest.weight_bytes.items())
    predicted = manifest.predictions.file_mb
    return [counts, shares, f"{manifest.file_mb:.1f}", f"{predicted:.1f} ({predicted / manifest.file_mb - 1:+.1%})"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", default=list(SHAPES), metavar="FAMILY")
    parser.add_argument("--format", nargs="+", default=["onnx", "tflite"], choices=["onnx", "tflite"])
    parser.add_argument("--precision", nargs="+", choices=precision_names(), help="default: all that there are")
    parser.add_argument("--layers", type=int, help="default: the fewest in which each kind of layer stands; 0: all")
    wished = parser.parse_args()
    print("| family | format | precision | matrix products | bytes of matrices and tables | MB | predicted MB | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for family in wished.families:
        for row in rows(family, wished.format, wished.precision, wished.layers):
            print(row, flush=True)


if __name__ == "__main__":
    main()
