"""Encoders in ONNX in int8: matrix products with activations u8 and weights s8, embeddings by rows in 8 or 4 bits.

Method `dynamic`: each text's activations have scales of their own. Method `static`: the scales come from calibration texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from edgepack.export.file_names import GRAPH_FILE
from edgepack.export.onnx_optimization import optimize_onnx
from edgepack.export.onnx_weights import load_mapped, save_whole
from edgepack.pack.runnable import Runnable
from edgepack.plan.steps import Quantize
from edgepack.quantize.calibration import SAMPLED_TEXTS, CalibrationTexts, running_texts
from edgepack.quantize.coarse import Coarse
from edgepack.quantize.coarse_curve import candidates_of, curve_around, trained_values
from edgepack.quantize.onnx_coarse import weighed, with_grid
from edgepack.quantize.onnx_int8_ops import quantized_products
from edgepack.quantize.onnx_int8_search import Texts, prepare, scan
from edgepack.quantize.onnx_smoothing import Feeds
from edgepack.quantize.schemes import Candidate
from edgepack.quantize.sensitivity import more_and_more, sensitivity_records
from edgepack.tasks.common.task import Features

_UNFUSED_FILE = "quantized.onnx"


def candidates(step: Quantize, exported: Path, texts: CalibrationTexts) -> Iterator[Candidate]:
    """All matrix products in int8; then all but the most sensitive one, and ever more of them, as far as the step lets it."""
    model = load_mapped(exported / GRAPH_FILE)
    calibration, held_out = texts.sampled(SAMPLED_TEXTS)
    feeds = Texts(feeds_of(model, calibration), feeds_of(model, held_out))
    prepared = prepare(model, step, feeds)
    recipe = step.precision if step.method == "dynamic" else f"{step.precision}, static"
    if step.weights is not None:
        quantized = quantized_products(prepared.model, step.reduce_range, (), prepared.ranges)
        grids = weighed(model, prepared, quantized, step, ())
        yield trained_values(grids, step, recipe, partial(_write_on_grid, quantized), prepared.details)
        return
    if step.mean_bits is not None:
        running, _ = running_texts(texts)
        quantized = quantized_products(prepared.model, step.reduce_range, (), prepared.ranges)
        grids = weighed(model, prepared, quantized, step, feeds_of(model, running))
        curve = curve_around(grids, step.mean_bits, grids.fine_bits())
        yield from candidates_of(curve, recipe, step.precision, partial(_write_on_grid, quantized), prepared.details)
        return
    if not step.sensitive or not feeds.calibration:
        quantized = quantized_products(prepared.model, step.reduce_range, (), prepared.ranges)
        yield Candidate(recipe, step.precision, partial(write_int8, quantized), prepared.details)
    if step.sensitive == 0 or not feeds.calibration:
        return
    scanned = scan(model, prepared, step, feeds)
    if not scanned:  # a table of vectors has no products
        return
    for sensitive in more_and_more(scanned, step.sensitive):
        in_float = {weight for group in sensitive for weight in group.weights}
        quantized = quantized_products(prepared.model, step.reduce_range, in_float, prepared.ranges)
        which = "most sensitive" if len(sensitive) == 1 else f"{len(sensitive)} most sensitive"
        yield Candidate(
            f"{recipe}, the {which} of {len(scanned)} groups of products in fp32",
            step.precision,
            partial(write_int8, quantized),
            prepared.details,
            sensitivity_records(scanned, sensitive),
            frozenset(in_float),
        )


def _write_on_grid(quantized: onnx.ModelProto, grid: Mapping[str, Coarse] | None, folder: Path) -> None:
    write_int8(quantized if grid is None else with_grid(quantized, grid), folder)


def runnable(before: Runnable) -> Runnable:
    """The same as before: the session needs no other settings."""
    return before


def feeds_of(model: onnx.ModelProto, texts: Sequence[Features]) -> list[Feeds]:
    """The inputs of a run for each text."""
    names = [value.name for value in model.graph.input]
    feeds = []
    for text in texts:
        values = {"input_ids": text.ids, "attention_mask": [1] * len(text.ids), "token_type_ids": text.type_ids}
        feeds.append({name: np.array([values[name]], dtype=np.int64) for name in names})
    return feeds


def write_int8(model: onnx.ModelProto, folder: Path) -> None:
    save_whole(model, folder / _UNFUSED_FILE)
    optimize_onnx(folder / _UNFUSED_FILE, folder)
    (folder / _UNFUSED_FILE).unlink()
