"""Times of single ops in LiteRT, through the profiler of its C library: the Python package has none. Standard library and numpy.

Written against ai-edge-litert 2.3: other versions may lay their structures out otherwise, so `run_litert.py` asks for that one.
"""

from __future__ import annotations

import ctypes
import re

import numpy as np

VERSION = "2.3"
_CPU, _INT32, _FLOAT32, _WRITE = 1, 2, 1, 1
_WARM_UP_RUNS = 5
_ROW = re.compile(
    r"^\s*(?P<op>\S.*?)\s+[\d.]+\s+[\d.]+\s+(?P<ms>[\d.]+)\s+[\d.]+%\s+[\d.]+%\s+[\d.]+\s+(?P<calls>\d+)\s+\[(?P<kind>Builtin|Delegate)\]:(?P<place>\d+)"
)
_INTEGERS = ("QD8", "QC8", "QS8", "QC4", "QB4")  # in the names of XNNPACK's kernels
_Pointer = ctypes.c_void_p


class _Layout(ctypes.Structure):
    _fields_ = [
        ("rank", ctypes.c_uint, 7),
        ("has_strides", ctypes.c_bool, 1),
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    ]


class _TensorType(ctypes.Structure):
    _fields_ = [("element_type", ctypes.c_int), ("layout", _Layout)]


class Profiler:
    """One signature of a model, by its index, run with the profiler on."""

    def __init__(self, library, model, signature) -> None:
        self._library = ctypes.CDLL(str(library))
        self._signature = ctypes.c_size_t(signature)
        self._alive: list = []  # what C holds a pointer to
        self._environment, file, options = _Pointer(), _Pointer(), _Pointer()
        self._call("LiteRtCreateEnvironment", 0, None, ctypes.byref(self._environment))
        self._call("LiteRtCreateModelFromFile", self._environment, str(model).encode(), ctypes.byref(file))
        self._call("LiteRtCreateOptions", ctypes.byref(options))
        self._call("LiteRtSetOptionsHardwareAccelerators", options, _CPU)
        self._option(options, "runtime_options_string", "enable_profiling = true\n")
        self._model, self._profiler = _Pointer(), _Pointer()
        self._call("LiteRtCreateCompiledModel", self._environment, file, options, ctypes.byref(self._model))
        self._call("LiteRtCompiledModelGetProfiler", self._model, ctypes.byref(self._profiler))

    def answer(self, inputs, outputs, runs) -> dict:
        """The ops of one inference, [{op, ms, inside, integers}] with ms as the mean of `runs`, and the parts that XNNPACK took.

        inputs: shapes with their types, int32 or float32; outputs: shapes, all float32; both in the signature's order.
        """
        filled = [self._buffer("Input", at, shape, _INT32 if kind == np.int32 else _FLOAT32) for at, (shape, kind) in enumerate(inputs)]
        for buffer, (shape, kind) in zip(filled, inputs):
            self._fill_with_ones(buffer, int(np.prod(shape)), kind)
        results = [self._buffer("Output", index, shape, _FLOAT32) for index, shape in enumerate(outputs)]
        ins, outs = ((_Pointer * len(buffers))(*[buffer.value for buffer in buffers]) for buffers in (filled, results))
        run = (self._model, self._signature, ctypes.c_size_t(len(ins)), ins, ctypes.c_size_t(len(outs)), outs)
        for _ in range(_WARM_UP_RUNS):
            self._call("LiteRtRunCompiledModel", *run)
        self._call("LiteRtStartProfiler", self._profiler)
        for _ in range(runs):
            self._call("LiteRtRunCompiledModel", *run)
        self._call("LiteRtStopProfiler", self._profiler)
        summary = ctypes.c_char_p()
        self._call("LiteRtGetProfileSummary", self._profiler, self._model, ctypes.byref(summary))
        return answer_of((summary.value or b"").decode(), runs)

    def _call(self, name, *arguments) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise RuntimeError("{} failed with status {}: LiteRT {} is needed for times by op".format(name, status, VERSION))

    def _option(self, options, name, text) -> None:
        content, release = ctypes.create_string_buffer(text.encode()), ctypes.CFUNCTYPE(None, _Pointer)(lambda pointer: None)
        self._alive += [content, release]
        opaque = _Pointer()
        self._call("LiteRtCreateOpaqueOptions", name.encode(), ctypes.cast(content, _Pointer), release, ctypes.byref(opaque))
        self._call("LiteRtAddOpaqueOptions", options, opaque)

    def _buffer(self, side, index, shape, element_type):
        wanted, buffer, kind = _Pointer(), _Pointer(), _TensorType()
        name = "LiteRtGetCompiledModel{}BufferRequirements".format(side)
        self._call(name, self._model, self._signature, ctypes.c_size_t(index), ctypes.byref(wanted))
        kind.element_type, kind.layout.rank = element_type, len(shape)
        for axis, size in enumerate(shape):
            kind.layout.dimensions[axis] = size
        create = "LiteRtCreateManagedTensorBufferFromRequirements"
        self._call(create, self._environment, ctypes.byref(kind), wanted, ctypes.byref(buffer))
        return buffer

    def _fill_with_ones(self, buffer, count, kind) -> None:
        address = _Pointer()
        self._call("LiteRtLockTensorBuffer", buffer, ctypes.byref(address), _WRITE)
        content = ctypes.cast(address, ctypes.POINTER(ctypes.c_int32 if kind == np.int32 else ctypes.c_float))
        np.ctypeslib.as_array(content, (count,))[:] = 1
        self._call("LiteRtUnlockTensorBuffer", buffer)


def answer_of(summary, runs) -> dict:
    """The profiler's text as rows; the call of the delegate as a whole is left out, its ops stand for it.

    Ops that bear one name in several parts of a graph stand in one line, with the mean time of a call. LiteRT's own ops come first,
    whenever they ran: the parts are counted by their first ops.
    """
    in_order = summary.partition("Run Order")[2].partition("Top by Computation Time")[0]
    rows, partitions = [], 0
    for line in in_order.splitlines():
        match = _ROW.match(line)
        if not match or match["op"].startswith("TfLiteXNNPackDelegate"):
            continue
        op = match["op"].replace("Delegate/", "", 1)
        row = {
            "op": op,
            "ms": float(match["ms"]),
            "inside": match["kind"] == "Delegate",
            "provider": "xnnpack" if match["kind"] == "Delegate" else "built-in kernels",
            "integers": any(mark in op for mark in _INTEGERS),
        }
        times = max(1, int(match["calls"]) // runs)
        rows += [dict(row) for _ in range(times)]
        partitions += times if row["inside"] and match["place"] == "0" else 0
    return {"ops": rows, "partitions": partitions}
