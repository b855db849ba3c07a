"""How a pack's ONNX file is opened by onnxruntime, and a decoder around its cache: what measures a pack and what an app runs share it.

Runs on the device with numpy and onnxruntime. Importing it imports the runtime, without its telemetry.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else the runtime keeps a database of what runs in the user's cache, for its makers
import numpy as np
import onnxruntime

if hasattr(onnxruntime, "disable_telemetry_events"):
    onnxruntime.disable_telemetry_events()  # of versions that do not know the variable

LEVELS = {
    "disable_all": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
_LAST_START = "last_start"  # of a decoder's graph: minus the number of tokens, counted from the last, that it gives logits of


def open_file(weights, settings, threads, careful=False, profile=None, providers=("CPUExecutionProvider",), plug_in=None):
    """A session with the pack's own `settings`. weights: weight_source.Weights. profile: where the runtime's profiler writes to.

    providers: the first is asked first. plug_in: a function that has the options ask for providers, in their place.

    careful: compute u8 x s8 products without saturation. The runtime then turns s8 weights to u8 as it loads, so such a session
    is for answers, not for timing.
    """
    options = onnxruntime.SessionOptions()
    options.enable_profiling = profile is not None
    if profile:
        options.profile_file_prefix = profile
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.graph_optimization_level = LEVELS[settings["graph_optimization_level"]]
    for key, value in settings.get("config", {}).items():
        options.add_session_config_entry(key, value)
    if careful:
        options.graph_optimization_level = LEVELS["extended"]
        options.add_session_config_entry("session.x64quantprecision", "1")
    disabled = settings.get("disabled_optimizers", [])
    model = str(weights.model)
    if weights.memory:
        names, contents = list(weights.memory), list(weights.memory.values())
        options.add_external_initializers_from_files_in_memory(names, contents, [len(content) for content in contents])
    if weights.expanded is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights.expanded))
        model = weights.model.read_bytes()  # of a graph by its path, the runtime looks for weights beside it alone
    if plug_in:
        plug_in(options)
    named = {} if plug_in else {"providers": list(providers)}  # onnxruntime takes one or the other
    session = onnxruntime.InferenceSession(model, options, disabled_optimizers=disabled, **named)
    weights.forget()  # the session has what it needs of them
    return session


class Decoder:
    """One text in a session: keys and values of `positions` tokens at most lie in buffers of its own, read and written in place.

    cache: the manifest's. seen: tokens remembered; set it lower to take some back. scores_several: whether the file can give logits
    of more than the last token in a run; files of earlier releases cannot.
    """

    def __init__(self, session, cache, positions) -> None:
        self.positions, self.length = positions, 0
        self.scores_several = any(each.name == _LAST_START for each in session.get_overridable_initializers())
        self._session, self._binding, self._rows = session, session.io_binding(), 1
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
        return self._run(ids, 1)[0]

    def score(self, ids) -> np.ndarray:
        """Logits [tokens, vocab] of what follows each of `ids`, in one run; where scores_several alone."""
        return self._run(ids, len(ids))

    def _run(self, ids, rows) -> np.ndarray:
        length = self.length + len(ids)
        if length > self.positions:
            raise ValueError("no room for {} tokens behind {} of {}".format(len(ids), self.length, self.positions))
        self._binding.bind_cpu_input("input_ids", np.array([ids], np.int64))
        self._binding.bind_cpu_input("attention_mask", self._ones[:, :length])
        if rows != self._rows:
            start = onnxruntime.OrtValue.ortvalue_from_numpy(np.array([-rows], np.int64))
            self._binding.bind_ortvalue_input(_LAST_START, start)  # bind_cpu_input knows no input that has a value already
        if max(rows, self._rows) > 1:
            self._binding.bind_output("logits", "cpu")  # the output of the last run fits one row after one row alone
        self._rows = rows
        self._session.run_with_iobinding(self._binding)
        self.length = length
        return self._binding.get_outputs()[0].numpy()[0]
