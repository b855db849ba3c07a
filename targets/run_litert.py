"""Target: LiteRT on a CPU, or tflite-runtime where LiteRT has no wheel. Runs with numpy and one of them: `run_litert.py PACK JOB`."""

import time
from pathlib import Path

start = time.perf_counter()
import open_litert  # noqa: E402  its import is timed, which is the runtime's: a device pays for it at every start
from open_litert import NAME, version  # noqa: E402

IMPORT_MS = (time.perf_counter() - start) * 1e3

import coded_times  # noqa: E402
import counting  # noqa: E402
import generation  # noqa: E402
import litert_decoder  # noqa: E402
import litert_ops  # noqa: E402
import litert_scores  # noqa: E402
import numpy as np  # noqa: E402
import protocol  # noqa: E402
import runnable  # noqa: E402
import text_times  # noqa: E402
import weight_cache  # noqa: E402


def open_session(folder, manifest, threads, exact, weights=None):
    """run(feeds) -> arrays. Each text is padded to the shortest of the file's lengths that holds it; outputs are cut back.

    exact: nothing to do, for no kernel of this runtime saturates. weights: those of the pack if left out.
    """
    weights = weights or protocol.weights_of(folder, manifest, threads)
    if runnable.is_decoder(manifest):
        model = _started(folder, manifest, lambda packed: open_litert.compiled(weights, threads, packed))
        return protocol.Opened(litert_scores.scoring(litert_decoder.Decoder(model, manifest, manifest["positions"])), weights)
    runners = _started(folder, manifest, lambda packed: open_litert.opened(weights, manifest["buckets"], threads, packed))

    def run(feeds) -> list:
        length = feeds["input_ids"].shape[1]
        bucket = bucket_for(manifest, length)
        rows = ({name: feeds[name][row] for name in manifest["inputs"]} for row in range(len(feeds["input_ids"])))
        outputs = [runners[bucket](**open_litert.padded(row, manifest["inputs"], manifest["pad_id"], bucket)) for row in rows]
        end = length if manifest["per_token"] else None
        return [np.concatenate([output[name][:, :end] if end else output[name] for output in outputs]) for name in manifest["outputs"]]

    return protocol.Opened(run, weights)


def open_decoder(folder, manifest, threads, positions):
    """A litert_decoder.Decoder. Where packed weights cannot be kept, the signatures share them in memory."""
    generation.check_decoder(manifest, positions)
    weights = protocol.weights_of(folder, manifest, threads)
    model = _started(folder, manifest, lambda packed: open_litert.compiled(weights, threads, packed))
    return litert_decoder.Decoder(model, manifest, positions)


def _started(folder, manifest, opened):
    """opened(PackedFiles), with packed weights that an earlier start left, or a place to leave them in, if the manifest asks for that."""
    return weight_cache.started(opened, folder, manifest, version, open_litert.PACKED_ENDINGS, folder / protocol.WEIGHT_CACHE)


def ops(folder, manifest, job, _) -> dict:
    """Times of single ops, mean of `runs` inferences, as LiteRT schedules them by itself: of a text of `length` tokens, or one token."""
    if NAME != "litert" or not version.startswith(litert_ops.VERSION):
        raise protocol.Refused(
            "times by op come from LiteRT {}'s own profiler; this is {} {}".format(litert_ops.VERSION, NAME, version),
            "measure without --ops, or with that version",
        )
    key = "decode" if runnable.is_decoder(manifest) else "s{}".format(bucket_for(manifest, job["length"]))
    stated = manifest.get("coded")  # the profiler reads a file
    weights = protocol.weights_of(folder, dict(manifest, coded=stated and dict(stated, start="expand")), 1)
    model = open_litert.compiled(weights, 1)
    signature, kinds = model.get_signature_list()[key], model.get_input_tensor_details(key)
    inputs = [(tuple(kinds[name]["shape"]), np.dtype(kinds[name]["dtype"])) for name in signature["inputs"]]
    outputs = [tuple(model.get_output_tensor_details(key)[name]["shape"]) for name in signature["outputs"]]
    library = Path(open_litert.litert.__file__).parent / "libLiteRt.so"
    profiler = litert_ops.Profiler(library, weights.model, model.get_signature_index(key))
    return {**profiler.answer(inputs, outputs, job["runs"]), "threads": None}


def bucket_for(manifest, length) -> int:
    """The shortest of the file's lengths that holds so many tokens; Refused where none does."""
    bucket = open_litert.shortest_bucket(manifest["buckets"], length)
    if bucket is None:
        raise protocol.Refused(
            "a text of {} tokens is longer than every length of the file: {}".format(length, ", ".join(map(str, manifest["buckets"]))),
            "cut it to {} tokens, as the pack's tokenizer.json does, or build with data that has longer texts".format(
                manifest["buckets"][-1]
            ),
        )
    return bucket


if __name__ == "__main__":
    texts = {**protocol.JOBS, **counting.JOBS, **text_times.JOBS, **coded_times.JOBS}
    jobs = (texts, open_session), (generation.JOBS, open_decoder), ({"ops": ops}, None)
    protocol.main(NAME, version, IMPORT_MS, *jobs)
