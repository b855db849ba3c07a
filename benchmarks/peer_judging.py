"""How good the files of peers.py are: accuracy of the classifier, cosine of the mean embeddings to torch in fp32."""

import json
from pathlib import Path
from typing import Any

import numpy as np

MAX_LENGTH = 128


def encoded(model: Path, data: Path, count: int) -> list[dict[str, list[int]]]:
    """Token ids of the first `count` test texts, one row a text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    result = tokenizer.encode_batch([text for text, _ in _test(data)[:count]])
    return [{"input_ids": each.ids, "token_type_ids": each.type_ids} for each in result]


def references(model: Path, data: Path, count: int, remaining: Path) -> list[list[float]]:
    """Mean embeddings of the test texts in torch, computed once: `kept` holds them by what they depend on."""
    key = f"{model} {data.resolve()} {count}"
    if remaining.is_file() and (result := json.loads(remaining.read_text()))["key"] == key:
        return result["embeddings"]
    import torch
    from transformers import AutoModel

    loaded = AutoModel.from_pretrained(model, dtype=torch.float32, local_files_only=True).eval()
    with torch.inference_mode():
        rows = [{name: torch.tensor([ids]) for name, ids in row.items()} for row in encoded(model, data, count)]
        embeddings = [loaded(**row).last_hidden_state[0].mean(0).tolist() for row in rows]
    remaining.write_text(json.dumps({"key": key, "embeddings": embeddings}))
    return embeddings


def cosines(outputs: list[Any], truth: list[list[float]]) -> dict[str, float]:
    """Mean and least; an output is an embedding, or one vector a token."""
    result = []
    for output, expected in zip(outputs, truth, strict=True):
        vector = np.asarray(output)
        vector = vector.mean(0) if vector.ndim == 2 else vector
        result.append(float(vector @ np.asarray(expected) / np.linalg.norm(vector) / np.linalg.norm(expected)))
    return {"mean": float(np.mean(result)), "least": min(result)}


def accuracy(outputs: list[Any], data: Path) -> float:
    labels = [label for _, label in _test(data)[: len(outputs)]]
    return float(np.mean([int(np.argmax(output)) == label for output, label in zip(outputs, labels, strict=True)]))


def _test(data: Path) -> list[tuple[str, int]]:
    lines = (data / "test.tsv").read_text(encoding="utf-8").splitlines()
    return [(text, int(label)) for text, label in (line.split("\t") for line in lines)]
