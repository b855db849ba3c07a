"""The space of a search: what varies follows from Recipe's own fields, and a TOML file narrows it."""

from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import MINILM

from edgepack.core.errors import EdgepackError
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import Budget, load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.recipe_file import profile_of, read_recipe
from edgepack.plan.setting import setting_fields
from edgepack.search.recipe_text import recipe_toml
from edgepack.search.space import HIDDEN, LAYERS, space_of
from edgepack.search.space_file import Narrowed, read_space

PI = load_profile("raspberry-pi")
OPEN = Recipe(model="m", data="d")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def space(recipe=OPEN, **narrowed):
    return space_of(recipe, PI, MINILM, narrowed)


def keys(found):
    return [dimension.key for dimension in found.dimensions]


def drawn(found, seed):
    return found.suggested(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask())


def test_what_the_user_leaves_open_varies():
    assert {LAYERS, HIDDEN, "prune_heads", "prune_ffn", "precision", "embedding_bits", "vocabulary"} <= set(keys(space()))


def test_what_the_user_fixes_does_not_vary():
    found = space(Recipe(model="m", data="d", student="3x384", precision="int8"))
    assert not {LAYERS, HIDDEN, "precision"} & set(keys(found))
    assert found.recipe(drawn(found, 0)).student == "3x384"


def test_a_profile_decides_which_precisions_are_tried():
    precision = next(dimension for dimension in space().dimensions if dimension.key == "precision")
    assert set(precision.values) == {"fp32", "fp16", "int8"}, "int4 is for decoders"


def test_widths_are_multiples_of_a_kernels_block():
    assert all(width % 32 == 0 for dimension in space().dimensions if dimension.key == HIDDEN for width in dimension.values)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**31 - 1))
def test_every_candidate_is_a_recipe_that_can_be_planned_or_is_refused_in_words(seed):
    found = space()
    recipe = found.recipe(drawn(found, seed))
    try:
        plan = make_plan(PI, recipe, MINILM)
    except EdgepackError as error:
        assert error.problem and error.fix
    else:
        assert plan.student.hidden % 32 == 0
        assert recipe.precision in (None, plan.precision)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**31 - 1))
def test_a_candidates_file_reads_as_the_same_recipe(seed, tmp_path_factory):
    recipe = space().recipe(drawn(space(), seed))
    path = tmp_path_factory.mktemp("recipe") / "7.toml"
    path.write_text(recipe_toml(recipe.as_json(), "raspberry-pi", path.parent, "A pack."))
    assert read_recipe(path, {}) == recipe and profile_of(path) == "raspberry-pi"


def test_a_written_recipe_leads_to_the_same_files_from_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data", "packs"):
        (tmp_path / name).mkdir()
    (tmp_path / "texts.txt").write_text("turn on the light")
    for vocabulary, read in (("texts.txt", "packs/../texts.txt"), (str(tmp_path / "texts.txt"),) * 2, ("data", "data"), ("all", "all")):
        recipe = Recipe(model="texts.txt", data="data", unlabelled="texts.txt", vocabulary=vocabulary)
        (tmp_path / "packs" / "7.toml").write_text(recipe_toml(recipe.as_json(), "raspberry-pi", Path("packs"), "A pack."))
        again = read_recipe(Path("packs/7.toml"), {})
        assert (again.data, again.unlabelled, again.vocabulary) == ("packs/../data", "packs/../texts.txt", read)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31 - 1))
def test_snapping_a_candidate_of_the_space_changes_nothing(seed):
    found = space()
    settings = drawn(found, seed)
    assert found.snapped(settings) == settings


def test_an_idle_setting_is_not_drawn():
    found = space(precision=Narrowed(values=("fp32",)))
    assert all("embedding_bits" not in drawn(found, seed) for seed in range(8)), "fp32 has no embeddings of fewer bits"


