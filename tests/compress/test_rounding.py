"""Quantization-aware training: the grid that is seen is the grid that is stored, bits are met, gradients pass, a killed run goes on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interruption import stopped_at
from models_shared import batch, context_for
from small import make_data, make_model

from edgepack.compress import distillation
from edgepack.compress.distillation import distill
from edgepack.compress.hidden_states import fitted_projection
from edgepack.compress.rounding import entropy_of, rounded_modules, seen_as_rounded
from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build, plan_build
from edgepack.pipeline.verify import verify
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Distill, Rounding
from edgepack.quantize.coarse_search import Known, Matrix, at_mean_bits, grid_of

COARSE = Rounding(bits=2.5, largest=127, activations=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rounding")
    make_model(folder / "model")
    make_data(folder / "data", {"train": 64, "dev": 8, "test": 8})
    return folder


def step_of(**more):
    return Distill(layers=4, hidden=64, epochs=1, batch_rows=16, learning_rate=1e-3, temperature=2.0, why="", **more)


def context_in(place, folder):
    context = context_for(place / "model", place / "data", folder)
    model = load_checkpoint(place / "model")
    return replace(context, teacher_outputs=run_model(model, context.task, context.features, "teacher"))


@pytest.mark.parametrize("rounding", [COARSE, Rounding(bits=None, largest=63, activations=False)], ids=["coarse", "8 bits"])
def test_behind_the_training_the_weights_are_what_was_seen(place, tmp_path, rounding):
    model, context = load_checkpoint(place / "model"), context_in(place, tmp_path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with seen_as_rounded(model, rounding, context), torch.no_grad():
        seen = model(**batch()).logits
    modules = rounded_modules(model)
    assert modules and model.state_dict().keys() == before.keys()
    for module in modules:
        values = module.weight.detach().numpy()
        if rounding.bits is None:
            rows = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-9) / rounding.largest  # a row for padding is 0
            assert np.allclose(values / rows, np.rint(values / rows), atol=1e-3)
        else:
            assert grid_of(values, rounding.largest) is not None
    if not rounding.activations:
        with torch.no_grad():
            assert torch.allclose(model(**batch()).logits, seen, atol=1e-5)
    if rounding.bits is not None:
        grids = [grid_of(module.weight.detach().numpy(), 127).values for module in modules]
        bits = [entropy_of(torch.from_numpy(values.astype(np.float32))) * values.size for values in grids]
        assert sum(bits) / sum(module.weight.numel() for module in modules) == pytest.approx(rounding.bits, abs=0.05)


def test_gradients_pass_as_if_nothing_were_rounded(place, tmp_path):
    model, context = load_checkpoint(place / "model"), context_in(place, tmp_path)
    last = rounded_modules(model)[-1]
    with seen_as_rounded(model, COARSE, context):
        model.train()
        model(**batch()).logits.square().sum().backward()
        first = last.parametrizations.weight
        assert float(first.original.grad.abs().sum()) > 0 and first[0].step.grad is None and float(first[0].step) > 0


def test_a_student_that_is_trained_so_is_nearer_than_one_that_is_rounded_afterwards(place, tmp_path):
    context = context_in(place, tmp_path / "run")
    teacher = torch.from_numpy(np.stack(context.teacher_outputs)).softmax(-1)

    def distance(model):
        outputs = torch.from_numpy(np.stack(run_model(model, context.task, context.features, "student")))
        return float((outputs.softmax(-1) - teacher).abs().mean())

    rough = Rounding(bits=1.8, largest=127, activations=True)
    afterwards = load_checkpoint(place / "model")
    with seen_as_rounded(afterwards, rough, context), torch.no_grad():
        afterwards(**batch())
    trained = distill(load_checkpoint(place / "model"), step_of(rounding=rough).model_copy(update={"epochs": 6}), context)
    assert all(grid_of(module.weight.detach().numpy(), 127) is not None for module in rounded_modules(trained))
    assert distance(trained) < 0.8 * distance(afterwards)


def test_the_way_to_the_teachers_hidden_states_takes_none_of_the_bits(place, tmp_path, monkeypatch):
    projections = []

    def fitted(*arguments):
        projections.append(fitted_projection(*arguments))
        return projections[-1]

    monkeypatch.setattr(distillation, "fitted_projection", fitted)
    context = replace(context_in(place, tmp_path), load_teacher=lambda: load_checkpoint(place / "model"))
    narrow = step_of(rounding=COARSE, hidden_weight=1.0).model_copy(update={"layers": 2, "hidden": 32})
    student = distill(load_checkpoint(place / "model"), narrow, context)
    assert all(grid_of(module.weight.detach().numpy(), 127) is not None for module in rounded_modules(student))
    assert len(projections[0].weight.unique()) > 1000  # of 2,048: on no grid
    grids = [grid_of(module.weight.detach().numpy(), 127).values for module in rounded_modules(student)]
    bits = sum(entropy_of(torch.from_numpy(values.astype(np.float32))) * values.size for values in grids)
    assert bits / sum(values.size for values in grids) == pytest.approx(COARSE.bits, abs=0.1)


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bytes(place, tmp_path):
    whole = distill(load_checkpoint(place / "model"), step_of(rounding=COARSE), context_in(place, tmp_path / "whole"))
    with stopped_at(4):
        distill(load_checkpoint(place / "model"), step_of(rounding=COARSE), context_in(place, tmp_path / "killed"))
    assert list((tmp_path / "killed").glob("checkpoint-*"))
    again = distill(load_checkpoint(place / "model"), step_of(rounding=COARSE), context_in(place, tmp_path / "killed"))
    assert all(torch.equal(one, other) for one, other in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


@settings(max_examples=40)
@given(st.integers(1, 127), st.floats(1e-4, 10), st.integers(0, 99))
def test_a_grid_is_recognised_by_its_values_and_nothing_else_is(largest, step, seed):
    draw = np.random.default_rng(seed)
    whole = draw.integers(-largest, largest + 1, (30, 40))
    whole[0, :2] = 1, -largest
    found = grid_of((whole * np.float32(step)).astype(np.float32), 127)
    assert np.array_equal(found.values, whole) and found.steps[0] == pytest.approx(step, rel=1e-5)
    assert grid_of(draw.normal(size=(30, 40)).astype(np.float32), 127) is None


def test_a_trained_grid_stays_and_other_matrices_come_to_the_bits():
    draw = np.random.default_rng(0)
    trained = np.rint(draw.normal(size=(64, 64)) * 1.2).astype(np.float32) * np.float32(0.03)
    free = draw.normal(size=(64, 64)).astype(np.float32)
    matrices = [Matrix("trained", trained, None, "trained"), Matrix("free", free, None, "free")]
    rounded = at_mean_bits(matrices, Known({}, {}), 2.5, 127)
    assert np.allclose(rounded["trained"].values * rounded["trained"].steps[:, None], trained, atol=1e-6)
    assert rounded["free"].bits / free.size == pytest.approx(2.5, abs=0.05)
    fine = np.rint(draw.normal(size=(64, 64)) * 20).astype(np.float32) * np.float32(0.002)
    coarser = at_mean_bits([Matrix("fine", fine, None, "fine")], Known({}, {}), 2.5, 127)  # finer than is asked for: rounded again
    assert coarser["fine"].bits / fine.size == pytest.approx(2.5, abs=0.05)


def test_what_nothing_is_rounded_for_is_refused(place):
    stated = {"model": str(place / "model"), "data": str(place / "data"), "quantization_aware": True}
    profile = load_profile("raspberry-pi")
    for more, says in (
        ({"precision": "fp32"}, "does not round the model's products"),
        ({"precision": "int8", "data": None, "student": "same"}, "needs data"),
        ({"precision": "int8", "training": {"epochs": 0}, "student": "same"}, "would learn nothing"),
        ({"precision": "int8", "smoothing": 0.5, "student": "same"}, "moves weights off the grid"),
    ):
        with pytest.raises(EdgepackError, match=says):
            plan_build(Recipe.read(stated | more, "test"), profile)
    plan = plan_build(Recipe.read(stated | {"precision": "int8", "bits": 2.2, "student": "same", "prune_heads": 0.0}, "test"), profile)
    (seen,) = [step for step in plan.steps if step.verb == "distill"]
    assert seen.rounding == Rounding(bits=2.2, largest=127, activations=True) and "2.2 bits a weight" in seen.why
    assert next(step for step in plan.steps if step.verb == "quantize").smoothing == 0.0


@pytest.mark.slow
def test_a_build_ships_the_grid_that_was_trained(place, cache, tmp_path):
    stated = {"model": str(place / "model"), "data": str(place / "data"), "student": "same", "prune_heads": 0.0, "precision": "int8"}
    recipe = Recipe.read(
        stated | {"quantization_aware": True, "bits": 2.5, "training": {"epochs": 1}, "budget": {"score_drop": 100.0}}, "test"
    )
    build(recipe, load_profile("raspberry-pi"), tmp_path / "pack", cache, None)
    manifest = read_manifest(tmp_path / "pack")
    details = next(row for row in manifest.ladder if row.stage == "quantize").attempts[-1].details
    assert details["bits"] == pytest.approx(2.5, abs=0.15) and verify(tmp_path / "pack").golden_texts > 0
    trained, stored = (next(row for row in manifest.ladder if row.stage == stage).score.value for stage in ("distill", "quantize"))
    assert abs(trained - stored) <= 0.3
