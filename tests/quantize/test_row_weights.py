"""What an error in a row of a decoder weighs: as gradients tell it, and as the predictions of a real model change."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from small import DECODERS, make_model

from edgepack.export.file_names import MODEL_FILE, SCORE_FILE
from edgepack.export.onnx_decoder import export_decoder, runnable_decoder
from edgepack.measure.answers import answer
from edgepack.model.checkpoint import load_checkpoint
from edgepack.pack.runnable import write_runnable
from edgepack.plan.steps import Export, Quantize
from edgepack.quantize.calibration import CalibrationTexts
from edgepack.quantize.matrix_products import count_matrix_products
from edgepack.quantize.schemes import candidates
from edgepack.quantize.torch_row_weights import row_weights
from edgepack.tasks import task_named
from edgepack.tasks.common.task import Features

TEXTS, TOKENS = 24, 48


@pytest.fixture(scope="module")
def texts(stories):
    """Stories that the model writes itself."""
    torch.manual_seed(0)
    model = load_checkpoint(stories)
    rows = model.generate(torch.ones(TEXTS, 1, dtype=torch.long), do_sample=True, min_new_tokens=TOKENS, max_new_tokens=TOKENS)
    return [Features(row, [0] * len(row), index) for index, row in enumerate(rows.tolist())]


def predictions(model, texts):
    with torch.no_grad():
        return model(input_ids=torch.tensor([text.ids for text in texts])).logits.log_softmax(dim=-1)


def divergence(model, texts, expected):
    """KL in nats a token."""
    return float((expected.exp() * (expected - predictions(model, texts))).sum(dim=-1).mean())


def inputs_of(model, module, texts):
    rows = []
    with module.register_forward_hook(lambda _, inputs, __: rows.append(inputs[0])), torch.no_grad():
        model(input_ids=torch.tensor([text.ids for text in texts]))
    return rows[0].flatten(0, -2)


@pytest.mark.slow
def test_gradients_tell_what_errors_inside_cost_and_order_matrices_by_it(stories, texts):
    """Of each product and of the tied table, rounded alone: the weights' forecast beside the divergence of the changed model."""
    model = load_checkpoint(stories)
    rows, expected = row_weights(model, texts, 0), predictions(model, texts)
    forecast, actual = {}, {}
    draw = torch.Generator().manual_seed(0)
    for name, module in [each for each in model.named_modules() if isinstance(each[1], torch.nn.Linear)]:
        exact = module.weight.detach().clone()
        error = 0.03 * exact.std() * torch.randn(exact.shape, generator=draw)
        outputs = (inputs_of(model, module, texts) @ error.T).square().mean(dim=0)
        forecast[name] = float(outputs @ torch.tensor(rows.of(exact.numpy())).float()) / 2
        module.weight.data.copy_(exact + error)
        actual[name] = divergence(model, texts, expected)
        module.weight.data.copy_(exact)
    names = list(actual)
    ratios = [actual[name] / forecast[name] for name in names]
    assert len(names) > 30 and max(ratios) < 4 and min(ratios) > 0.25, dict(zip(names, ratios, strict=True))
    ranks = [np.argsort(np.argsort([by_name[name] for name in names])) for by_name in (forecast, actual)]
    assert np.corrcoef(*ranks)[0, 1] > 0.9
    assert max(actual.values()) > 20 * min(actual.values())  # else there was nothing to tell


@pytest.mark.slow
@pytest.mark.parametrize("family", DECODERS)
def test_every_matrix_of_a_file_is_weighed_whatever_the_family(family, tmp_path):
    """A file joins matrices, transposes them (GPT-2), scales its table (Gemma) and has a head of its own or none: no row is unknown."""
    model = make_model(tmp_path / "model", family, "text-generation")
    texts = [Features([5, 9, 12, 7, 30, 8 + index] * 8, [0] * 48, index) for index in range(TEXTS)]
    (tmp_path / "fp32").mkdir()
    export_decoder(model, Export(opset=20, why=""), tmp_path / "fp32")
    step = Quantize(precision="int8", method="blockwise", sensitive=0, mean_bits=3.5, why="")
    write_runnable(tmp_path / "fp32", runnable_decoder(model, task_named("text-generation")))
    calibration = CalibrationTexts(lambda: texts, lambda count: (texts, texts), True, lambda picked: row_weights(model, picked, 0))
    *_, candidate = candidates(step, tmp_path / "fp32", calibration)
    assert candidate.details["errors_weighed"] == "by gradients"


@pytest.mark.slow
def test_a_decoder_on_a_grid_by_weights_loses_less_and_stays_an_8_bit_file(stories, texts, tmp_path):
    """The same bits with gradients and without; the oracle is the exported model in fp32, whose tokens are judged."""
    model, task = load_checkpoint(stories), task_named("text-generation")
    (tmp_path / "fp32").mkdir()
    export_decoder(model, Export(opset=20, why=""), tmp_path / "fp32")
    runnable = runnable_decoder(model, task)
    write_runnable(tmp_path / "fp32", runnable)
    step = Quantize(precision="int8", method="blockwise", sensitive=0, mean_bits=3.5, why="")
    losses = {}
    for name, weigh in {"by gradients": lambda picked: row_weights(load_checkpoint(stories), picked, 0), "by outputs": None}.items():
        calibration = CalibrationTexts(lambda: texts, lambda count: (texts, texts), True, weigh)
        *_, candidate = candidates(step, tmp_path / "fp32", calibration)
        assert candidate.details["errors_weighed"] == name and candidate.details["bits"] == pytest.approx(3.5, abs=0.03)
        (tmp_path / name).mkdir()
        candidate.write(tmp_path / name)
        write_runnable(tmp_path / name, runnable)
        losses[name] = np.mean([row[:, 0].mean() for row in answer(tmp_path / name, "onnxruntime", texts, threads=1, exact=True)])
        products = [node for node in onnx.load(tmp_path / name / SCORE_FILE).graph.node if node.op_type == "MatMulNBits"]
        assert len(products) == 5 * 7 + 1 and all(next(a.i for a in node.attribute if a.name == "bits") == 8 for node in products)
        assert not count_matrix_products(tmp_path / name / MODEL_FILE).get("float", 0)
    whole = np.mean([row[:, 0].mean() for row in answer(tmp_path / "fp32", "onnxruntime", texts, threads=1, exact=True)])
    assert 0 < losses["by gradients"] - whole < 0.9 * (losses["by outputs"] - whole)
    stored = {tensor.name: tensor for tensor in onnx.load(tmp_path / "by gradients" / SCORE_FILE).graph.initializer}
    assert all(len(np.unique(numpy_helper.to_array(stored[node.input[2]]))) == 1 for node in products), "no block has a step of its own"
