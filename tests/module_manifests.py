"""Whole manifests of a module for each task, with every field that one can have, and what becomes of them one change at a time."""

import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ANSWERS: dict[str, dict[str, Any]] = {
    "text-classification": {"function": "sigmoid", "multi_label": True, "thresholds": [0.5, 0.25], "reads_empty_pair": True},
    "token-classification": {
        "strategy": "first", "scheme": "iob2", "words": "white-space", "subword_prefix": True, "unk_id": 1, "ignore": ["O"],
    },
    "question-answering": {"stride": 64, "longest": 30, "no_answer": True, "threshold": 1.5},
    "feature-extraction": {
        "prompts": {"query": "query: "}, "default_prompt": "query", "similarity": "cosine", "dimensions": 2, "sparse": False,
        "prompt_tokens": {"query": {"begin": [1, 2], "count": 2}},
        "codes": {"kind": "binary", "id": "0123456789abcdef", "low": [0.0, 1], "high": [1.0, 2], "thresholds": [0.5, 1.5]},
    },
    "text-generation": {
        "do_sample": True, "temperature": 0.7, "top_k": 5, "top_p": 0.9, "min_p": 0.1, "typical_p": 1.0, "epsilon_cutoff": 0.0,
        "eta_cutoff": 0.0, "repetition_penalty": 1.1, "no_repeat_ngram_size": 3, "bad_words_ids": [[1, 2]],
        "sequence_bias": [[[3, 4], -1.5]], "suppress_tokens": [5], "begin_suppress_tokens": [6], "forced_bos_token_id": 7,
        "forced_eos_token_id": [8], "min_length": 1, "min_new_tokens": 1, "max_new_tokens": 9, "max_length": 20,
        "exponential_decay_length_penalty": [3, 1.1], "stop_strings": ["stop"], "chat_template": "{{ messages }}",
        "chat_tokens": {"bos_token": "<s>"}, "window": "refuse",
        "chat_form": {
            "first": {"user": "a"}, "between": {"user assistant": "b"}, "last": {"user": "c"}, "trimmed": ["user"], "looked_for": ["d"],
        },
    },
}  # fmt: skip
TASKS = tuple(_ANSWERS)
WRONG = (None, True, -1.5, 2**40, "a/b", "\u00e9", [], {}, [None], {"a": None}, [[]])  # values, one of which is right nowhere or seldom
_UNREAD = {
    "created",
    "expires",
    "edgepack",
    "licence",
    "precision",
    "runtime",
    "versions",
    "codec",
    "dimensions",
    "weight_cache",
    "chat_tokens",
}


def whole_manifest(task: str, kind: str = "onnx") -> dict[str, Any]:
    writes = task == "text-generation"
    model = f"model.{kind}"
    names = ("tokenizer.json", model, "weights.coded", "golden.jsonl", "characters.json")
    return {
        "schema": 1, "name": "intents", "version": "1.0.0", "created": "2026-01-01T00:00:00Z", "expires": "2999-01-01T00:00:00Z",
        "pack_id": "0123456789abcdef", "edgepack": "0.1.0", "task": task, "model": model, "inputs": ["input_ids", "attention_mask"],
        "outputs": ["a", "b"], "per_token": task == "token-classification", "pad_id": 0, "vocab": 300_000,
        "session": {"graph_optimization_level": "all", "disabled_optimizers": ["x"], "config": {"a": "1"}},
        "cache": [{"layer": 0, "heads": 2, "head_size": 4}] if writes else [], "positions": 64 if writes else None, "stop_ids": [2],
        "start_id": 1, "empty_output": [0.0, 1.5],
        "weight_cache": False, "buckets": [16, 64], "coded": {
            "file": model + ".data", "coded": "weights.coded", "bytes": 10, "sha256": "1" * 64, "codec": "zstd", "start": "stream",
        },
        "max_length": 64, "labels": {"0": "yes", "1": "no"}, "answers": _ANSWERS[task], "runtime": "onnxruntime", "exact": False,
        "format": kind, "precision": "int8", "golden_tolerance": 0.1, "licence": None, "versions": {"numpy": "2.0.0"},
        "files": [{"name": name, "bytes": 1, "sha256": "0" * 64} for name in names],
    }  # fmt: skip


def listed_files(folder: Path) -> list[dict[str, Any]]:
    """As a manifest lists what lies in a folder."""
    contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name not in {"module.json", "module.sig"}}
    return [{"name": name, "bytes": len(each), "sha256": hashlib.sha256(each).hexdigest()} for name, each in contents.items()]


def changes(manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What was changed, and the manifest with that one change: a key that is gone, and for each value one of every wrong type."""
    for path in _paths(manifest):
        name = ".".join(map(str, path))
        without = copy.deepcopy(manifest)
        del _holder(without, path)[path[-1]]
        yield f"{name} is gone", without
        for value in WRONG:
            other = copy.deepcopy(manifest)
            _holder(other, path)[path[-1]] = value
            yield f"{name} is {value!r}", other


def is_read(change: str) -> bool:
    """Whether a module's code reads the field that was changed."""
    return not _UNREAD & set(change.split(" is ", maxsplit=1)[0].split("."))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _paths(each, (*path, key))


def _holder(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        value = value[key]
    return value
