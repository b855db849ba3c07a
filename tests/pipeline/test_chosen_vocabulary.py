"""A build whose file is too large by its table of tokens: the planner cuts the vocabulary by itself, and no layer is dropped."""

import json

import pytest
from libraries import embed
from rows_embeddings import pooling, sentence
from small import enlarged, make_data, make_model
from transformers import AutoTokenizer

from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build, plan_build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.load import load

SERVER = load_profile("x86-server")
IDLE_PIECES = 30_000  # that no text has


def with_idle_pieces(folder):
    """The small model with so many more pieces."""
    model = make_model(folder)
    spec = json.loads((folder / "tokenizer.json").read_text())
    vocab = spec["model"]["vocab"]
    vocab |= {f"zq{number}": len(vocab) + number for number in range(IDLE_PIECES)}
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    model.resize_token_embeddings(len(vocab))
    enlarged(model)
    model.save_pretrained(folder)
    assert len(AutoTokenizer.from_pretrained(folder)) == len(vocab)
    return folder


@pytest.mark.slow
def test_a_build_counts_the_tokens_and_cuts_those_that_no_text_needs(tmp_path):
    data = make_data(tmp_path / "data", {"train": 64, "dev": 16, "test": 16})
    recipe = Recipe(model=str(with_idle_pieces(tmp_path / "model")), data=str(data))
    whole_mb = plan_build(recipe.model_copy(update={"student": "same", "precision": "int8"}), SERVER).predictions.file_mb
    budget = recipe.budget.model_copy(update={"file_mb": round(whole_mb * 0.3, 3), "score_drop": 100.0})
    tight = recipe.model_copy(update={"budget": budget})
    build(tight, SERVER, tmp_path / "pack", tmp_path / "cache", None)
    manifest = read_manifest(tmp_path / "pack")
    assert [row.stage for row in manifest.ladder][:2] == ["teacher", "cut_vocabulary"] and manifest.recipe.vocabulary is None
    assert "distill" not in [row.stage for row in manifest.ladder] and manifest.plan.student.layers == manifest.plan.teacher.layers
    assert manifest.plan.student.vocab < 500 and manifest.file_mb <= budget.file_mb
    assert load(tmp_path / "pack")("turn on the light"), "the pack answers"
    kept = recipe.model_copy(update={"vocabulary": "all", "budget": budget})
    assert not plan_build(kept, SERVER).cuts_vocabulary


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", ["data", "all"])
def test_prompts_that_are_left_out_are_found_by_the_ids_of_the_vocabulary_that_stays(tmp_path, vocabulary):
    folder = tmp_path / "model"
    folder.mkdir()
    sentence(
        folder, [pooling("mean", include_prompt=False)], prompts={"prompts": {"query": "search the web: "}, "default_prompt_name": None}
    )
    calls = (("turn on the light",), ("turn on the light", "query"), ("turn on the light", ""))
    expected = embed(folder, calls)
    data = make_data(tmp_path / "data", {"train": 64, "dev": 16, "test": 16})
    corpus = data / "train.csv"
    corpus.write_text(corpus.read_text() + "turn on the light,more\n")
    settings = {"model": str(folder), "data": str(data), "task": "feature-extraction", "vocabulary": vocabulary}
    recipe = Recipe(**settings, precision="fp32", student="same", prune_heads=0.0)
    build(recipe, SERVER, tmp_path / "pack", tmp_path / "cache", None)
    assert ("cut_vocabulary" in [row.stage for row in read_manifest(tmp_path / "pack").ladder]) == (vocabulary == "data")
    pack = load(tmp_path / "pack")
    for call, wanted in zip(calls, expected, strict=True):
        assert pack(*call).values == pytest.approx(wanted["values"], abs=1e-4)
