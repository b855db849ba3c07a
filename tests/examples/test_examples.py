"""Recipes and programs of examples/ run as they stand, on tiny models."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest
import warm_python
from small import make_data, make_model

from edgepack.plan.recipe import Recipe
from edgepack.plan.recipe_file import read_recipe

ROOT = Path(__file__).parent.parent.parent
RECIPES = sorted((ROOT / "examples").glob("*.toml"))
PROGRAMS = sorted((ROOT / "examples").glob("*.py"))


def run(*command: str | Path, folder: Path) -> str:
    more = {"PYTHONPATH": str(ROOT), "EDGEPACK_CACHE": str(folder / "cache"), "COLUMNS": "120"}
    done = warm_python.run(list(map(str, command)), folder, more)
    assert done.returncode in (0, 2), done.stdout + done.stderr  # 2: built, and over a budget
    return done.stdout


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    make_model(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_data(tmp_path_factory.mktemp("data"), {"train": 48, "dev": 24, "test": 24})


def test_there_are_three_recipes_and_three_programs():
    assert len(RECIPES) == len(PROGRAMS) == 3


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_short_and_is_read(recipe: Path):
    assert len(recipe.read_text().splitlines()) <= 20
    wanted = read_recipe(recipe, {})
    for key, value in tomllib.loads(recipe.read_text()).items():
        assert getattr(wanted, key) is not None, (key, value)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_planned_for_a_small_model(recipe: Path, model: Path, data: Path, tmp_path: Path):
    """As the recipe's own first line says, but for sizes that a tiny model does not have."""
    words = recipe.read_text().splitlines()[0].removeprefix("# ").split()
    flags = words[2:] if "--profile" in words else [*words[2:], "--profile", "raspberry-pi"]
    flags = [{"MODEL": str(model), "DATA": str(data)}.get(word, word) for word in flags]
    flags = [str(ROOT / word) if word.startswith("examples/") else word for word in flags]
    if "--out" in flags:
        at = flags.index("--out")
        del flags[at : at + 2]
    inputs = [] if str(model) in flags else [model, "--data", data]
    shown = run("-m", "edgepack", "plan", *inputs, *flags, "--student", "2x64", folder=tmp_path)
    assert "int8" in shown


@pytest.mark.slow
def test_the_programs_build_a_pack_compare_it_and_ask_it(model: Path, data: Path, tmp_path: Path):
    report = run(ROOT / "examples/build_and_read.py", model, data, "packs/a", "--quick", folder=tmp_path)
    assert "file_mb:" in report and "after export:" in report
    run("-m", "edgepack", "build", model, "--data", data, "--profile", "raspberry-pi", "--student", "same", "--prune-heads", "0",
        "--precision", "int8", "--measure", "off", "--out", "packs/b", folder=tmp_path)  # fmt: skip
    compared = run(ROOT / "examples/compare_packs.py", "packs/a", "packs/b", "--quick", folder=tmp_path)
    assert "b: int8" in compared and "latency_ms at" in compared
    answers = run(ROOT / "examples/ask_a_pack.py", "packs/a", "turn on the light", "play some music", folder=tmp_path)
    assert answers.count("'") >= 4 and "light_on" in answers


