"""Target: plain onnxruntime on a CPU. Runs on the device with numpy and onnxruntime: `run_onnxruntime.py PACK JOB`."""

import time

start = time.perf_counter()
import onnxruntime  # noqa: E402  the import is timed: a device pays for it at every start

IMPORT_MS = (time.perf_counter() - start) * 1e3

import machine  # noqa: E402
import protocol  # noqa: E402

LEVELS = {
    "disable_all": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def open_session(folder, manifest, threads, exact):
    """A session with the pack's own settings.

    exact: compute u8 x s8 products without saturation where this CPU would saturate and the pack's device would not. The
    runtime then turns s8 weights to u8 as it loads, so such a session is for answers, not for timing.
    """
    settings = manifest["session"]
    options = onnxruntime.SessionOptions()
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
    session = onnxruntime.InferenceSession(
        str(folder / manifest["model"]), options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled
    )
    return lambda feeds: session.run(None, feeds)


if __name__ == "__main__":
    protocol.main("onnxruntime", onnxruntime.__version__, open_session, IMPORT_MS)
