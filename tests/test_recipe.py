"""Sizes and fractions as people write them."""

import pytest

from edgepack.errors import EdgepackError
from edgepack.recipe import Recipe, parse_fraction, parse_student


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
