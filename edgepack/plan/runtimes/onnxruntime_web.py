"""onnxruntime for browsers: the same files as onnxruntime's, computed in WebAssembly on the CPU."""

from edgepack.plan.runtime import NpmPackage, RuntimeFacts
from edgepack.plan.runtimes.onnxruntime import OLDEST

FACTS = RuntimeFacts(
    name="onnxruntime-web",
    format="onnx",
    rank=1,
    licence="MIT",
    python="onnxruntime",
    oldest=OLDEST,
    measured_on="browser://chromium",
    npm=NpmPackage(
        name="onnxruntime-web",
        version="1.30.0",
        files=("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),  # WebAssembly on the CPU, and no more
    ),
)
