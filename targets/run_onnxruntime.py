"""Target: plain onnxruntime on a CPU. Runs on the device with numpy and onnxruntime: `run_onnxruntime.py PACK JOB`."""

import json
import tempfile
import time
from pathlib import Path

start = time.perf_counter()
import open_onnxruntime  # noqa: E402  its import is timed, which is the runtime's: a device pays for it at every start

IMPORT_MS = (time.perf_counter() - start) * 1e3

import counting  # noqa: E402
import generation  # noqa: E402
import machine  # noqa: E402
import protocol  # noqa: E402
import text_times  # noqa: E402

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
    careful = exact and machine.saturates_u8s8() is not False
    session = open_onnxruntime.open_file(folder / manifest["model"], manifest["session"], threads, careful)
    return lambda feeds: session.run(None, feeds)


def open_decoder(folder, manifest, threads, positions):
    """A session that remembers up to `positions` tokens."""
    generation.check_decoder(manifest, positions)
    session = open_onnxruntime.open_file(folder / manifest["model"], manifest["session"], threads)
    return open_onnxruntime.Decoder(session, manifest["cache"], positions)


def ops(folder, manifest, job, _) -> dict:
    """Times of single ops for a text of `length` tokens, mean of `runs` inferences on `threads` threads, by onnxruntime's profiler."""
    with tempfile.TemporaryDirectory() as place:
        model, profile = folder / manifest["model"], place + "/ops"
        session = open_onnxruntime.open_file(model, manifest["session"], job["threads"], profile=profile)
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


if __name__ == "__main__":
    texts = {**protocol.JOBS, **counting.JOBS, **text_times.JOBS}
    jobs = (texts, open_session), (generation.JOBS, open_decoder), ({"ops": ops}, None)
    protocol.main("onnxruntime", open_onnxruntime.onnxruntime.__version__, IMPORT_MS, *jobs)
