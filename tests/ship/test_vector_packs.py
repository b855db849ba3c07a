"""Packs whose vectors have codes: from the recipe to modules that search, and what is refused before any work."""

import json

import numpy as np
import pytest
from jvm import answers_of, needs_java
from small import make_data, make_model
from test_android import runtime

import edgepack
from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build, plan_build
from edgepack.pipeline.verify import verify
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.shipping import ship

PROFILE = "raspberry-pi"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    place = tmp_path_factory.mktemp("vectors")
    make_model(place / "model", task="feature-extraction")
    data = make_data(place / "data", {"train": 60, "dev": 10, "test": 40})
    stated = {"model": str(place / "model"), "data": str(data), "task": "feature-extraction", "student": "same", "precision": "fp32"}
    return Recipe(**stated)


@pytest.fixture(scope="module", params=["int8", "binary"])
def pack(request, recipe, cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("coded-vectors") / "pack"
    build(recipe.model_copy(update={"vectors": request.param}), load_profile(PROFILE), out, cache, None)
    return out


def test_a_pack_states_its_codes_and_what_a_search_loses(pack):
    manifest = read_manifest(pack)
    row, codes = manifest.ladder[-1], manifest.answers["codes"]
    assert row.stage == "code_vectors" and row.details["kind"] == codes["kind"] == manifest.recipe.vectors
    assert row.details["index_smaller"] == {"int8": 4, "binary": 32}[codes["kind"]] and row.details["searched_texts"] == 40
    found = row.details["recall_at_10"]
    assert 0.3 < found <= 1 and row.details["recall_lost_points"] == pytest.approx(100 * (1 - found))
    golden = [json.loads(line) for line in (pack / "golden.jsonl").read_text().splitlines()]
    assert all(len(entry["answer"]["codes"]) == (64 if codes["kind"] == "int8" else 8) for entry in golden if "answer" in entry)
    assert any("answer" in entry for entry in golden) and verify(pack).golden_texts > 0


def test_a_loaded_pack_searches_what_it_read(pack):
    texts = ["play some jazz", "turn on the light", "call anna", "set the bedroom to 22 degrees", "play a song"]
    with edgepack.load(pack, threads=1) as model:
        index = model.index()
        vectors = [model(text) for text in texts]
        assert [index.add(vector) for vector in vectors] == list(range(5))
        assert np.array_equal(index.codes, np.stack([vector.codes for vector in vectors]))
        assert all(index.search(vector, 1)[0].place == place for place, vector in enumerate(vectors))
        assert len(model.index(index.to_bytes())) == 5


@needs_java
def test_the_modules_prove_their_codes(pack, classes, tmp_path, capfd):
    ship(pack, "linux", tmp_path / "linux", name="vectors")
    assert "golden texts answered as they were when the pack was built" in capfd.readouterr().err
    ship(pack, "android", tmp_path / "android", package="com.example.vectors")
    assets = tmp_path / "android" / "src" / "main" / "assets" / "vectors"
    (tested,) = answers_of(classes, "ModelLines", runtime(assets), [{"op": "self_test"}])
    assert tested["ok"] and tested["answers_equal"] > 0


def test_codes_are_refused_by_name_for_a_classifier_and_without_texts(recipe, teacher_folder, data_folder, tmp_path):
    with pytest.raises(EdgepackError, match="--vectors binary: a model for text-classification gives no vectors of texts"):
        plan_build(Recipe(model=str(teacher_folder), data=str(data_folder), vectors="binary"), load_profile(PROFILE))
    with pytest.raises(EdgepackError, match="--vectors int8 needs texts"):
        plan_build(recipe.model_copy(update={"vectors": "int8", "data": None}), load_profile(PROFILE))
    few = make_data(tmp_path / "few", {"train": 5, "dev": 2, "test": 2})
    asked = recipe.model_copy(update={"vectors": "int8", "data": str(few)})
    with pytest.raises(EdgepackError, match="has only 5: at least 8"):
        build(asked, load_profile(PROFILE), tmp_path / "pack", tmp_path / "cache", None)
    assert not (tmp_path / "pack").exists()


def test_the_plan_says_what_codes_are_made_of(recipe):
    plan = plan_build(recipe.model_copy(update={"vectors": "binary"}), load_profile(PROFILE))
    assert plan.vectors.kind == "binary" and "32 times smaller" in plan.vectors.why and "train split" in plan.vectors.why
    assert plan_build(recipe, load_profile(PROFILE)).vectors is None
