"""TFLite in int8 by ai-edge-quantizer. Activations are rounded as they come, each token with a scale of its own.

Weights are symmetric, with a scale for each channel. For tflite-runtime 2.14 the scales stand apart from the matrix, because its
kernels for channels compute wrong results without an error: `refuse_for_old_runtime` looks into every file that is to run there.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgepack.export.tflite_export import MODEL_FILE
from edgepack.pack.runnable import Runnable
from edgepack.plan.steps import Quantize
from edgepack.quantize.calibration import CalibrationTexts, running_texts
from edgepack.quantize.coarse import Coarse
from edgepack.quantize.coarse_curve import Grids, candidates_of, curve_around, trained_values
from edgepack.quantize.schemes import Candidate
from edgepack.quantize.tflite_coarse import put_on_grid, tflite_grids
from edgepack.quantize.tflite_quantizer import write_quantized
from edgepack.quantize.tflite_scales import factor_scales, refuse_for_old_runtime
from edgepack.tasks.common.task import Features


def candidates(step: Quantize, exported: Path, texts: CalibrationTexts) -> Iterator[Candidate]:
    """Products in int8; then only weights in int8, which the runtime turns back to float as it loads."""
    how = " with scales apart" if step.scales_apart else ""
    write = partial(_write_on_grid, exported, step)
    if step.weights is not None:
        yield trained_values(_grids(exported, step, ()), step, f"{step.precision}{how}", write, {})
        return
    if step.mean_bits is not None:
        grids = _grids(exported, step, running_texts(texts)[0])
        curve = curve_around(grids, step.mean_bits, grids.fine_bits())
        yield from candidates_of(curve, f"{step.precision}{how}", step.precision, write, {})
        return
    yield Candidate(f"{step.precision}{how}, a scale for a channel", step.precision, partial(quantize, exported, step, False), {})
    recipe = "int8 weights with products in float, a scale for a channel"
    yield Candidate(recipe, step.precision, partial(quantize, exported, step, True), {}, in_float=None)


def runnable(before: Runnable) -> Runnable:
    """The same as before: the session needs no other settings."""
    return before


def quantize(exported: Path, step: Quantize, weights_only: bool, folder: Path, *edits: Callable[[Any], None]) -> None:
    """Writes the file into `folder`. weights_only: products are computed in float. edits: before scales are set apart."""
    apart = (factor_scales,) if step.scales_apart and not weights_only else ()
    write_quantized(exported, folder, partial(_add_rules, weights_only), _in_turn(*edits, *apart))
    if step.scales_apart:
        refuse_for_old_runtime(folder / MODEL_FILE)


def _grids(exported: Path, step: Quantize, texts: Sequence[Features]) -> Grids:
    with tempfile.TemporaryDirectory() as place:
        quantize(exported, step.model_copy(update={"scales_apart": False}), False, Path(place))
        return tflite_grids(exported, Path(place), texts)


def _write_on_grid(exported: Path, step: Quantize, grid: Mapping[str, Coarse] | None, folder: Path) -> None:
    quantize(exported, step, False, folder, *(() if grid is None else (partial(put_on_grid, grid),)))


def _in_turn(*edits: Callable[[Any], None]) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        for each in edits:
            each(model)

    return edit


def _add_rules(weights_only: bool, rules: Any) -> None:
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    add = rules.add_weight_only_config if weights_only else rules.add_dynamic_config
    add(".*", TFLOperationName.ALL_SUPPORTED, 8, granularity=QuantGranularity.CHANNELWISE)
