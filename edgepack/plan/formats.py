"""Which file a runtime takes, and what a build needs installed to write it. Pure: loads none of it."""

from importlib.metadata import version
from importlib.util import find_spec
from typing import Literal

from edgepack.core.errors import EdgepackError
from edgepack.plan.profile import RuntimeName

Format = Literal["onnx", "tflite"]
FormatWish = Literal["onnx", "tflite", "both", "auto"]

FORMATS: dict[RuntimeName, Format] = {
    "onnxruntime": "onnx",
    "onnxruntime-web": "onnx",
    "litert": "tflite",
    "tflite-runtime": "tflite",
}
# 2.14, of 2023: with a scale for each channel in a matrix it answers wrongly, and does not say so
OLD_RUNTIME: RuntimeName = "tflite-runtime"
_IN_PYTHON = {"onnxruntime-web": "onnxruntime"}
TFLITE_PACKAGES = ("litert-torch", "ai-edge-quantizer", "ai-edge-litert")
_TFLITE_MODULES = ("litert_torch", "ai_edge_quantizer", "ai_edge_litert")


def python_runtime(runtime: RuntimeName) -> RuntimeName:
    """What opens a runtime's file in Python: onnxruntime where the device's is the one for browsers."""
    return _IN_PYTHON.get(runtime, runtime)


def check_installed(wanted: Format) -> None:
    """EdgepackError with the line that installs what a format needs, where it is missing."""
    missing = [name for name, module in zip(TFLITE_PACKAGES, _TFLITE_MODULES, strict=True) if wanted == "tflite" and not find_spec(module)]
    if missing:
        raise EdgepackError(
            f"a TFLite file needs {', '.join(missing)}: not installed here",
            "pip install 'edgepack[tflite]', or --format onnx where the profile runs it",
        )


def format_versions(wanted: Format) -> dict[str, str]:
    """Versions of what writes a format, beside the libraries that every build uses."""
    return {name: version(name) for name in TFLITE_PACKAGES} if wanted == "tflite" else {}
