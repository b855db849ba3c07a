"""onnxruntime-genai with the same jobs as targets/ have for decoders: `run_genai.py FOLDER JOB`, targets/ on PYTHONPATH."""

import json
import time
from importlib.metadata import version

start = time.perf_counter()
import onnxruntime_genai  # noqa: E402

IMPORT_MS = (time.perf_counter() - start) * 1e3

import generation  # noqa: E402
import numpy as np  # noqa: E402
import protocol  # noqa: E402


class Decoder:
    """See targets/run_onnxruntime.py: `seen` can be set back, `step(ids)` returns the logits of what follows."""

    def __init__(self, folder, manifest, threads, positions):
        generation.check_decoder(manifest, positions)
        self.positions = positions
        self._generator = _generator(_model(folder, threads), positions)

    @property
    def length(self):
        return self._generator.token_count()

    @length.setter
    def length(self, tokens):
        self._generator.rewind_to(tokens)

    def step(self, ids):
        self._generator.append_tokens(np.array([ids], np.int32))
        return self._generator.get_logits()[0, -1]


def open_session(folder, manifest, threads, exact):
    """run(feeds) -> [logits of every token], for perplexity."""
    model = _model(folder, threads)

    def run(feeds):
        ids = feeds["input_ids"].astype(np.int32)
        generator = _generator(model, ids.shape[1] + 1)
        generator.append_tokens(ids)
        return [generator.get_output("logits")]

    return run


def _model(folder, threads):
    config = onnxruntime_genai.Config(str(folder))
    options = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
    return onnxruntime_genai.Model(config)


def _generator(model, positions):
    wanted = onnxruntime_genai.GeneratorParams(model)
    wanted.set_search_options(max_length=positions, batch_size=1)
    return onnxruntime_genai.Generator(model, wanted)


if __name__ == "__main__":
    jobs = (protocol.JOBS, open_session), (generation.JOBS, Decoder)
    protocol.main("onnxruntime-genai", version("onnxruntime-genai"), IMPORT_MS, *jobs)
