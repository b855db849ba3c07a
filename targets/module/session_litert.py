"""LiteRT, or tflite-runtime where that has no wheel, as a module uses it: one text at a time, padded to the file's next length."""

from __future__ import annotations

import threading

import numpy as np

from .litert_decoder import Decoder
from .open_litert import compiled, interpreted, one_text, shortest_bucket


class Session:
    """A file has one set of buffers for a length, so calls wait for one another."""

    def __init__(self, folder, manifest, threads) -> None:
        self._manifest, self._lock = manifest, threading.Lock()
        path = folder / manifest["model"]
        if manifest.get("cache"):
            self._model = compiled(path, threads)
        else:
            self._runners = interpreted(path, manifest["buckets"], threads)

    def run(self, ids, type_ids) -> list:
        manifest = self._manifest
        bucket = shortest_bucket(manifest["buckets"], len(ids))  # there is one: texts are cut to the longest
        known = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": type_ids}
        feeds = one_text(known, manifest["inputs"], manifest["pad_id"], bucket)
        with self._lock:
            answer = self._runners[bucket](**feeds)
            outputs = [np.array(answer[name][0]) for name in manifest["outputs"]]
        return [output[: len(ids)] if manifest["per_token"] else output for output in outputs]

    def decoder(self, positions: int) -> Decoder:
        """A text with keys and values of its own: several may be written at once, whose steps wait for one another."""
        return Decoder(self._model, self._manifest, positions, self._lock)
