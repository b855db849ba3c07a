"""Coarse grids in every kind of file that has one: the same ops, as many bits as asked for, answers near those of fp32."""

import numpy as np
import pytest
import torch
from test_schemes import RUNTIMES, cosine, exported, tiny

from edgepack.compress.few_values import OnFewValues
from edgepack.compress.rounding import rounded_modules
from edgepack.core.errors import EdgepackError
from edgepack.export.weight_places import weights_in
from edgepack.measure.answers import answer
from edgepack.pack.coding import coded_file_bytes, parts_between
from edgepack.pack.runnable import write_runnable
from edgepack.plan.formats import check_installed
from edgepack.plan.steps import Quantize
from edgepack.quantize.calibration import CalibrationTexts
from edgepack.quantize.matrix_products import count_matrix_products
from edgepack.quantize.schemes import candidates

# Bytes of a matrix, and of an ONNX file's tables, whose middle is 128; a row for padding is 0.
STORED = {
    "ternary": {(0, 1, 255), (127, 128, 129)},
    "binary": {(1, 255), (127, 129), (0, 1, 255), (127, 128, 129)},
}
KINDS = [("onnx", "dynamic", False), ("onnx", "static", False), ("onnx", "blockwise", True), ("tflite", "dynamic", False)]


def prepared(folder, file_format, decodes):
    """Texts, what runs the model that is exported to `fp32`, and calibration texts."""
    try:
        check_installed(file_format)
    except EdgepackError as error:
        pytest.skip(str(error))
    model, task, texts = tiny(folder / "model", decodes)
    runnable = exported(folder / "fp32", file_format, model, task, decodes)
    calibration = CalibrationTexts(lambda: texts * 4, lambda count: (texts[:12], texts[12:]), is_precision_fixed=True)
    return texts, runnable, calibration


@pytest.mark.slow
@pytest.mark.parametrize(("file_format", "method", "decodes"), KINDS, ids=str)
def test_a_coarse_grid_has_the_bits_that_were_asked_for_and_the_ops_of_the_fine_one(tmp_path, file_format, method, decodes):
    texts, runnable, calibration = prepared(tmp_path, file_format, decodes)
    expected = answer(tmp_path / "fp32", RUNTIMES[file_format], texts[12:16], threads=1, exact=True)
    sizes, products = {}, {}
    for bits in (None, 4.0):
        folder = tmp_path / f"at-{bits}"
        folder.mkdir()
        step = Quantize(precision="int8", method=method, sensitive=0, mean_bits=bits, why="")
        offered = [candidate for candidate in candidates(step, tmp_path / "fp32", calibration) if not candidate.for_curve]
        offered[0].write(folder)
        write_runnable(folder, runnable)
        actual = answer(folder, RUNTIMES[file_format], texts[12:16], threads=1, exact=True)
        assert cosine(actual, expected) > (0.97 if bits is None else 0.9), offered[0].recipe
        products[bits] = count_matrix_products(folder / runnable.model)
        source, places = weights_in(folder, runnable.model)
        sizes[bits] = coded_file_bytes(source, parts_between(places, source.stat().st_size), "deflate")
        if bits is not None:
            assert abs(offered[0].details["bits"] - bits) < 0.05 and "coarse grid" in offered[0].recipe
    assert products[None] == products[4.0]
    assert sizes[4.0] < 0.8 * sizes[None]


@pytest.mark.slow
@pytest.mark.parametrize(("file_format", "method", "decodes"), KINDS, ids=str)
def test_grids_for_the_curve_are_coarser_and_finer_than_the_one_that_ships(tmp_path, file_format, method, decodes):
    _, runnable, calibration = prepared(tmp_path, file_format, decodes)
    step = Quantize(precision="int8", method=method, sensitive=0, mean_bits=4.0, why="")
    *curve, ships = candidates(step, tmp_path / "fp32", calibration)
    assert all(candidate.for_curve for candidate in curve) and not ships.for_curve
    result = [candidate.details["bits"] for candidate in curve]
    assert result[0] < ships.details["bits"] < result[1] < result[2]
    assert ships.details["half_zero_bits"] > ships.details["bits"] and ships.details["half_zero_signal_db"] < ships.details["signal_db"]
    assert np.isfinite(ships.details["signal_db"])
    sizes = []
    for number, candidate in enumerate((curve[0], ships, *curve[1:])):  # the fewest bits first
        folder = tmp_path / str(number)
        folder.mkdir()
        candidate.write(folder)
        source, places = weights_in(folder, runnable.model)
        sizes.append(coded_file_bytes(source, parts_between(places, source.stat().st_size), "deflate"))
    assert sizes == sorted(sizes)


