"""tflite-runtime 2.14, of 2023: for boards of 32 bits, where LiteRT has no wheel.

Its products know one scale for a matrix. With a scale for each channel it answers wrongly, and does not say so.
"""

from edgepack.plan.runtime import RuntimeFacts

FACTS = RuntimeFacts(
    name="tflite-runtime",
    format="tflite",
    rank=3,
    licence="Apache-2.0",
    script="run_litert.py",  # which takes whichever of the two is there
    wheels=("tflite-runtime", "numpy<2", "tokenizers"),
    module_files=("litert_decoder.py", "open_litert.py", "session_litert.py"),
    module="tflite_runtime.interpreter",
    version="2.14.0",
    runs_apart=True,
    unpacked_bytes={"armv7l": 4_962_456, "aarch64": 6_534_405},
    pins={"tflite-runtime": "==2.14.0", "numpy": ">=1.23,<2"},  # compiled against numpy 1, which on armv7 comes from the system
    kernels=("fp32", "int8"),
    scale_by_channel=False,
    always_packs=True,
    writes_text=False,
)
