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

version = onnxruntime.__version__
LEVELS = {
    "disable_all": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
_OUTSIDE_FROM = "1024"  # bytes from which on a weight lies outside the graph, where it can be mapped
PACKED_ENDINGS = ("onnx", "onnx.data")  # endings of what the runtime writes of a session whose packed weights are kept
_LAST_START = "last_start"  # of a decoder's graph: minus the number of tokens, counted from the last, that it gives logits of


def open_file(weights, settings, threads, careful=False, profile=None, providers=("CPUExecutionProvider",), plug_in=None, packed=None):
    """A session with the pack's own `settings`. weights: weight_source.Weights. profile: where the runtime's profiler writes to.
    packed: weight_cache.PackedFiles, of PACKED_ENDINGS: the session maps the packed weights that lie there, or leaves its own there.

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
    if packed is not None and packed.paths:
        model = _with_packed(options, packed, model)
    if plug_in:
        plug_in(options)
    named = {} if plug_in else {"providers": list(providers)}  # onnxruntime takes one or the other
    session = onnxruntime.InferenceSession(model, options, disabled_optimizers=disabled, **named)
    weights.forget()  # the session has what it needs of them
    return session


def _with_packed(options, packed, model):
    """The graph to open. What was kept is optimized already, and has its weights as they were and as this CPU's kernels take them."""
    graph, data = packed.paths
    if packed.is_whole:
        options.graph_optimization_level = LEVELS["disable_all"]
        return str(graph)
    options.optimized_model_filepath = str(graph)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", data.name)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", _OUTSIDE_FROM)
    options.add_session_config_entry("session.save_external_prepacked_constant_initializers", "1")
    return model


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
