"""Vectors that int8 moves too far take a finer recipe, whatever a profile's budget allows, unless the user states a budget."""

import json

import pytest
from small import commands, make_model

from edgepack.model.material import Material, gather
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe


def recipe_of(tmp_path, **more):
    make_model(tmp_path / "model", task="feature-extraction")
    (tmp_path / "data").mkdir()
    texts = [text for text, _ in commands()["train"]]
    for split, choice in (("train", texts[:24]), ("dev", texts[24:36]), ("test", texts[36:44])):
        (tmp_path / "data" / f"{split}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in choice))
    stated = {"model": str(tmp_path / "model"), "data": str(tmp_path / "data"), "student": "same", "prune_heads": 0.0, "precision": "int8"}
    return Recipe.read(stated | more, "the test")


def in_float(attempt):
    return attempt.products["float"]


@pytest.mark.slow
def test_vectors_that_int8_moves_too_far_take_a_finer_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(Material, "least_mean_cosine", property(lambda material: 0.9999999))  # what the small model's int8 does not reach
    build(recipe_of(tmp_path), load_profile("raspberry-pi"), tmp_path / "pack", tmp_path / "cache", effort=None)
    first, *finer = sorted(read_manifest(tmp_path / "pack").ladder[-1].attempts, key=in_float)
    assert first.passed is not False and "the most sensitive of" in finer[0].recipe and finer[-1].cosine > first.cosine
    assert len(finer) > 1 and len({in_float(attempt) for attempt in finer}) == len(finer), "ever more of them: each costs bytes and time"


@pytest.mark.slow
def test_no_more_products_stay_in_float_than_the_vectors_need(tmp_path, monkeypatch):
    recipe = recipe_of(tmp_path)
    monkeypatch.setattr(Material, "least_mean_cosine", property(lambda material: 0.9999999))
    build(recipe, load_profile("raspberry-pi"), tmp_path / "all", tmp_path / "cache", effort=None)
    first, *finer = sorted(read_manifest(tmp_path / "all").ladder[-1].attempts, key=in_float)
    best = max(attempt.cosine_bound for attempt in finer)
    limit = (first.cosine_bound + best) / 2
    enough = next(at for at, attempt in enumerate(finer, 1) if attempt.cosine_bound >= limit)
    monkeypatch.setattr(Material, "least_mean_cosine", property(lambda material: limit))
    build(recipe, load_profile("raspberry-pi"), tmp_path / "one", tmp_path / "cache", effort=None)
    shipped = read_manifest(tmp_path / "one").ladder[-1].attempts
    assert best > first.cosine_bound
    assert [attempt.recipe for attempt in shipped] == [first.recipe, *(attempt.recipe for attempt in finer[:enough])]


def test_a_stated_budget_is_what_may_be_lost(tmp_path):
    stated = recipe_of(tmp_path, budget={"score_drop": 5.0})
    assert gather(stated).least_mean_cosine is None
    assert gather(stated.model_copy(update={"budget": type(stated.budget)()})).least_mean_cosine == 0.998
