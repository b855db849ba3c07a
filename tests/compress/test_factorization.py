"""Matrices as two smaller products: the least error at a rank, the same function at full rank, in all families, saved, loaded, exported."""

import json

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models_shared import batch, context_for
from small import make_data, make_model
from torch import nn

from edgepack.compress.factorization import _of_linear, _of_table, factorize, ranks_for
from edgepack.compress.sparsity import linears, weight_matrices
from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint, save_checkpoint
from edgepack.model.factored import LINEARS, FactoredEmbedding, factors_of
from edgepack.model.source import KEPT_FILE, find_model
from edgepack.model.structure import count_params, layer_shapes, matrix_of
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build, plan_build
from edgepack.plan.factors import Factor, break_even_rank
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Factorize
from edgepack.tasks.common.task import Features

KINDS = ("svd", "tensor")
FAMILIES = (("bert", "text-classification"), ("distilbert", "text-classification"), ("albert", "text-classification"),
            ("modernbert", "text-classification"), ("mobilebert", "text-classification"), ("gpt2", "text-generation"),
            ("llama", "text-generation"), ("deberta-v2", "text-classification"))  # fmt: skip


def drawn_linear(rows, columns, seed, bias=True):
    """A layer, and its inputs' second moments with a 1 behind them, as refit counts them."""
    torch.manual_seed(seed)
    linear = nn.Linear(columns, rows, bias=bias)
    inputs = torch.randn(400, columns) @ torch.randn(columns, columns) + torch.randn(columns)
    whole = torch.cat([inputs, torch.ones(400, 1)], dim=1)
    return linear, inputs, whole.T @ whole


@settings(max_examples=25)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 50), st.sampled_from(KINDS), st.booleans())
def test_at_full_rank_nothing_changes(rows, columns, seed, kind, bias):
    linear, inputs, moment = drawn_linear(rows, columns, seed, bias)
    candidate = _of_linear("layer", linear, moment, kind)
    factored = candidate.make(len(candidate.strengths))
    with torch.no_grad():
        assert torch.allclose(factored(inputs), linear(inputs), atol=2e-3 * float(linear(inputs).abs().max()))
        assert torch.allclose(matrix_of(factored), linear.weight, atol=2e-3)
    assert factored.factor.weights == len(candidate.strengths) * (rows + columns)


@settings(max_examples=25)
@given(st.integers(2, 24), st.integers(2, 24), st.integers(1, 12), st.integers(0, 50))
def test_svd_has_the_least_error_of_outputs_that_a_rank_allows(rows, columns, rank, seed):
    linear, inputs, moment = drawn_linear(rows, columns, seed)
    rank = min(rank, rows, columns)
    candidate = _of_linear("layer", linear, moment, "svd")
    with torch.no_grad():
        error = float(((candidate.make(rank)(inputs) - linear(inputs)).double() ** 2).sum(dim=1).mean())
        centred = (inputs @ linear.weight.T).double()
        outputs = torch.linalg.svdvals(centred - centred.mean(dim=0)) ** 2 / len(inputs)
    least = float(outputs[rank:].sum())  # Eckart and Young: no matrix of this rank does better
    assert least - 1e-6 <= error <= 1.05 * least + 1e-3 * float(outputs.sum())
    assert float(candidate.strengths[rank:].sum()) == pytest.approx(least, rel=0.1, abs=1e-3 * float(outputs.sum()))


def moment_of(covariance, mean):
    """Second moments with a 1 behind them, of inputs with such a covariance."""
    whole = torch.cat([mean, torch.ones(1, dtype=torch.double)])
    moment = torch.outer(whole, whole)
    moment[:-1, :-1] += covariance
    return moment


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_that_hardly_vary_about_a_large_mean_are_no_obstacle(kind):
    """Of their covariance the rounding of sums in fp32 leaves less than nothing: in one direction, and in one input by itself."""
    linear, _, _ = drawn_linear(64, 64, 0)
    mean, away = torch.ones(64, dtype=torch.double), torch.nn.functional.normalize(torch.randn(64, dtype=torch.double), dim=0)
    covariance = 1e-6 * (torch.eye(64, dtype=torch.double) - 1.1 * torch.outer(away, away))
    covariance[5, 5] = -1e-9
    assert torch.linalg.cholesky_ex(covariance)[1], "no Cholesky factor"
    factored = _of_linear("layer", linear, moment_of(covariance, mean), kind).make(16)
    inputs = (mean + 1e-3 * torch.randn(400, 64)).float()
    with torch.no_grad():
        assert torch.allclose(factored(inputs), linear(inputs), atol=0.01)


def test_inputs_that_are_no_numbers_end_the_cut_with_an_error():
    linear, _, moment = drawn_linear(8, 8, 0)
    with pytest.raises(torch.linalg.LinAlgError):
        _of_linear("layer", linear, moment * float("nan"), "svd")


def test_a_table_keeps_what_its_frequent_tokens_need():
    torch.manual_seed(0)
    table = nn.Embedding(50, 16, padding_idx=0)
    often = [3, 7, 9, 11]
    candidate = _of_table("table", table, [Features(often * 100, [0] * 400, 0)], "svd")
    factored = candidate.make(5)
    with torch.no_grad():
        gaps = (factored(torch.arange(50)) - table(torch.arange(50))).norm(dim=1)
    assert float(gaps[often].max()) < 0.5 * float(gaps.mean())
    with torch.no_grad():
        assert torch.allclose(candidate.make(16)(torch.arange(50)), table(torch.arange(50)), atol=1e-4)