def test_a_file_narrows_what_varies(tmp_path):
    (tmp_path / "space.toml").write_text(
        'precision = ["int8"]\nvocabulary = false\nstudent = { layers = [2, 3], hidden = [384] }\n'
        "prune_ffn = { low = 0.0, high = 0.5, step = 0.25 }\n[training]\nlearning_rate = { low = 1e-5, high = 1e-3, logarithmic = true }\n"
    )
    found = space_of(OPEN, PI, MINILM, read_space(tmp_path / "space.toml"))
    for seed in range(20):
        recipe = found.recipe(drawn(found, seed))
        assert recipe.precision == "int8" and recipe.vocabulary is None
        assert recipe.student in ("2x384", "3x384") and recipe.prune_ffn in (0.0, 0.25, 0.5)
        assert 1e-5 <= recipe.training.learning_rate <= 1e-3


@pytest.mark.parametrize(
    ("text", "problem", "fix"),
    [
        ("precision = []", "precision lists no value", "at least one"),
        ('precisoin = ["int8"]', "unknown key", "did you mean 'precision'"),
        ('precision = ["int9"]', "int9", "int8"),
        ("prune_ffn = [1.5]", "prune_ffn", "less than 1"),
        ("prune_ffn = { low = 0.5, high = 0.1 }", "no range", "larger high"),
        ("prune_ffn = { low = 0.0, high = 0.5, stp = 0.1 }", "stp", "step"),
        ("prune_ffn = 0.5", "no list", "list of values"),
        ('data = ["d"]', "does not vary", "--data"),
        ("smoothing = { low = 0.0, high = 1.0, logarithmic = true }", "logarithmic", "logarithmic out"),
        ("smoothing = { low = 0.1, high = 1.0, step = 0.1, logarithmic = true }", "no steps", "logarithmic out"),
        ("iterations = { low = 1, high = 4 }", "no fractions", "whole low"),
        ("iterations = { low = 1, high = 1000000000000, step = 1 }", "more than 1000 values", "larger step"),
        ('smoothing = { low = 0.1, high = 1.0, logarithmic = "no" }', "logarithmic = 'no'", "true or false"),
        ("embedding_bits = { low = 4, high = 8 }", "no fractions", "list its values"),
        ("student = { layers = [] }", "lists no value", "at least one"),
    ],
)
def test_a_wrong_file_is_refused_by_its_key(tmp_path, text, problem, fix):
    (tmp_path / "space.toml").write_text(text)
    with pytest.raises(EdgepackError) as error:
        read_space(tmp_path / "space.toml")
    assert problem in error.value.problem and fix in error.value.fix, error.value


def test_a_range_of_whole_numbers_draws_whole_numbers_and_a_logarithmic_one_has_no_steps(tmp_path):
    (tmp_path / "space.toml").write_text(
        "iterations = { low = 1, high = 4, step = 1 }\nsmoothing = { low = 0.1, high = 1.0, logarithmic = true }\n"
    )
    found = {each.key: each for each in space_of(OPEN, PI, MINILM, read_space(tmp_path / "space.toml")).dimensions}
    assert found["iterations"].values == (1, 2, 3, 4) and found["smoothing"].step is None


def test_a_width_that_no_student_has_is_refused(tmp_path):
    (tmp_path / "space.toml").write_text("student = { hidden = [300] }")
    with pytest.raises(EdgepackError, match="300"):
        space_of(OPEN, PI, MINILM, read_space(tmp_path / "space.toml"))


def test_a_space_where_everything_is_fixed_is_refused():
    narrowed = {".".join(field.path): False for field in setting_fields(Recipe) if field.setting.searched}
    with pytest.raises(EdgepackError, match="empty"):
        space_of(OPEN, PI, MINILM, narrowed)


def test_budgets_do_not_take_values_out_of_the_space():
    tight = OPEN.model_copy(update={"budget": Budget(file_mb=1.0)})
    assert keys(space(tight)) == keys(space())
