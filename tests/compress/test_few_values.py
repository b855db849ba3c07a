"""Ternary and binary weights: what a training sees is what the file holds, the runtime answers as the model, a killed run goes on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interruption import stopped_at
from models_shared import batch, context_for
from small import make_data, make_model

from edgepack.compress.distillation import distill
from edgepack.compress.few_values import OnFewValues
from edgepack.compress.rounding import rounded_modules, seen_as_rounded
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.pipeline.verify import verify
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Distill, Rounding
from edgepack.quantize.coarse import few_values_of
from edgepack.report.judge import judge
from edgepack.report.next_step import next_step

KINDS = ["ternary", "binary"]
ALLOWED = {"ternary": {-1, 0, 1}, "binary": {-1, 1}}


def rounding_to(kind, activations=True):
    return Rounding(bits=None, largest=127, activations=activations, weights=kind)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few-values")
    make_model(folder / "model")
    make_data(folder / "data", {"train": 64, "dev": 8, "test": 8})
    return folder


def context_in(place, folder):
    context = context_for(place / "model", place / "data", folder)
    model = load_checkpoint(place / "model")
    return replace(context, teacher_outputs=run_model(model, context.task, context.features, "teacher"))


def distilled(place, kind, epochs, folder):
    step = Distill(
        layers=4, hidden=64, epochs=epochs, batch_rows=16, learning_rate=1e-3, temperature=2.0, why="", rounding=rounding_to(kind)
    )
    return distill(load_checkpoint(place / "model"), step, context_in(place, folder))


def test_values_are_those_of_the_papers():
    rows = torch.tensor([[0.1, -0.2, 0.3, -0.6], [1.0, 1.0, -1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    binary = OnFewValues("binary").rounded(rows)  # BWN: sign times mean size
    assert torch.allclose(binary, torch.tensor([[0.3, -0.3, 0.3, -0.3], [1.0, 1.0, -1.0, 1.0], [0.0] * 4]))
    ternary = OnFewValues("ternary").rounded(rows)  # TWN: 0 up to 0.7 * 0.3 = 0.21, the mean of 0.3 and 0.6 above
    assert torch.allclose(ternary, torch.tensor([[0.0, 0.0, 0.45, -0.45], [1.0, 1.0, -1.0, 1.0], [0.0] * 4]))


@settings(max_examples=40)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 999), size=st.floats(1e-6, 1e3))
def test_few_values_are_recognised_and_nothing_else_is(kind, seed, size):
    weight = torch.randn(20, 30, generator=torch.Generator().manual_seed(seed)) * size
    rounded = OnFewValues(kind).rounded(weight)
    coarse = few_values_of(rounded.numpy())
    assert set(np.unique(coarse.values)) <= ALLOWED[kind]
    assert np.allclose(coarse.values * coarse.steps[:, None], rounded.numpy(), rtol=1e-6)
    assert few_values_of(weight.numpy()) is None


@pytest.mark.parametrize("kind", KINDS)
def test_behind_the_training_the_weights_are_what_was_seen_and_gradients_passed(place, tmp_path, kind):
    model, context = load_checkpoint(place / "model"), context_in(place, tmp_path)
    names = set(model.state_dict())
    with seen_as_rounded(model, rounding_to(kind, activations=False), context):
        model.train()
        model(**batch()).logits.square().sum().backward()
        assert all(float(each.parametrizations.weight.original.grad.abs().sum()) > 0 for each in rounded_modules_seen(model))
        with torch.no_grad():
            seen = model.eval()(**batch()).logits
    assert set(model.state_dict()) == names
    with torch.no_grad():
        assert torch.allclose(model(**batch()).logits, seen, atol=1e-5)
    assert all(few_values_of(module.weight.detach().numpy()) for module in rounded_modules(model))


def rounded_modules_seen(model):
    return [module for module in model.modules() if hasattr(module, "parametrizations") and isinstance(module, torch.nn.Linear)]


@pytest.mark.slow
def test_a_student_that_is_trained_so_is_nearer_than_one_that_is_rounded_afterwards(place, tmp_path):
    context = context_in(place, tmp_path / "run")
    teacher = torch.from_numpy(np.stack(context.teacher_outputs)).softmax(-1)

    def distance(model):
        outputs = torch.from_numpy(np.stack(run_model(model, context.task, context.features, "student")))
        return float((outputs.softmax(-1) - teacher).abs().mean())

    for kind in KINDS:
        afterwards = load_checkpoint(place / "model")
        with seen_as_rounded(afterwards, rounding_to(kind), context):
            pass
        trained = distilled(place, kind, 6, tmp_path / kind)
        assert distance(trained) < 0.8 * distance(afterwards), kind


def test_a_killed_training_goes_on_to_the_same_bytes(place, tmp_path):
    whole = distilled(place, "ternary", 1, tmp_path / "whole")
    with stopped_at(4):
        distilled(place, "ternary", 1, tmp_path / "killed")
    assert list((tmp_path / "killed").glob("checkpoint-*"))
    again = distilled(place, "ternary", 1, tmp_path / "killed")
    assert all(torch.equal(each, other) for each, other in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "more"), [("binary", {}), ("ternary", {"codec": "zstd"}), ("binary", {"format": "tflite"})], ids=str)
def test_a_build_ships_the_values_that_were_trained(place, cache, tmp_path, kind, more):
    stated = {"model": str(place / "model"), "data": str(place / "data"), "student": "same", "prune_heads": 0.0, "precision": "int8"}
    stated |= {"quantization_aware": True, "weights": kind, "training": {"epochs": 1}, "budget": {"score_drop": 100.0}} | more
    build(Recipe.read(stated, "test"), load_profile("phone"), tmp_path / "pack", cache, None)
    manifest = read_manifest(tmp_path / "pack")
    ladder = manifest.ladder
    attempt = next(row for row in ladder if row.stage == "quantize").attempts[-1]
    assert attempt.details["few_values_share"] >= 0.99 and attempt.details["bits"] <= {"ternary": 1.6, "binary": 1.05}[kind]
    assert verify(tmp_path / "pack").golden_texts > 0
    trained, stored = (next(row for row in ladder if row.stage == stage).score.value for stage in ("distill", "quantize"))
    assert abs(trained - stored) <= 0.3
    notes = " ".join(judge(manifest, None).notes)
    assert f"The weights are {kind}, and the entropy of each is" in notes and "points beside the model as it came" in notes
    step = next_step(manifest, "score_drop", 30.0, 2.0)
    assert ("--weights ternary" in step.sentence) if kind == "binary" else ("in place of --weights ternary" in step.sentence)
