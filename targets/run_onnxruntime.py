"""Target: plain onnxruntime on a CPU. Runs on the device with numpy and onnxruntime: `run_onnxruntime.py PACK JOB`."""

import json
import os
import tempfile
import time
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # a target tells nobody; and its threads and its database would disturb what is measured
start = time.perf_counter()
import onnxruntime  # noqa: E402  the import is timed: a device pays for it at every start

IMPORT_MS = (time.perf_counter() - start) * 1e3

import counting  # noqa: E402
import generation  # noqa: E402
import machine  # noqa: E402
import numpy as np  # noqa: E402
import protocol  # noqa: E402
import text_times  # noqa: E402

onnxruntime.disable_telemetry_events()  # of versions that do not know the variable

LEVELS = {
    "disable_all": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}

WARM_UP_RUNS = 5  # before ops are timed one by one
INTEGER_OPS = {
    "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "GatherBlockQuantized", "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits",
    "QAttention", "QGemm", "QLinearMatMul", "QuantizeLinear",
}  # fmt: skip


def open_session(folder, manifest, threads, exact):
    """run(feeds) -> arrays, in a session with the pack's own settings.

    exact: compute u8 x s8 products without saturation where this CPU would saturate and the pack's device would not. The
    runtime then turns s8 weights to u8 as it loads, so such a session is for answers, not for timing.
    """
    session = _session(folder / manifest["model"], manifest["session"], threads, exact)
    return lambda feeds: session.run(None, feeds)


class Decoder:
    """A session that remembers: keys and values of `positions` tokens at most lie in one buffer, read and written in place.

    seen: tokens remembered; set it lower to take some back.
    """

    def __init__(self, folder, manifest, threads, positions) -> None:
        generation.check_decoder(manifest, positions)
        self.positions, self.seen = positions, 0
        self._session = _session(folder / manifest["model"], manifest["session"], threads, exact=False)
        self._binding = self._session.io_binding()
        self._binding.bind_output("logits", "cpu")
        self._ones = np.ones((1, positions), np.int64)
        for entry in manifest["cache"]:
            shape = [1, entry["heads"], positions, entry["head_size"]]
            for part in ("key", "value"):
                buffer = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cpu")
                self._binding.bind_ortvalue_input("past_key_values.{}.{}".format(entry["layer"], part), buffer)
                self._binding.bind_ortvalue_output("present.{}.{}".format(entry["layer"], part), buffer)

    def step(self, ids) -> np.ndarray:
        """Logits [vocab] of what follows the last of `ids`, which go behind all that was seen before."""
        seen = self.seen + len(ids)
        if seen > self.positions:
            raise ValueError("no room for {} tokens behind {} of {}".format(len(ids), self.seen, self.positions))
        tokens = np.array([ids], np.int64)
        self._binding.bind_cpu_input("input_ids", tokens)
        self._binding.bind_cpu_input("attention_mask", self._ones[:, :seen])
        self._session.run_with_iobinding(self._binding)
        self.seen = seen
        return self._binding.get_outputs()[0].numpy()[0, -1]


def ops(folder, manifest, job, _) -> dict:
    """Times of single ops for a text of `length` tokens, mean of `runs` inferences on `threads` threads, by onnxruntime's profiler."""
    with tempfile.TemporaryDirectory() as place:
        session = _session(folder / manifest["model"], manifest["session"], job["threads"], exact=False, profile=place + "/ops")
        feeds = protocol.random_text(manifest, job["length"])
        for _ in range(WARM_UP_RUNS + job["runs"]):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    kernels = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    one_run = len(kernels) // (WARM_UP_RUNS + job["runs"])
    timed = kernels[WARM_UP_RUNS * one_run :]
    rows = []
    for index in range(one_run):
        op = timed[index]["args"]["op_name"]
        times = [event["dur"] for event in timed[index::one_run]]
        rows.append({"op": op, "ms": sum(times) / len(times) / 1e3, "inside": None, "integers": op in INTEGER_OPS})
    return {"ops": rows, "threads": job["threads"]}


def _session(path, settings, threads, exact, profile=None):
    options = onnxruntime.SessionOptions()
    options.enable_profiling = profile is not None
    if profile:
        options.profile_file_prefix = profile
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = LEVELS[settings["graph_optimization_level"]]
    for key, value in settings.get("config", {}).items():
        options.add_session_config_entry(key, value)
    disabled = settings.get("disabled_optimizers", [])
    if exact and machine.saturates_u8s8() is not False:
        options.graph_optimization_level = LEVELS["extended"]
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled)


if __name__ == "__main__":
    texts = {**protocol.JOBS, **counting.JOBS, **text_times.JOBS}
    jobs = (texts, open_session), (generation.JOBS, Decoder), ({"ops": ops}, None)
    protocol.main("onnxruntime", onnxruntime.__version__, IMPORT_MS, *jobs)
