"""Every quantization scheme: a tiny model is exported and quantized, opens in its real runtime, answers near fp32, and is smaller."""

import numpy as np
import pytest
from small import make_model

from edgepack.core.errors import EdgepackError
from edgepack.export.file_names import GRAPH_FILE
from edgepack.measure.answers import answer
from edgepack.model.checkpoint import load_tokenizer
from edgepack.pack.runnable import write_runnable
from edgepack.plan.formats import check_installed
from edgepack.plan.steps import Export, Quantize
from edgepack.quantize.calibration import CalibrationTexts
from edgepack.quantize.schemes import SCHEMES, candidates, quantized_runnable
from edgepack.tasks import task_named
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features

PRECISIONS = {"onnx_int8": "int8", "onnx_blockwise": "int4", "onnx_fp16": "fp16", "tflite_int8": "int8", "tflite_int4": "int4"}
RUNTIMES = {"onnx": "onnxruntime", "tflite": "litert"}
TEXTS = ["switch on the lamp in the kitchen", "play some music", "set the heating to twenty degrees", "call my mother now"] * 6


def tiny(folder, decodes):
    task = task_named("text-generation" if decodes else "text-classification")
    model = make_model(folder, "llama" if decodes else "bert", task.name)
    if decodes:  # enough tokens for GPTQ
        ids = np.random.default_rng(0).integers(6, 300, (24, 60)).tolist()
        return model, task, [Features(row, [0] * len(row), index) for index, row in enumerate(ids)]
    return model, task, task.encode(load_tokenizer(folder), [Row(text) for text in TEXTS], 64)


def exported(folder, file_format, model, task, decodes):
    """In fp32, with what a target must know beside it."""
    folder.mkdir()
    if file_format == "tflite":
        from edgepack.export.tflite_export import MODEL_FILE, export_tflite, runnable_tflite

        export_tflite(model, task, (16,), folder / MODEL_FILE)
        runnable = runnable_tflite(model, task, (16,))
    elif decodes:
        from edgepack.export.onnx_decoder import export_decoder, runnable_decoder

        export_decoder(model, Export(opset=20, why=""), folder)
        runnable = runnable_decoder(model, task)
    else:
        from edgepack.export.onnx_export import export_onnx, runnable
        from edgepack.export.onnx_optimization import optimize_onnx

        export_onnx(model, task, Export(opset=20, why=""), folder / GRAPH_FILE)
        optimize_onnx(folder / GRAPH_FILE, folder)
        runnable = runnable(model, task)
    write_runnable(folder, runnable)
    return runnable


def size(folder, runnable):
    return sum(path.stat().st_size for path in folder.glob(f"{runnable.model}*"))


@pytest.mark.slow
@pytest.mark.parametrize(("file_format", "method"), list(SCHEMES), ids=["-".join(key) for key in SCHEMES])
def test_every_scheme_makes_a_smaller_file_that_answers_nearly_as_fp32(tmp_path, file_format, method):
    try:
        check_installed(file_format)
    except EdgepackError as error:
        pytest.skip(str(error))
    scheme = SCHEMES[file_format, method]
    decodes = scheme == "onnx_blockwise"
    model, task, texts = tiny(tmp_path / "model", decodes)
    runnable = exported(tmp_path / "fp32", file_format, model, task, decodes)
    step = Quantize(precision=PRECISIONS[scheme], method=method, why="")
    calibration = CalibrationTexts(lambda: texts[:12], lambda count: (texts[:12], texts[12:]), is_precision_fixed=False)
    expected = answer(tmp_path / "fp32", RUNTIMES[file_format], texts[12:], threads=1, exact=True)
    recipes = []
    for index, candidate in enumerate(candidates(step, tmp_path / "fp32", calibration)):
        folder = tmp_path / f"candidate-{index}"
        folder.mkdir()
        candidate.write(folder)
        write_runnable(folder, quantized_runnable(step, tmp_path / "fp32"))
        recipes.append(candidate.recipe)
        actual = answer(folder, RUNTIMES[file_format], texts[12:], threads=1, exact=True)
        assert size(folder, runnable) < 0.85 * size(tmp_path / "fp32", runnable), candidate.recipe
        assert cosine(actual, expected) > 0.97, candidate.recipe
        assert candidate.precision in PRECISIONS.values()
    assert recipes and len(set(recipes)) == len(recipes), "each candidate says what is special about it"


def cosine(actual, expected):
    """Of a decoder's outputs the first column alone, a token's loss: the second is the likeliest token."""
    a, b = (np.concatenate([output[..., 0].ravel() if output.ndim > 1 else output for output in outputs]) for outputs in (actual, expected))
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_every_scheme_of_the_folder_stands_in_the_table_and_every_row_has_its_file():
    import importlib
    from pathlib import Path

    import edgepack.quantize.schemes as folder

    files = {path.stem for path in Path(folder.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(SCHEMES.values()) == set(PRECISIONS)
    for name in files:
        if not name.startswith("tflite"):
            module = importlib.import_module(f"{folder.__name__}.{name}")
            assert callable(module.candidates) and callable(module.runnable)
