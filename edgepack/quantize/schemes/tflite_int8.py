"""TFLite in int8 by ai-edge-quantizer. Activations are rounded as they come, each token with a scale of its own.

Weights are symmetric, with a scale for each channel. For tflite-runtime 2.14 the scales stand apart from the matrix, because its
kernels for channels compute wrong results without an error: `refuse_for_old_runtime` looks into every file that is to run there.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgepack.export.tflite_export import MODEL_FILE
from edgepack.pack.runnable import Runnable
from edgepack.plan.steps import Quantize
from edgepack.quantize.calibration import CalibrationTexts, running_texts
from edgepack.quantize.schemes import Candidate
from edgepack.quantize.tflite_coarse import coarse_edit
from edgepack.quantize.tflite_quantizer import write_quantized
from edgepack.quantize.tflite_scales import factor_scales, refuse_for_old_runtime
from edgepack.tasks.common.task import Features


def candidates(step: Quantize, exported: Path, texts: CalibrationTexts) -> Iterator[Candidate]:
    """Products in int8; then only weights in int8, which the runtime turns back to float as it loads."""
    how = " with scales apart" if step.scales_apart else ""
    if step.mean_bits is not None:
        calibration, _ = running_texts(texts)
        details: dict[str, float | int | str] = {}
        recipe = f"{step.precision}{how} on a coarse grid, {step.mean_bits:g} bits a weight"
        yield Candidate(recipe, step.precision, partial(_quantize_coarse, exported, step, calibration, details), details)
        return
    yield Candidate(f"{step.precision}{how}, a scale for a channel", step.precision, partial(quantize, exported, step, False), {})
    recipe = "int8 weights with products in float, a scale for a channel"
    yield Candidate(recipe, step.precision, partial(quantize, exported, step, True), {}, in_float=None)


def runnable(before: Runnable) -> Runnable:
    """The same as before: the session needs no other settings."""
    return before


def quantize(exported: Path, step: Quantize, weights_only: bool, folder: Path) -> None:
    """Writes the file into `folder`. weights_only: products are computed in float."""
    edits = (factor_scales,) if step.scales_apart and not weights_only else ()
    write_quantized(exported, folder, partial(_add_rules, weights_only), *edits)
    if step.scales_apart:
        refuse_for_old_runtime(folder / MODEL_FILE)


def _quantize_coarse(
    exported: Path, step: Quantize, texts: Sequence[Features], details: dict[str, float | int | str], folder: Path
) -> None:
    coarse = coarse_edit(exported, step.mean_bits or 0.0, texts, details)
    apart = (factor_scales,) if step.scales_apart else ()
    write_quantized(exported, folder, partial(_add_rules, False), _in_turn(coarse, *apart))
    if step.scales_apart:
        refuse_for_old_runtime(folder / MODEL_FILE)


def _in_turn(*edits: Callable[[Any], None]) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        for each in edits:
            each(model)

    return edit


def _add_rules(weights_only: bool, rules: Any) -> None:
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    add = rules.add_weight_only_config if weights_only else rules.add_dynamic_config
    add(".*", TFLOperationName.ALL_SUPPORTED, 8, granularity=QuantGranularity.CHANNELWISE)
