"""A build ends by verifying its own pack, and ship by the self-test of what it ships: pairs, empty texts and prompts as text."""

import csv
import json
from dataclasses import replace

import pytest
from small import make_model

from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_tokenizer
from edgepack.model.material import gather
from edgepack.pack.golden import read_golden
from edgepack.pipeline.build import build
from edgepack.pipeline.own_library import check_against_library
from edgepack.pipeline.verify import verify, verify_built
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.shipping import ship
from edgepack.tasks.common.encoding import encode_text
from edgepack.tasks.common.rows import Row


def test_a_text_without_a_second_one_stays_single_beside_pairs(tmp_path):
    make_model(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    rows = [Row("", text="turn it on"), Row("", text="turn it on", text_pair=""), Row("", text="turn", text_pair="it on")]
    alone = [encode_text(tokenizer, [row], 96)[0].ids for row in rows]
    assert [item.ids for item in encode_text(tokenizer, rows, 96)] == alone
    assert [ids.count(3) for ids in alone] == [1, 1, 2]  # [SEP]; an empty second text is none, as for transformers
    assert [item.row for item in encode_text(tokenizer, rows, 96)] == [0, 1, 2]


@pytest.fixture(scope="module")
def pairs_pack(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("pairs")
    make_model(folder / "model", labels=("no", "yes"))
    (folder / "data").mkdir()
    for split in ("train", "test"):
        with (folder / "data" / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "text_pair", "label"))
            writer.writerows((f"turn on light {at}", "play music " * at, ("no", "yes")[at % 2]) for at in range(20))
    recipe = Recipe(model=str(folder / "model"), data=str(folder / "data"), student="same", prune_heads=0.0, precision="int8")
    build(recipe, load_profile("raspberry-pi"), folder / "pack", cache, effort=None)
    return folder / "pack"


@pytest.mark.slow
def test_a_pack_of_pairs_verifies_and_its_module_passes_its_self_test(pairs_pack, tmp_path, capfd):
    golden = read_golden(pairs_pack)
    assert verify(pairs_pack).token_ids_equal == len(golden) > 20
    assert {(bool(entry["text"]), bool(entry["text_pair"])) for entry in golden} == {
        (each, two) for each in (True, False) for two in (True, False)
    }
    ship(pairs_pack, "linux", tmp_path / "linux", name="answers")
    assert f"self-test: {len(golden)} golden texts answered" in capfd.readouterr().err
    assert not list(tmp_path.rglob("__pycache__"))


@pytest.mark.slow
def test_a_pack_with_no_text_to_compare_does_not_end_a_build(pairs_pack, tmp_path, monkeypatch):
    golden = read_golden(pairs_pack)
    bare = [{key: value for key, value in entry.items() if key not in ("text", "text_pair")} for entry in golden]
    monkeypatch.setattr("edgepack.pipeline.verify.read_golden", lambda pack: bare)
    with pytest.raises(EdgepackError, match="no golden text of the pack could be compared as text"):
        verify_built(pairs_pack)


def test_the_prompts_of_a_model_that_writes_are_compared_as_text(stories_pack):
    assert verify_built(stories_pack).token_ids_equal > 0


def test_a_build_says_before_any_work_what_the_models_own_library_answers_otherwise(tmp_path, capfd):
    model = make_model(tmp_path / "model")
    material = gather(Recipe(model=str(tmp_path / "model")))
    check_against_library(model, material)
    assert "compared with transformers' pipeline on" in capfd.readouterr().err
    library = material.task.library

    def other(folder, calls, answers, longest):
        scores = library.ask(folder, calls, answers, longest)
        return [scores[0] | {"call": 0.9876}, *scores[1:]]

    task = replace(material.task, library=replace(library, ask=other))
    with pytest.raises(EdgepackError, match=r"than transformers' pipeline: 1 of \d+ texts differ.*call: 0\.\d+ here, 0\.9876 there"):
        check_against_library(model, replace(material, task=task))


TAGS = {"iob2": ("O", "B-PER", "I-PER"), "bioes": ("O", "B-PER", "I-PER", "E-PER", "S-PER")}


@pytest.mark.parametrize(
    ("task", "family", "more", "settings"),
    [
        ("token-classification", "bert", {"labels": TAGS["iob2"]}, {"aggregation": "average"}),
        ("token-classification", "roberta", {"labels": TAGS["bioes"]}, {}),
        ("question-answering", "bert", {}, {}),
        ("text-generation", "llama", {}, {}),
        ("text-generation", "gemma2", {}, {}),
        ("text-generation", "gpt2", {}, {}),
    ],
)
def test_tags_answers_and_texts_are_compared_with_the_models_own_library(task, family, more, settings, tmp_path, capfd):
    model = make_model(tmp_path / "model", family, task=task, **more)
    if task == "text-generation":
        path = tmp_path / "model" / "generation_config.json"
        stated = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps(stated | {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "do_sample": True}))
    material = gather(Recipe(model=str(tmp_path / "model"), **settings))
    check_against_library(model, material)
    assert "compared with transformers'" in capfd.readouterr().err
    library = material.task.library

    def other(folder, calls, answers, longest):
        figures = library.ask(folder, calls, answers, longest)
        return [{"token 1 is 7": 0.5, "PER at 0-1": 0.5}, *figures[1:]]

    with pytest.raises(EdgepackError, match=r"than transformers' .*: 1 of \d+ texts differ.*PER at 0-1: not here, 0\.5000 there"):
        check_against_library(model, replace(material, task=replace(material.task, library=replace(library, ask=other))))
