"""The table of quantization schemes: which file quantizes a format by a method. Loads none of them before it is asked for.

A scheme is a module of this folder with three parts:

- `candidates(step, exported, texts)`: an iterator of `Candidate`s, the narrowest first. Each is prepared when it is asked for.
- `runnable(before)`: what a target must know of the quantized file, from what it must know of the fp32 export.
- a row in SCHEMES. tests/quantize/test_schemes.py then tests it as it tests the others.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from edgepack.pack.attempts import Sensitive
from edgepack.pack.runnable import Runnable, read_runnable
from edgepack.plan.steps import Quantize
from edgepack.quantize.calibration import CalibrationTexts

# (format, method of the step): module
SCHEMES = {
    ("onnx", "dynamic"): "onnx_int8",
    ("onnx", "static"): "onnx_int8",
    ("onnx", "blockwise"): "onnx_blockwise",
    ("onnx", "storage"): "onnx_fp16",
    ("tflite", "dynamic"): "tflite_int8",
    ("tflite", "blockwise"): "tflite_int4",
}


@dataclass(frozen=True)
class Candidate:
    """One way to quantize a file. write: puts files that the runtime can open into a folder. recipe, details: for the report.

    in_float: weights whose products are meant to stay in float; None: all of them. for_curve: judged for the report's curve, never
    shipped.
    """

    recipe: str
    precision: str
    write: Callable[[Path], None]
    details: dict[str, float | int | str]
    sensitivity: tuple[Sensitive, ...] = ()
    in_float: frozenset[str] | None = frozenset()
    for_curve: bool = False


def candidates(step: Quantize, exported: Path, texts: CalibrationTexts) -> Iterator[Candidate]:
    """Ways to quantize the fp32 export in the folder `exported`, the narrowest first."""
    return _scheme(step, read_runnable(exported)).candidates(step, exported, texts)


def quantized_runnable(step: Quantize, exported: Path) -> Runnable:
    """What a target must know of a file that was quantized from the export in `exported`."""
    before = read_runnable(exported)
    return _scheme(step, before).runnable(before)


def _scheme(step: Quantize, exported: Runnable) -> ModuleType:
    file_format = Path(exported.model).suffix.removeprefix(".")
    return importlib.import_module(f"{__name__}.{SCHEMES[file_format, step.method]}")
