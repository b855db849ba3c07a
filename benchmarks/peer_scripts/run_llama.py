"""llama.cpp with the same jobs as targets/ have for decoders: `run_llama.py FOLDER JOB`, targets/ on PYTHONPATH."""

import time

start = time.perf_counter()
import llama_cpp  # noqa: E402

IMPORT_MS = (time.perf_counter() - start) * 1e3

import generation  # noqa: E402
import numpy as np  # noqa: E402
import protocol  # noqa: E402


class Decoder:
    """See targets/run_onnxruntime.py: `seen` can be set back, `step(ids)` returns the logits of what follows."""

    def __init__(self, folder, manifest, threads, positions):
        generation.check_decoder(manifest, positions)
        self.positions = positions
        self._llama = _open(folder, manifest, threads, positions, every_token=False)

    @property
    def length(self):
        return self._llama.n_tokens

    @length.setter
    def length(self, tokens):
        self._llama.n_tokens = tokens  # eval() drops what the cache holds beyond

    def step(self, ids):
        self._llama.eval(ids)
        logits = llama_cpp.llama_get_logits_ith(self._llama.ctx, -1)
        return np.ctypeslib.as_array(logits, shape=(self._llama.n_vocab(),))


def open_session(folder, manifest, threads, exact):
    """run(feeds) -> [logits of every token], for perplexity."""

    def run(feeds):
        ids = feeds["input_ids"][0].tolist()
        llama = _open(folder, manifest, threads, len(ids), every_token=True)
        llama.eval(ids)
        return [llama.scores[None, : len(ids)]]

    return run


def _open(folder, manifest, threads, positions, every_token):
    return llama_cpp.Llama(
        str(folder / manifest["model"]),
        n_ctx=positions,
        n_threads=threads,
        n_threads_batch=threads,
        logits_all=every_token,
        verbose=False,
    )


if __name__ == "__main__":
    jobs = (protocol.JOBS, open_session), (generation.JOBS, Decoder)
    protocol.main("llama.cpp", llama_cpp.__version__, IMPORT_MS, *jobs)
