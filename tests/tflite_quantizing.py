"""Quantizes a TFLite export by its scheme, without the gate: what several test files share."""

from pathlib import Path

from edgepack.plan.steps import Quantize
from edgepack.quantize.calibration import CalibrationTexts

NO_TEXTS = CalibrationTexts(lambda: (), lambda count: ((), ()), is_precision_fixed=True)


def quantize_tflite(exported: Path, step: Quantize, folder: Path, texts=()) -> None:
    """texts: for GPTQ, however few they are."""
    from edgepack.quantize.schemes import tflite_int4, tflite_int8

    if step.method == "blockwise":
        tflite_int4.quantize(exported, step, texts, folder)
    else:
        tflite_int8.quantize(exported, step, False, folder)
