"""How a pack's TFLite file is opened by LiteRT, or by tflite-runtime: what measures a pack and what an app runs share it.

Runs on the device with numpy and one of them. Importing it imports the runtime.
"""

from __future__ import annotations

import ctypes
import platform

try:
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
import numpy as np

_HWCAP, _ATOMICS, _DOT_PRODUCTS = 16, 1 << 8, 1 << 20  # of getauxval on 64-bit ARM
_IN_MEMORY = ":memory:"  # where XNNPACK keeps packed weights that no file holds
PACKED_ENDINGS = ("xnnpack",)  # ending of the file that holds them
__all__ = ["NAME", "PACKED_ENDINGS", "Compiled", "compiled", "litert", "names_of", "opened", "padded", "shortest_bucket", "version"]


def opened(weights, buckets, threads, packed=None) -> dict:
    """What runs each of the file's lengths, by length: called with arrays by name, it returns arrays by name.

    weights: weight_source.Weights. The lengths share packed weights where the runtime can do that: three of them take 42 MB over an
    empty runtime then, and 69 where each packs its own (MiniLM in int8). packed: see `compiled`.
    """
    if NAME != "litert" or _is_older_arm():
        return _interpreted(weights, buckets, threads)
    model = compiled(weights, threads, packed)
    return {length: Compiled(model, "s{}".format(length)) for length in buckets}


def _interpreted(weights, buckets, threads) -> dict:
    interpreter = litert.Interpreter(**_source(weights), num_threads=threads)
    weights.forget()
    interpreter.allocate_tensors()  # packs the weights: a session that has not is not loaded
    return {length: interpreter.get_signature_runner("s{}".format(length)) for length in buckets}


def _is_older_arm() -> bool:
    """Whether this is a CPU of ARMv8.0, such as a Cortex-A53 or A72: what compiles files in LiteRT's wheel ends by SIGILL there."""
    if platform.machine() != "aarch64":
        return False
    abilities = ctypes.CDLL(None).getauxval(_HWCAP)
    return not (abilities & _ATOMICS and abilities & _DOT_PRODUCTS)


def _source(weights) -> dict:
    """The interpreter's argument for a file, or for what is in memory."""
    if weights.model is not None:
        return {"model_path": str(weights.model)}
    return {"model_content": bytes(*weights.memory.values())}


def compiled(weights, threads, packed=None):
    """The file with weights that all signatures share. packed: weight_cache.PackedFiles; left out, the runtime packs in memory."""
    cache = packed.paths[0] if packed is not None and packed.paths else _IN_MEMORY
    options = Options(cpu_options=CpuOptions(num_threads=threads, xnnpack_weight_cache_path=str(cache)))
    if weights.model is None:
        model = CompiledModel.from_buffer(bytes(*weights.memory.values()), options=options)
        weights.forget()
        return model
    return CompiledModel.from_file(str(weights.model), options=options)


class Compiled:
    """One signature of a compiled file, called as the interpreter's are."""

    def __init__(self, model, key) -> None:
        self.model, self.key = model, key
        signature = model.get_signature_list()[key]
        self.inputs = {name: model.create_input_buffer_by_name(key, name) for name in signature["inputs"]}
        self.outputs = {name: model.create_output_buffer_by_name(key, name) for name in signature["outputs"]}
        shapes = {name: details["shape"] for name, details in model.get_output_tensor_details(key).items()}
        self.shapes = {name: (int(np.prod(shape)), shape) for name, shape in shapes.items()}

    def __call__(self, **feeds) -> dict:
        for name, array in feeds.items():
            self.inputs[name].write(array)
        self.model.run_by_name(self.key, self.inputs, self.outputs)
        return {name: self.outputs[name].read(count, np.float32).reshape(shape) for name, (count, shape) in self.shapes.items()}


def names_of(runner) -> tuple:
    """Names of the inputs and of the outputs of what opened() gives for a length."""
    if isinstance(runner, Compiled):
        return list(runner.inputs), list(runner.outputs)
    return list(runner.get_input_details()), list(runner.get_output_details())


def shortest_bucket(buckets, length):
    """The shortest of the file's lengths that holds so many tokens; None where none does."""
    return min((bucket for bucket in buckets if bucket >= length), default=None)


def padded(values, names, pad_id, bucket) -> dict:
    """One text as a signature takes it: int32 [1, bucket], by name, padded. values: of each name."""
    feeds = {}
    for name in names:
        feeds[name] = np.full((1, bucket), pad_id if name == "input_ids" else 0, dtype=np.int32)
        feeds[name][0, : len(values[name])] = values[name]
    return feeds
