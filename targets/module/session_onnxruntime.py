"""onnxruntime as a module uses it: with the settings that the pack was measured with, one text at a time."""

from __future__ import annotations

import os

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else the runtime keeps a database of what runs in the user's cache, for its makers
import onnxruntime

from .machine import saturates_u8s8

_LEVELS = {
    "disable_all": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


class Session:
    """onnxruntime runs one session in many threads at once, so calls need no lock."""

    def __init__(self, folder, manifest, threads) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        settings = manifest["session"]
        options.graph_optimization_level = _LEVELS[settings["graph_optimization_level"]]
        for key, value in settings.get("config", {}).items():
            options.add_session_config_entry(key, value)
        if manifest["exact"] and saturates_u8s8() is not False:  # else this CPU answers otherwise than the one measured on
            options.graph_optimization_level = _LEVELS["extended"]
            options.add_session_config_entry("session.x64quantprecision", "1")
        self._inputs, self._cache = manifest["inputs"], manifest.get("cache") or []
        self._session = onnxruntime.InferenceSession(
            str(folder / manifest["model"]),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=settings.get("disabled_optimizers", []),
        )

    def run(self, ids, type_ids) -> list:
        known = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": type_ids}
        return [output[0] for output in self._session.run(None, {name: np.array([known[name]], np.int64) for name in self._inputs})]

    def decoder(self, positions: int) -> Decoder:
        return Decoder(self._session, self._cache, positions)


class Decoder:
    """One text that is being written: keys and values of `positions` tokens at most lie in buffers of its own, written in place."""

    def __init__(self, session, cache, positions) -> None:
        self.positions, self.seen = positions, 0
        self._session, self._binding = session, session.io_binding()
        self._binding.bind_output("logits", "cpu")
        self._ones = np.ones((1, positions), np.int64)
        for entry in cache:
            shape = [1, entry["heads"], positions, entry["head_size"]]
            for part in ("key", "value"):
                buffer = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cpu")
                self._binding.bind_ortvalue_input("past_key_values.{}.{}".format(entry["layer"], part), buffer)
                self._binding.bind_ortvalue_output("present.{}.{}".format(entry["layer"], part), buffer)

    def step(self, ids) -> np.ndarray:
        """Logits [vocab] of what follows the last of `ids`, which go behind all that was seen before."""
        seen = self.seen + len(ids)
        self._binding.bind_cpu_input("input_ids", np.array([ids], np.int64))
        self._binding.bind_cpu_input("attention_mask", self._ones[:, :seen])
        self._session.run_with_iobinding(self._binding)
        self.seen = seen
        return self._binding.get_outputs()[0].numpy()[0, -1]