@pytest.mark.slow
def test_a_trained_grid_is_not_a_finer_point_of_its_own_curve(tmp_path):
    model, task, texts = tiny(tmp_path / "model", False)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
                step = 0.8 * module.weight.std()
                module.weight.copy_((module.weight / step).round() * step)
    exported(tmp_path / "fp32", "onnx", model, task, False)
    calibration = CalibrationTexts(lambda: texts * 4, lambda count: (texts[:12], texts[12:]), is_precision_fixed=True)
    step = Quantize(precision="int8", sensitive=0, smoothing=0.0, mean_bits=2.4, why="")
    *curve, ships = candidates(step, tmp_path / "fp32", calibration)
    assert ships.details["bits"] == pytest.approx(2.4, abs=0.25)
    assert all(abs(candidate.details["bits"] - ships.details["bits"]) > 0.1 for candidate in curve)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ternary", "binary"])
@pytest.mark.parametrize(("file_format", "more"), [("onnx", {}), ("onnx", {"method": "static", "reduce_range": True}), ("tflite", {}),
                                                   ("tflite", {"scales_apart": True})], ids=str)  # fmt: skip
def test_values_that_a_training_left_are_stored_as_they_are_and_computed_by_the_same_ops(tmp_path, kind, file_format, more):
    try:
        check_installed(file_format)
    except EdgepackError as error:
        pytest.skip(str(error))
    model, task, texts = tiny(tmp_path / "model", False)
    with torch.no_grad():
        for module in rounded_modules(model):
            module.weight.copy_(OnFewValues(kind).rounded(module.weight))
    runnable = exported(tmp_path / "fp32", file_format, model, task, False)
    calibration = CalibrationTexts(lambda: texts * 4, lambda count: (texts[:12], texts[12:]), is_precision_fixed=True)
    products = {}
    for weights in (None, kind):
        step = Quantize(precision="int8", sensitive=0, smoothing=0.0, weights=weights, why="", **more)
        candidate = next(candidates(step, tmp_path / "fp32", calibration))
        folder = tmp_path / str(weights)
        folder.mkdir()
        candidate.write(folder)
        write_runnable(folder, runnable)
        products[weights] = count_matrix_products(folder / runnable.model)
    assert products[None] == products[kind] and "fp32" not in {name for name, count in products[kind].items() if count > 1}
    assert candidate.details["few_values_share"] >= 0.99  # TFLite rounds the small head too, which no training sees
    assert candidate.details["bits"] <= {"ternary": 1.6, "binary": 1.05}[kind]
    source, places = weights_in(folder, runnable.model)
    content = np.frombuffer(source.read_bytes(), np.uint8)
    stored = [tuple(np.unique(content[at : at + count]).tolist()) for _, at, count in places if count >= 4096]
    matrices = [values for values in stored if len(values) < 9]  # the others are scales
    assert len(matrices) > 8 and set(matrices) <= STORED[kind]
    actual, expected = (answer(tmp_path / each, RUNTIMES[file_format], texts, threads=1, exact=True) for each in (kind, "fp32"))
    assert cosine(actual, expected) > 0.99  # the weights are the same, and activations have 8 bits


@pytest.mark.slow
def test_all_lengths_of_a_tflite_file_read_the_same_coarse_matrices(tmp_path):
    try:
        check_installed("tflite")
    except EdgepackError as error:
        pytest.skip(str(error))
    from edgepack.export.tflite_export import MODEL_FILE, export_tflite, runnable_tflite

    model, task, texts = tiny(tmp_path / "model", False)
    (tmp_path / "fp32").mkdir()
    export_tflite(model, task, (16, 24), tmp_path / "fp32" / MODEL_FILE)
    write_runnable(tmp_path / "fp32", runnable_tflite(model, task, (16, 24)))
    calibration = CalibrationTexts(lambda: texts * 4, lambda count: (texts, texts), is_precision_fixed=True)
    (tmp_path / "coarse").mkdir()
    *_, candidate = candidates(Quantize(precision="int8", mean_bits=5.0, why=""), tmp_path / "fp32", calibration)
    candidate.write(tmp_path / "coarse")
    lengths = {}
    for buckets in ((16, 24), (24,)):
        write_runnable(tmp_path / "coarse", runnable_tflite(model, task, buckets))
        lengths[buckets] = answer(tmp_path / "coarse", "litert", texts[:4], threads=1, exact=True)
    expected = answer(tmp_path / "fp32", "litert", texts[:4], threads=1, exact=True)
    assert all(len(text.ids) <= 16 for text in texts[:4])
    assert cosine(lengths[16, 24], expected) > 0.97 and cosine(lengths[(24,)], expected) > 0.97
