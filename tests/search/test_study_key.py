"""The key of a study holds every input of its trials."""

import os
import shutil
from dataclasses import replace

import pytest
from settings_tried import SETTINGS, changed_setting

from edgepack.core.code_graph import modules_of
from edgepack.core.errors import EdgepackError
from edgepack.model.source import find_model
from edgepack.pipeline.keys import kernel_environment, take_kernel_environment
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.search.candidates import Maker
from edgepack.search.rungs import materials_of
from edgepack.search.space import Dimension, Space
from edgepack.search.study_key import stage_roots, study_key
from edgepack.search.wish import SearchWish


@pytest.fixture(scope="module")
def maker(tiny):
    materials = materials_of(tiny)
    space = Space(tiny, materials.whole.source.shape(materials.whole.task.name), (Dimension("smoothing", (), 0.1, 1.0),))
    return Maker(space, load_profile("raspberry-pi"), materials)


def with_dimension(maker, dimension):
    return replace(maker, space=replace(maker.space, dimensions=(dimension,)))


def test_the_code_of_every_step_and_scheme_is_in_the_key():
    modules = modules_of(stage_roots())
    wanted = (
        "compress.pruning",
        "compress.layers",
        "compress.factorization",
        "quantize.gptq",
        "quantize.schemes.onnx_int8",
        "search.tries",
    )
    assert not {f"edgepack.{name}" for name in wanted} - modules


def test_a_logarithmic_range_and_an_even_one_are_two_studies(maker):
    other = with_dimension(maker, Dimension("smoothing", (), 0.1, 1.0, logarithmic=True))
    assert study_key(other, SearchWish()) != study_key(maker, SearchWish())


def test_other_code_of_a_device_in_any_language_is_another_study(maker, tmp_path, monkeypatch):
    from edgepack.core import code_graph

    before, shipped = study_key(maker, SearchWish()), code_graph.shipped
    targets = shutil.copytree(shipped("targets"), tmp_path / "targets", ignore=shutil.ignore_patterns("node_modules"))
    monkeypatch.setattr(code_graph, "shipped", lambda folder: targets)
    assert study_key(maker, SearchWish()) == before
    for file in ("javascript/decoder.mjs", "java/Scores.java"):
        content = (targets / file).read_bytes()
        (targets / file).write_bytes(content + b"\n")
        assert study_key(maker, SearchWish()) != before, file
        (targets / file).write_bytes(content)


def test_a_corpus_with_other_texts_is_another_study(maker, tmp_path):
    corpus = tmp_path / "corpus.txt"
    keys = set()
    for text in ("good\nbad\n", "good\nworse\n"):
        corpus.write_text(text)
        fresh = replace(maker, materials=materials_of(maker.space.base))
        fresh = with_dimension(fresh, Dimension("vocabulary", (None, str(corpus))))
        keys.add(study_key(fresh, SearchWish()))
    assert len(keys) == 2


def test_other_threads_and_other_bytes_of_the_data_are_other_studies(maker, monkeypatch):
    before = study_key(maker, SearchWish())
    monkeypatch.setenv("OMP_NUM_THREADS", str(int(os.environ.get("OMP_NUM_THREADS", "1")) + 1))
    assert study_key(maker, SearchWish()) != before
    monkeypatch.undo()
    whole = maker.materials.whole
    resaved = replace(maker, materials=replace(maker.materials, whole=replace(whole, data=replace(whole.data, sha256="0" * 64))))
    assert study_key(resaved, SearchWish()) != before


@pytest.mark.parametrize("name", [name for name, (value, _) in SETTINGS.items() if value is not None])
def test_each_setting_that_a_search_keeps_fixed_is_another_study(maker, tiny, name, tmp_path):
    stated = {"training": {}, "budget": {}, "columns": {}} | tiny.model_dump(exclude_unset=True)
    changed = Recipe.read(changed_setting(stated, name, tmp_path), "test")
    same = changed == tiny
    other = replace(maker, space=replace(maker.space, base=changed))
    assert (study_key(other, SearchWish()) == study_key(maker, SearchWish())) is same


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_other_bytes_of_the_model_are_another_study(maker, tiny, tmp_path, file):
    folder = shutil.copytree(tiny.model, tmp_path / "model")
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if file.endswith("safetensors") else b" " + content)
    whole = replace(maker.materials.whole, source=find_model(str(folder)))
    changed = replace(maker, materials=replace(maker.materials, whole=whole))
    assert study_key(changed, SearchWish()) != study_key(maker, SearchWish())


def test_another_device_budget_sampler_or_generation_is_another_study_and_more_trials_are_not(maker):
    profile = maker.profile.model_copy(update={"budget": maker.profile.budget.model_copy(update={"file_mb": 1.0})})
    keys = [study_key(maker, wish) for wish in (SearchWish(), SearchWish(sampler="random"), SearchWish(generation=3))]
    keys += [study_key(replace(maker, profile=other), SearchWish()) for other in (profile, load_profile("phone"))]
    assert len(set(keys)) == len(keys)
    assert study_key(maker, SearchWish(trials=99)) == keys[0]


def test_a_worker_takes_the_kernels_variables_of_its_search_and_no_others(monkeypatch):
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "1", "MKL_CBWR": "COMPATIBLE"})
    take_kernel_environment({"MKL_CBWR": "AVX2"})
    assert kernel_environment() == {"MKL_CBWR": "AVX2"}


def test_a_vocabulary_that_cannot_be_cut_is_said_and_refused_where_the_user_lists_it(maker, tmp_path, capsys):
    missing = with_dimension(maker, Dimension("vocabulary", (None, str(tmp_path / "none.txt"))))
    with pytest.raises(EdgepackError, match=r"none\.txt"):
        missing.usable(True)
    assert missing.usable().space.dimensions == () and "none.txt" in capsys.readouterr().err
