"""Target: LiteRT on a CPU, or tflite-runtime where LiteRT has no wheel. Runs with numpy and one of them: `run_litert.py PACK JOB`."""

import time

start = time.perf_counter()
try:  # the import is timed: a device pays for it at every start
    from ai_edge_litert import __version__ as version
    from ai_edge_litert import interpreter as litert

    NAME = "litert"
except ImportError:
    import tflite_runtime.interpreter as litert
    from tflite_runtime import __version__ as version

    NAME = "tflite-runtime"

IMPORT_MS = (time.perf_counter() - start) * 1e3

import numpy as np  # noqa: E402
import protocol  # noqa: E402


def open_session(folder, manifest, threads, exact):
    """run(feeds) -> arrays. Each text is padded to the shortest of the file's lengths that holds it; outputs are cut back.

    exact: nothing to do, for no kernel of this runtime saturates.
    """
    interpreter = litert.Interpreter(str(folder / manifest["model"]), num_threads=threads)
    interpreter.allocate_tensors()  # packs the weights: a session that has not is not loaded
    runners = {length: interpreter.get_signature_runner("s{}".format(length)) for length in manifest["buckets"]}

    def run(feeds) -> list:
        length = feeds["input_ids"].shape[1]
        bucket = bucket_for(manifest, length)
        found = [runners[bucket](**_text(feeds, row, manifest, bucket)) for row in range(len(feeds["input_ids"]))]
        end = length if manifest["per_token"] else None
        return [np.concatenate([one[name][:, :end] if end else one[name] for one in found]) for name in manifest["outputs"]]

    return run


def bucket_for(manifest, length) -> int:
    """The shortest of the file's lengths that holds so many tokens; Refused where none does."""
    fitting = [bucket for bucket in manifest["buckets"] if bucket >= length]
    if not fitting:
        raise protocol.Refused(
            "a text of {} tokens is longer than every length of the file: {}".format(length, ", ".join(map(str, manifest["buckets"]))),
            "cut it to {} tokens, as the pack's tokenizer.json does, or build with data that has longer texts".format(
                manifest["buckets"][-1]
            ),
        )
    return min(fitting)


def _text(feeds, row, manifest, bucket) -> dict:
    """One row as the signature takes it: int32, by name, padded."""
    padded = {}
    for name in manifest["inputs"]:
        values = feeds[name][row]
        array = np.full((1, bucket), manifest["pad_id"] if name == "input_ids" else 0, dtype=np.int32)
        array[0, : len(values)] = values
        padded[name] = array
    return padded


if __name__ == "__main__":
    protocol.main(NAME, version, IMPORT_MS, (protocol.JOBS, open_session))
