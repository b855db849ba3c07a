"""Sizes and fractions as people write them."""

from pathlib import Path

import pytest
from shapes import MINILM

from edgepack.core.errors import EdgepackError
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import Budget, Profile, load_profile
from edgepack.plan.recipe import Columns, Recipe, parse_fraction
from edgepack.plan.recipe_file import flag_of, profile_of, read_recipe
from edgepack.plan.setting import setting_fields
from edgepack.plan.student_size import parse_student
from edgepack.plan.training_settings import Training

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [("13M", "params", 13e6), ("13.5M", "params", 13.5e6), ("50%", "percent", 50), ("3x384", "layers", 3), ("3x384", "hidden", 384)],
)
def test_a_student_size_is_read(text, field, value):
    assert getattr(parse_student(text), field) == value


@pytest.mark.parametrize(("text", "rounding"), [("17M", 0.5e6), ("17.0M", 0.05e6)])
def test_a_size_is_as_exact_as_it_is_written(text, rounding):
    assert parse_student(text).rounding == rounding


@pytest.mark.parametrize("text", ["", "13", "13m", "M", "x384", "3x", "0%", "120%", "-5M", "3x384x2", "smal"])
def test_a_size_that_cannot_be_read_says_how_to_write_one(text):
    with pytest.raises(EdgepackError) as error:
        parse_student(text)
    assert "3x384" in error.value.fix or "percentage" in error.value.fix


@pytest.mark.parametrize(("text", "value"), [("25%", 0.25), ("0.25", 0.25), ("0", 0.0), ("0%", 0.0)])
def test_a_fraction_is_read(text, value):
    assert parse_fraction(text, "--prune-heads") == value


@pytest.mark.parametrize("text", ["100%", "1", "-5%", "a quarter", "nan%"])
def test_a_wrong_fraction_names_the_flag(text):
    with pytest.raises(EdgepackError, match="--prune-heads"):
        parse_fraction(text, "--prune-heads")


def test_a_recipe_refuses_what_it_does_not_know():
    with pytest.raises(EdgepackError) as error:
        Recipe.read({"model": "m", "studnt": "13M"}, "edgepack.toml")
    assert error.value.fix == "did you mean 'student'?"


@pytest.mark.parametrize(
    ("wrong", "says", "fix"),
    [
        (lambda: Recipe(prcision="int8"), "unknown key in Recipe: 'prcision'", "did you mean 'precision'?"),
        (lambda: Recipe(precision="int9"), "unknown value in Recipe precision: 'int9'", "did you mean 'int8'?"),
        (lambda: Recipe(prune_heads=1.5), "wrong value in Recipe prune_heads: 1.5", "less than 1"),
        (lambda: Recipe(epochs=3), "unknown key in Recipe: 'epochs'", "training=Training(epochs=...)"),
        (lambda: Training(epochs="3"), "wrong value in Training epochs: '3'", "give a valid integer"),
        (lambda: Budget(file_mb=-1), "wrong value in Budget file_mb: -1", "greater than 0"),
        (lambda: Columns(txt="a"), "unknown key in Columns: 'txt'", "did you mean 'text'?"),
        (lambda: Profile(name="mine"), "missing key in Profile: 'summary'", "summary"),
    ],
)
def test_a_wrong_record_in_python_is_answered_as_on_the_command_line(wrong, says, fix):
    with pytest.raises(EdgepackError) as error:
        wrong()
    assert says in error.value.problem and fix in error.value.fix
    assert error.value.__suppress_context__


@pytest.mark.parametrize("field", [field for field in setting_fields(Recipe) if field.annotation is float], ids=lambda field: field.flag)
def test_no_number_of_a_recipe_is_infinite(field):
    for number in (float("inf"), float("nan")):
        value = number
        for key in reversed(field.path):
            value = {key: value}
        with pytest.raises(EdgepackError, match=f"wrong value for {field.flag}: {number}\n  fix: give a finite number"):
            Recipe.read(value, "the command line", flag_of)


def test_a_share_is_read_in_python_and_in_a_file_as_on_the_command_line(tmp_path):
    path = recipe_file(tmp_path, 'prune_heads = "25%"\nprune_ffn = 0.25\n')
    assert Recipe(prune_heads="25%").prune_heads == read_recipe(path, {}).prune_heads == read_recipe(path, {}).prune_ffn == 0.25


