"""LiteRT, or tflite-runtime where that has no wheel, as a module uses it: one text at a time, padded to the file's next length."""

from __future__ import annotations

import threading

import numpy as np

from .errors import errors_of_runtime
from .litert_decoder import Decoder
from .manifest import check_model
from .open_litert import PACKED_ENDINGS, compiled, names_of, opened, padded, shortest_bucket, version
from .runnable import is_decoder, one_text


class Session:
    """A file has one set of buffers for a length, so calls wait for one another."""

    def __init__(self, weights, manifest, threads, started) -> None:
        self._manifest, self._lock = manifest, threading.Lock()
        with errors_of_runtime("does not open the model"):
            if is_decoder(manifest):
                self._model = started(lambda packed: compiled(weights, threads, packed), version, PACKED_ENDINGS)
            else:
                self._runners = started(lambda packed: opened(weights, manifest["buckets"], threads, packed), version, PACKED_ENDINGS)
        if not is_decoder(manifest):
            check_model(manifest, *names_of(self._runners[manifest["buckets"][0]]))

    def run(self, ids, type_ids) -> list:
        manifest = self._manifest
        bucket = shortest_bucket(manifest["buckets"], len(ids))  # there is one: texts are cut to the longest
        feeds = padded(one_text(manifest, ids, type_ids), manifest["inputs"], manifest["pad_id"], bucket)
        with self._lock, errors_of_runtime("fails on this text"):
            answer = self._runners[bucket](**feeds)
            outputs = [np.array(answer[name][0]) for name in manifest["outputs"]]
        return [output[: len(ids)] if manifest["per_token"] else output for output in outputs]

    def decoder(self, positions: int) -> Decoder:
        """A text with keys and values of its own: several may be written at once, whose steps wait for one another."""
        return Decoder(self._model, self._manifest, positions, self._lock)
