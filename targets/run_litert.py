"""Target: LiteRT on a CPU, or tflite-runtime where LiteRT has no wheel. Runs with numpy and one of them: `run_litert.py PACK JOB`."""

import hashlib
import time
from pathlib import Path

start = time.perf_counter()
try:  # the import is timed: a device pays for it at every start
    from ai_edge_litert import __version__ as version
    from ai_edge_litert import interpreter as litert
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.cpu_options import CpuOptions
    from ai_edge_litert.options import Options

    NAME = "litert"
except ImportError:
    import tflite_runtime.interpreter as litert
    from tflite_runtime import __version__ as version

    NAME = "tflite-runtime"

IN_MEMORY = ":memory:"  # where XNNPACK keeps packed weights that no file holds

IMPORT_MS = (time.perf_counter() - start) * 1e3

import counting  # noqa: E402
import generation  # noqa: E402
import litert_decoder  # noqa: E402
import litert_ops  # noqa: E402
import machine  # noqa: E402
import numpy as np  # noqa: E402
import protocol  # noqa: E402
import text_times  # noqa: E402


def open_session(folder, manifest, threads, exact):
    """run(feeds) -> arrays. Each text is padded to the shortest of the file's lengths that holds it; outputs are cut back.

    exact: nothing to do, for no kernel of this runtime saturates.
    """
    if manifest.get("cache"):
        return litert_decoder.scoring(open_decoder(folder, manifest, threads, manifest["positions"]))
    cache = _weight_cache(folder) if manifest.get("weight_cache") and NAME == "litert" else None
    runners = _compiled(folder, manifest, threads, cache) if cache else _interpreted(folder, manifest, threads)

    def run(feeds) -> list:
        length = feeds["input_ids"].shape[1]
        bucket = bucket_for(manifest, length)
        found = [runners[bucket](**_text(feeds, row, manifest, bucket)) for row in range(len(feeds["input_ids"]))]
        end = length if manifest["per_token"] else None
        return [np.concatenate([one[name][:, :end] if end else one[name] for one in found]) for name in manifest["outputs"]]

    return run


def open_decoder(folder, manifest, threads, positions):
    """A litert_decoder.Decoder. Where the pack's folder cannot hold the packed weights, the signatures share them in memory."""
    generation.check_decoder(manifest, positions)
    cache = _weight_cache(folder) if manifest.get("weight_cache") else None
    return litert_decoder.Decoder(_model(folder, manifest, threads, cache or IN_MEMORY), manifest, positions)


def _interpreted(folder, manifest, threads) -> dict:
    interpreter = litert.Interpreter(str(folder / manifest["model"]), num_threads=threads)
    interpreter.allocate_tensors()  # packs the weights: a session that has not is not loaded
    return {length: interpreter.get_signature_runner("s{}".format(length)) for length in manifest["buckets"]}


def _weight_cache(folder):
    """Where the packed weights are kept for this machine and runtime; None where the pack's folder cannot be written."""
    place = folder / protocol.WEIGHT_CACHE
    try:
        place.mkdir(exist_ok=True)
        (place / "probe").touch()
        (place / "probe").unlink()
    except OSError:
        return None
    facts = machine.facts()
    known = "-".join(str(fact) for fact in (version, facts["arch"], facts["cpu"], *facts["isa"]))
    return place / "{}.xnnpack".format(hashlib.sha256(known.encode()).hexdigest()[:16])


def _compiled(folder, manifest, threads, cache) -> dict:
    """Signatures by length."""
    model = _model(folder, manifest, threads, cache)
    return {length: _Compiled(model, "s{}".format(length)) for length in manifest["buckets"]}


def _model(folder, manifest, threads, cache):
    """The file with weights that an earlier start has packed; the first start packs and keeps them in `cache`."""
    options = Options(cpu_options=CpuOptions(num_threads=threads, xnnpack_weight_cache_path=str(cache)))
    return CompiledModel.from_file(str(folder / manifest["model"]), options=options)


class _Compiled:
    """One signature, called as the interpreter's are: arrays by name in, arrays by name out."""

    def __init__(self, model, key) -> None:
        self.model, self.key = model, key
        signature = model.get_signature_list()[key]
        self.inputs = {name: model.create_input_buffer_by_name(key, name) for name in signature["inputs"]}
        self.outputs = {name: model.create_output_buffer_by_name(key, name) for name in signature["outputs"]}
        self.shapes = {name: details["shape"] for name, details in model.get_output_tensor_details(key).items()}

    def __call__(self, **feeds) -> dict:
        for name, array in feeds.items():
            self.inputs[name].write(array)
        self.model.run_by_name(self.key, self.inputs, self.outputs)
        return {
            name: buffer.read(int(np.prod(self.shapes[name])), np.float32).reshape(self.shapes[name])
            for name, buffer in self.outputs.items()
        }


def ops(folder, manifest, job, _) -> dict:
    """Times of single ops, mean of `runs` inferences, as LiteRT schedules them by itself: of a text of `length` tokens, or one token."""
    if NAME != "litert" or not version.startswith(litert_ops.VERSION):
        raise protocol.Refused(
            "times by op come from LiteRT {}'s own profiler; this is {} {}".format(litert_ops.VERSION, NAME, version),
            "measure without --ops, or with that version",
        )
    key = "decode" if manifest.get("cache") else "s{}".format(bucket_for(manifest, job["length"]))
    model = _model(folder, manifest, 1, IN_MEMORY)
    signature, kinds = model.get_signature_list()[key], model.get_input_tensor_details(key)
    inputs = [(tuple(kinds[name]["shape"]), np.dtype(kinds[name]["dtype"])) for name in signature["inputs"]]
    outputs = [tuple(model.get_output_tensor_details(key)[name]["shape"]) for name in signature["outputs"]]
    library = Path(litert.__file__).parent / "libLiteRt.so"
    profiler = litert_ops.Profiler(library, folder / manifest["model"], model.get_signature_index(key))
    return {"ops": profiler.rows(inputs, outputs, job["runs"]), "threads": None}


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
    texts = {**protocol.JOBS, **counting.JOBS, **text_times.JOBS}
    jobs = (texts, open_session), (generation.JOBS, open_decoder), ({"ops": ops}, None)
    protocol.main(NAME, version, IMPORT_MS, *jobs)