@pytest.mark.slow
def test_the_low_resource_study_writes_its_pages_and_goes_on_where_it_stopped(tmp_path: Path):
    make_model(tmp_path / "tagger", task="token-classification", labels=("O", "B-PER", "I-PER"))
    for language, name in (("swa", "anna"), ("hau", "musa")):
        (tmp_path / "data" / language).mkdir(parents=True)
        for split, count in (("train", 12), ("dev", 4), ("test", 6)):
            lines = [f"call O\n{name} B-PER\nplease O\n"] * count
            (tmp_path / "data" / language / f"{split}.txt").write_text("\n".join(lines))
    command = [ROOT / "examples/low-resource/study.py", tmp_path / "tagger", tmp_path / "data", "--work", "study", "--measure", "off"]
    zeros = ["30% of the weights zero", "50% of the weights zero"]
    shown = run(*command, "--minutes", "0.05", "--rows", "fp32", "student of half the layers", *zeros, folder=tmp_path)
    assert shown.count("F1") == 4
    page, table = (tmp_path / "study" / "study.html").read_text(), (tmp_path / "study" / "study.md").read_text()
    assert "| hau | swa |" in table and "50% of the weights zero" in page
    assert page.count("<figure") == 3 and "F1 by language, magnitude pruning before distillation" in page  # and bars of F1 and MB
    assert table.count("was not tried") == 2 and "before distillation, held" in table.replace("did not hold", "held")
    assert re.search(r"“student of half the layers” is \d+% smaller and lost", table)
    assert run(*command, "--rows", "fp32", folder=tmp_path).startswith("fp32: F1")
    assert run(*command, "--rows", "fp16", folder=tmp_path) == ""


def test_the_low_resource_study_has_every_row_of_its_design(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples/low-resource")
    study = importlib.import_module("study")
    make_model(tmp_path, task="token-classification", labels=("O", "B-PER", "I-PER"))
    rows = study.rows_of(str(tmp_path), 6.0)
    asked = [Recipe.read(stated, name) for name, stated in rows.items()]
    zeros = [(recipe.student, recipe.prune_weights) for recipe in asked if recipe.prune_weights]
    assert zeros == [(student, share) for student in ("same", "2x64") for share in (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)]
    assert {recipe.student for recipe in asked} == {"same", "2x64", "1x64"} and all(recipe.prune_heads == 0 for recipe in asked)
    assert {recipe.activations for recipe in asked} == {None, "static"} and {recipe.bits for recipe in asked} == {None, 3.5}
    assert sum(recipe.factorize is not None for recipe in asked) == 1


def test_energy_is_that_of_whole_packages_and_nothing_where_the_machine_tells_none(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples/low-resource")
    joules = importlib.import_module("energy").joules
    assert joules(tmp_path) is None
    counters = {"intel-rapl:0": ("package-0", 5_000_000), "intel-rapl:0:0": ("core", 3_000_000), "intel-rapl:1": ("package-1", 250_000),
                "intel-rapl:2": ("psys", 9_000_000), "intel-rapl-mmio:0": ("package-0", 5_000_000)}  # fmt: skip
    for place, (name, microjoules) in counters.items():
        (tmp_path / place).mkdir()
        (tmp_path / place / "name").write_text(f"{name}\n")
        (tmp_path / place / "energy_uj").write_text(f"{microjoules}\n")
    assert joules(tmp_path) == 5.25
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert joules(tmp_path) is None


@pytest.mark.slow
def test_the_study_of_a_decoder_builds_cuts_asks_with_examples_and_goes_on_where_it_stopped(tmp_path: Path):
    make_model(tmp_path / "decoder", "gpt2", task="text-generation")
    (tmp_path / "texts").mkdir()
    for split, count in (("train", 12), ("dev", 4), ("test", 4)):
        (tmp_path / "texts" / f"{split}.txt").write_text("\n".join(["call anna now", "turn on the light please"] * count))
    (tmp_path / "probe.tsv").write_text("".join(f"call anna\t{at % 2}\n" for at in range(20)))
    command = [ROOT / "examples/decoders/study.py", tmp_path / "decoder", tmp_path / "texts", "--probe", tmp_path / "probe.tsv"]
    more = ["--asked", "4", "--minutes", "0.02", "--measure", "off", "--work", "study", "--rows", "whole"]
    shown = run(*command, *more, "half of the layers, not trained", "half of the layers, distilled", folder=tmp_path)
    assert shown.count("| 0.50 | 0.50 | – |") == 3  # one text with both labels, and 96 positions
    table = (tmp_path / "study" / "study.md").read_text()
    assert "**half of the layers, distilled**" in table and table.count(" became ") >= 3
    assert run(*command, *more, folder=tmp_path).count("| whole |") == 1