@pytest.mark.parametrize(
    ("family", "task", "kind"),
    [(*each, "svd") for each in FAMILIES] + [(*each, "tensor") for each in FAMILIES if each[0] in ("bert", "gpt2")],  # the same modules
)
def test_every_family_is_cut_saved_and_loaded_again(family, task, kind, tmp_path):
    make_model(tmp_path / "model", family, task)
    context = context_for(tmp_path / "model", make_data(tmp_path / "data", {"train": 40, "dev": 4, "test": 4}), tmp_path)
    model = load_checkpoint(tmp_path / "model")
    before, shapes = count_params(model), layer_shapes(model)
    whole = sum(matrix_of(module).numel() for module in linears(model))
    model = factorize(model, Factorize(fraction=0.4, by=kind, why=""), context)
    factors = factors_of(model)
    assert factors and all(factor.rank < break_even_rank(factor.rows, factor.columns) for factor in factors)
    assert count_params(model) < before and layer_shapes(model) == shapes
    assert not (task == "text-generation" and any(factor.table for factor in factors))
    assert sum(matrix.numel() for matrix in weight_matrices(model)) < whole
    save_checkpoint(model, tmp_path / "saved")
    again = load_checkpoint(tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(model(**batch()).logits, again(**batch()).logits)
    assert factors_of(again) == factors and not list((tmp_path / "saved").glob("*.bin"))
    shape = find_model(str(tmp_path / "saved")).shape(task)
    assert 0 < shape.factorized < 1 and shape.params == pytest.approx(count_params(again), rel=0.05)
    notes = context.notes["factors"]
    assert len(notes) >= len(factors) and all(row["error"] >= 0 for row in notes)


@pytest.mark.parametrize(("size", "step"), [(64, 8), (256, 32)])
def test_layers_that_matter_more_keep_higher_ranks_and_the_share_is_met(size, step):
    class Matrix:
        def __init__(self):
            self.rows, self.columns, self.strengths, self.step = size, size, torch.logspace(0, -4, size).double(), step

    matrices = [Matrix() for _ in range(4)]
    ranks = ranks_for(matrices, [(0.1, 100.0), (0.1, 1.0), (0.1, 0.01), (0.1, 0.0001)], 0.5)
    sizes = [size * size if rank is None else rank * 2 * size for rank in ranks]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1]
    assert 0.4 <= sum(sizes) / (4 * size * size) <= 0.5 and all(rank is None or rank % step == 0 for rank in ranks)


def test_what_saves_nothing_is_refused_with_the_rank_that_would(teacher_folder, data_folder):
    stated = {"model": str(teacher_folder), "data": str(data_folder)}
    profile = load_profile("raspberry-pi")
    with pytest.raises(EdgepackError, match=r"would need rank 56 of a matrix of 400 x 64, and two matrices .* below rank 56"):
        plan_build(Recipe(**stated, factorize=0.01), profile)
    with pytest.raises(EdgepackError, match="no rank: ranks are multiples of 8"):
        plan_build(Recipe(**stated, factorize=0.97), profile)
    with pytest.raises(EdgepackError, match="--factorize-by tensor changes nothing without --factorize"):
        plan_build(Recipe(**stated, factorize_by="tensor"), profile)
    with pytest.raises(EdgepackError, match="--factorize 50% needs texts"):
        plan_build(Recipe(model=str(teacher_folder), factorize=0.5), profile)
    plan = plan_build(Recipe(**stated, student="same", factorize=0.5, prune_weights=0.2), profile)
    assert [step.verb for step in plan.steps][:4] == ["factorize", "distill", "prune_weights", "distill"]
    assert plan.student.params < plan.teacher.params and "two products" in plan.steps[0].why.lower()


def test_a_damaged_list_of_factors_is_refused(teacher_folder, tmp_path):
    model = load_checkpoint(teacher_folder)
    save_checkpoint(model, tmp_path / "saved")
    record = tmp_path / "saved" / KEPT_FILE
    content = json.loads(record.read_text())
    content["factors"] = [Factor(path="nowhere.at.all", kind="svd", rows=4, columns=4, rank=1).as_json()]
    record.write_text(json.dumps(content))
    with pytest.raises(EdgepackError, match="nowhere.at.all"):
        load_checkpoint(tmp_path / "saved")


@pytest.mark.slow
@pytest.mark.parametrize(("file_format", "kind"), [("onnx", "svd"), ("onnx", "tensor"), ("tflite", "svd"), ("tflite", "tensor")])
def test_a_build_ships_two_int8_products_for_one(teacher_folder, data_folder, cache, tmp_path, file_format, kind):
    stated = {"model": str(teacher_folder), "data": str(data_folder), "student": "same", "prune_heads": 0.0, "precision": "int8"}
    recipe = Recipe.read(stated | {"factorize": 0.5, "factorize_by": kind, "format": file_format, "training": {"epochs": 1}}, "test")
    build(recipe, load_profile("phone" if file_format == "tflite" else "raspberry-pi"), tmp_path / "pack", cache, None)
    manifest = read_manifest(tmp_path / "pack")
    row = next(row for row in manifest.ladder if row.stage == "factorize")
    cut = [matrix for matrix in row.factors if matrix.rank is not None]
    assert cut and {matrix.layer for matrix in row.factors} >= {0, None} and all(matrix.rank < matrix.break_even_rank for matrix in cut)
    assert manifest.ladder[-1].params < 0.8 * manifest.ladder[0].params
    if file_format == "onnx":
        graph = onnx.load(tmp_path / "pack" / "model.onnx", load_external_data=False).graph
        products = sum("MatMul" in node.op_type or node.op_type == "Gemm" for node in graph.node)  # those of few weights stay in float
        assert products >= 2 * len([matrix for matrix in cut if matrix.layer is not None])
    assert np.isfinite(manifest.ladder[-1].score.value)
    assert not any(isinstance(module, (*LINEARS, FactoredEmbedding)) for module in load_checkpoint(teacher_folder).modules())