def test_every_setting_explains_itself_and_has_a_flag_of_its_own():
    fields = list(setting_fields(Recipe))
    assert len({field.flag for field in fields}) == len(fields) > 40
    for field in fields:
        assert field.setting.help[0].isupper() and field.setting.help.endswith("."), field.path
        assert field.default_text is not None, f"{field.path}: nobody knows what happens without it"


def recipe_file(folder, text):
    path = folder / "edgepack.toml"
    path.write_text(text)
    return path


def test_a_recipe_file_is_read_and_flags_come_before_it(tmp_path):
    (tmp_path / "data").mkdir()
    path = recipe_file(tmp_path, 'data = "data"\nmodel = "org/name"\nprune_heads = "25%"\nseed = 3\n[budget]\nram_mb = 10\nfile_mb = 5\n')
    result = read_recipe(path, {"seed": 4, "task": None, "budget": {"file_mb": 7.0, "load_ms": None}, "training": {"epochs": None}})
    assert (result.seed, result.prune_heads, result.budget.file_mb, result.budget.ram_mb) == (4, 0.25, 7.0, 10)
    assert (result.data, result.model, result.training) == (str(tmp_path / "data"), "org/name", Training())


@pytest.mark.parametrize("key", ["model", "base", "data", "unlabelled", "vocabulary"])
def test_every_path_in_a_recipe_file_is_relative_to_it_and_one_on_the_command_line_is_not(tmp_path, key):
    (tmp_path / "texts.txt").write_text("turn on the light")
    path = recipe_file(tmp_path, f'{key} = "texts.txt"\n')
    assert getattr(read_recipe(path, {}), key) == str(tmp_path / "texts.txt")
    assert getattr(read_recipe(path, {key: "texts.txt"}), key) == "texts.txt"


@pytest.mark.parametrize("word", ["data", "all"])
def test_a_word_for_a_vocabulary_stays_that_word_beside_a_folder_of_its_name(tmp_path, word):
    (tmp_path / word).mkdir()
    recipe = read_recipe(recipe_file(tmp_path, f'data = "{word}"\nvocabulary = "{word}"\n'), {})
    assert (recipe.data, recipe.vocabulary) == (str(tmp_path / word), word)


@pytest.mark.parametrize(
    ("text", "says", "fix"),
    [
        ("sede = 3\n", "unknown key in edgepack.toml: 'sede'", "seed"),
        ("[budget]\nfile = 3\n", "edgepack.toml \\[budget\\]: 'file'", "file_mb"),
        ("seed = \n", "edgepack.toml is not TOML", "examples/edgepack.toml"),
        ('prune_ffn = "half"\n', "not a fraction: prune_ffn", "25%"),
        ('importance = "luck"\n', "unknown value in edgepack.toml importance", "choose one of"),
    ],
)
def test_a_wrong_recipe_file_is_named_with_its_key(tmp_path, text, says, fix):
    with pytest.raises(EdgepackError, match=says) as error:
        read_recipe(recipe_file(tmp_path, text), {})
    assert fix in error.value.fix


def test_a_recipe_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(EdgepackError, match="recipe file not found"):
        read_recipe(tmp_path / "edgepack.toml", {})


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_makes_a_plan(example):
    recipe = read_recipe(example, {"model": "m", "data": "d"})
    plan = make_plan(load_profile("raspberry-pi"), recipe, MINILM)
    assert plan.precision == "int8" and len(plan.steps) > 2


def test_a_recipe_file_may_name_its_profile(tmp_path):
    (tmp_path / "own.toml").write_text("")
    for text, name in (('profile = "raspberry-pi"', "raspberry-pi"), ('profile = "own.toml"', str(tmp_path / "own.toml")), ("", None)):
        (tmp_path / "recipe.toml").write_text(f'{text}\nstudent = "same"\n')
        assert profile_of(tmp_path / "recipe.toml") == name
        assert read_recipe(tmp_path / "recipe.toml", {}) == Recipe(student="same")
    (tmp_path / "recipe.toml").write_text("profile = 4")
    with pytest.raises(EdgepackError, match=r"recipe.toml profile"):
        profile_of(tmp_path / "recipe.toml")
