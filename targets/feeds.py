"""What a session is fed: texts of random tokens, padded rows, and the empty cache of a decoder. Standard library and numpy."""

from __future__ import annotations

import random

import numpy as np
from runnable import one_text


def random_ids(manifest, length) -> list:
    """Random tokens, the same at every call: latency must not hang on words."""
    draw = random.Random(length)
    return [draw.randrange(manifest["vocab"]) for _ in range(length)]


def random_text(manifest, length) -> dict:
    """One text of random tokens."""
    text = one_text(manifest, random_ids(manifest, length))
    return {**{name: np.array([values], dtype=np.int64) for name, values in text.items()}, **empty_cache(manifest, 1)}


def padded(manifest, rows) -> dict:
    longest = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": manifest["pad_id"], "attention_mask": 0, "token_type_ids": 0}
    feeds = {name: np.full((len(rows), longest), fill[name], dtype=np.int64) for name in manifest["inputs"]}
    for index, row in enumerate(rows):
        length = len(row["input_ids"])
        for name, array in feeds.items():
            array[index, :length] = 1 if name == "attention_mask" else row[name]
    return {**feeds, **empty_cache(manifest, len(rows))}


def empty_cache(manifest, rows) -> dict:
    """What a decoder takes for its past where there is none, in the order of its outputs."""
    return {
        "past_key_values.{}.{}".format(layer["layer"], part): np.zeros((rows, layer["heads"], 0, layer["head_size"]), dtype=np.float32)
        for layer in manifest.get("cache") or []
        for part in ("key", "value")
    }
