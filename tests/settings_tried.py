"""Each setting of a recipe with another value: for the tests of keys, and for warm builds beside fresh ones in benchmarks/attack.py."""

import copy
from pathlib import Path
from typing import Any

from small import make_data, make_model

# Everything is fixed, so that a budget does not move the plan itself.
FIXED = {"student": "2x64", "prune_heads": 0.25, "precision": "int8", "importance": "gradient", "scope": "layer"}

# Each setting: another value for it, and the first stage that has to be done anew. Paths are filled in by the test.
SETTINGS = {
    "model": ("OTHER MODEL", "teacher"),
    "task": ("text-classification", None),  # what the config says, too
    "data": ("OTHER DATA", "teacher"),
    "vocabulary": ("data", "cut_vocabulary"),
    "student": ("1x64", "distill"),
    "prune_heads": (0.5, "prune_heads"),
    "prune_ffn": (0.5, "prune_ffn"),
    "prune_layers": ("0,1,2", "prune_layers"),
    "drop_attention": (1, "drop_attention"),
    "prune_weights": (0.5, "distill"),  # which then holds the zeros
    "factorize": (0.5, "distill"),  # whose steps it shares
    "factorize_by": (None, None),  # of what is factored: the tests of compress
    "importance": ("magnitude", "prune_heads"),
    "scope": ("model", "prune_heads"),
    "refit": (True, "prune_heads"),
    "iterations": (2, None),  # a student that is distilled is cut at once
    "quantization_aware": (True, "distill"),
    "precision": ("fp16", "export"),  # in another opset
    "activations": ("static", "quantize"),
    "prepack": (False, "export"),
    "weight_cache": (True, "export"),
    "smoothing": (0.5, "quantize"),
    "sensitive": (1, "quantize"),
    "embedding_bits": (None, None),  # of decoders
    "bits": (3.5, "quantize"),
    "weights": (None, None),  # of a training that sees them: tests/compress/test_few_values.py
    "codec": ("zstd", None),  # of a pack, behind all stages
    "start": (None, None),  # of weights that are coded
    "batch": (True, "export"),
    "format": ("onnx", None),  # what the profile prefers
    "vectors": (None, None),  # of vectors, and of a pack behind all stages
    "dimensions": (None, None),  # of vectors: the tests below
    "revision": (None, None),  # of a hub model
    "base": (None, None),  # of an adapter
    "length": (64, None),
    "max_length": (48, "teacher"),
    "budget.file_mb": (500.0, None),
    "budget.ram_mb": (5000.0, None),
    "budget.latency_ms": (5000.0, None),
    "budget.load_ms": (50000.0, None),
    "budget.score_drop": (7.0, "quantize"),  # the gate chooses by it
    "training.epochs": (7, "distill"),
    "training.training_steps": (7, "distill"),
    "training.batch_rows": (7, "distill"),
    "training.learning_rate": (7e-4, "distill"),
    "training.temperature": (7.0, "distill"),
    "training.soft_weight": (0.7, "distill"),
    "training.hidden_weight": (0.7, "distill"),
    "training.relation_weight": (0.7, "distill"),
    "training.hard_weight": (0.7, "distill"),
    "training.training_precision": ("bf16", "distill"),
    "training.minutes": (7.0, "distill"),
    "aggregation": ("max", None),  # of tags
    "words": ("characters", None),
    "columns.label_map": (None, None),  # where the data's labels have other names
    "unlabelled": ("TEXTS", "teacher"),
    "columns.text": ("text", None),  # what is guessed, too
    "columns.text_pair": (None, None),
    "columns.label": ("intent", None),
    "seed": (1, "prune_heads"),  # the splits are given: it draws nothing before
    "trust_remote_code": (True, None),  # of a model without any
}


def changed_setting(stated: dict[str, Any], name: str, place: Path) -> dict[str, Any]:
    """The recipe with another value for one setting; another model, data or texts are made in `place`."""
    value: Any = SETTINGS[name][0]
    match value:
        case "OTHER MODEL":
            make_model(place / "model", seed=1)
            value = str(place / "model")
        case "OTHER DATA":
            value = str(make_data(place / "data", {"train": 60, "dev": 20, "test": 20}))
        case "TEXTS":
            (place / "texts.txt").write_text("turn it on\nplay something\n")
            value = str(place / "texts.txt")
    *above, key = name.split(".")
    changed = copy.deepcopy(stated)
    (changed[above[0]] if above else changed)[key] = value
    return changed
