"""LiteRT, or tflite-runtime where that has no wheel, as a module uses it: one text at a time, padded to the file's next length."""

from __future__ import annotations

import threading

import numpy as np

from .errors import ModuleError

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter


class Session:
    """An interpreter has one set of buffers, so calls wait for one another."""

    def __init__(self, folder, manifest, threads) -> None:
        if manifest.get("cache"):
            raise ModuleError("a module writes no text from a TFLite file", "build the pack with --format onnx")
        self._manifest, self._lock = manifest, threading.Lock()
        interpreter = Interpreter(str(folder / manifest["model"]), num_threads=threads)
        interpreter.allocate_tensors()
        self._runners = {length: interpreter.get_signature_runner("s{}".format(length)) for length in manifest["buckets"]}

    def run(self, ids, type_ids) -> list:
        bucket = min(length for length in self._manifest["buckets"] if length >= len(ids))  # texts are cut to the longest
        known = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": type_ids}
        feeds = {}
        for name in self._manifest["inputs"]:
            feeds[name] = np.full((1, bucket), self._manifest["pad_id"] if name == "input_ids" else 0, dtype=np.int32)
            feeds[name][0, : len(ids)] = known[name]
        with self._lock:
            found = self._runners[bucket](**feeds)
            outputs = [np.array(found[name][0]) for name in self._manifest["outputs"]]
        return [output[: len(ids)] if self._manifest["per_token"] else output for output in outputs]
