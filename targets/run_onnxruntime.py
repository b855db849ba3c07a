"""Target: plain onnxruntime on a CPU. Runs on the device with numpy and onnxruntime: `run_onnxruntime.py PACK JOB`."""

import json
import tempfile
import time
from pathlib import Path

start = time.perf_counter()
import open_onnxruntime  # noqa: E402  its import is timed, which is the runtime's: a device pays for it at every start

IMPORT_MS = (time.perf_counter() - start) * 1e3

import coded_times  # noqa: E402
import counting  # noqa: E402
import generation  # noqa: E402
import machine  # noqa: E402
import onnxruntime_ops  # noqa: E402
import plugin_providers  # noqa: E402
import protocol  # noqa: E402
import text_times  # noqa: E402
import weight_cache  # noqa: E402
from feeds import random_text  # noqa: E402

WARM_UP_RUNS = 5  # before ops are timed one by one
CPU = "CPUExecutionProvider"
_WAY_TO = {  # a provider that the build at hand lacks
    "CUDAExecutionProvider": "install onnxruntime-gpu there",
    "CoreMLExecutionProvider": "measure on a Mac: Core ML is in the builds for Apple's systems alone",
    "NnapiExecutionProvider": "measure on a phone, by --on adb://: NNAPI is in the builds for Android alone",
    "OpenVINOExecutionProvider": "install onnxruntime-openvino there",
    "QNNExecutionProvider": "install onnxruntime-qnn there",
}


def open_session(folder, manifest, threads, exact, weights=None):
    """run(feeds) -> arrays, in a session with the pack's own settings.

    exact: compute u8 x s8 products without saturation where this CPU would saturate and the pack's device would not. The
    runtime then turns s8 weights to u8 as it loads, so such a session is for answers, not for timing. weights: those of the pack if
    left out.
    """
    careful = exact and machine.saturates_u8s8() is not False
    weights = weights or protocol.weights_of(folder, manifest, threads)
    session = _started(folder, manifest, weights, threads, careful)
    return protocol.Opened(lambda feeds: session.run(None, feeds), weights)


def open_decoder(folder, manifest, threads, positions):
    """A session that remembers up to `positions` tokens."""
    generation.check_decoder(manifest, positions)
    session = _started(folder, manifest, protocol.weights_of(folder, manifest, threads), threads)
    return open_onnxruntime.Decoder(session, manifest["cache"], positions)


def _started(folder, manifest, weights, threads, careful=False):
    """A session that maps packed weights which an earlier start left, or leaves its own, if the manifest asks for that."""

    def opened(packed):
        return open_onnxruntime.open_file(weights, manifest["session"], threads, careful, packed=packed)

    place = folder / protocol.WEIGHT_CACHE
    return weight_cache.started(opened, folder, manifest, open_onnxruntime.version, open_onnxruntime.PACKED_ENDINGS, place, careful)


def ops(folder, manifest, job, _) -> dict:
    """Times of single ops for a text of `length` tokens, mean of `runs` inferences on `threads` threads, by onnxruntime's profiler.

    providers: onnxruntime's names of execution providers that are asked before the CPU's. Refused where this build lacks one, and where
    one cannot take the file.
    """
    providers = job.get("providers") or []
    with tempfile.TemporaryDirectory() as place:
        weights = protocol.weights_of(folder, manifest, job["threads"])
        session = _profiled(weights, manifest["session"], job["threads"], place + "/ops", providers)
        feeds = random_text(manifest, job["length"])
        for _ in range(WARM_UP_RUNS + job["runs"]):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    return {"ops": onnxruntime_ops.rows(events, WARM_UP_RUNS, job["runs"]), "threads": job["threads"]}


def _profiled(weights, settings, threads, profile, providers):
    available = open_onnxruntime.onnxruntime.get_available_providers()
    for name in providers:
        if name not in available and not plugin_providers.installed(name):
            raise protocol.Refused(
                "this onnxruntime has no {}; it has {}".format(name, ", ".join(available)),
                "{}, or leave it out of --providers".format(_WAY_TO.get(name, "install a build of onnxruntime that has it")),
            )
    plugged = [name for name in providers if plugin_providers.installed(name)]
    if plugged and plugged != providers:
        raise protocol.Refused(
            "{} comes as a package of its own and is asked alone, not beside {}".format(
                ", ".join(plugged), ", ".join(name for name in providers if name not in plugged)
            ),
            "measure twice, with one of them in --providers each time",
        )

    def plug_in(options) -> None:
        for name in plugged:
            plugin_providers.add(open_onnxruntime.onnxruntime, options, name)

    try:
        session = open_onnxruntime.open_file(
            weights, settings, threads, profile=profile, providers=[*providers, CPU], plug_in=plug_in if plugged else None
        )
    except Exception as error:  # a provider's own errors have no common class
        if not providers:
            raise
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise protocol.Refused(
            "{} cannot take this file: {}".format(", ".join(providers), lines[-1][:300]),
            "measure without --providers; if the file is not in fp32, more providers take one that is built with --precision fp32",
        ) from None
    unused = [name for name in providers if name not in session.get_providers()]
    if unused:
        raise protocol.Refused(
            "{} did not start, and onnxruntime went on without it".format(", ".join(unused)),
            "see what it needs on this machine (drivers, libraries), or leave it out of --providers",
        )
    return session


if __name__ == "__main__":
    texts = {**protocol.JOBS, **counting.JOBS, **text_times.JOBS, **coded_times.JOBS}
    jobs = (texts, open_session), (generation.JOBS, open_decoder), ({"ops": ops}, None)
    protocol.main("onnxruntime", open_onnxruntime.version, IMPORT_MS, *jobs)
