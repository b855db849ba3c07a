"""What `plan --explain` shows: neighbours of the plan, each with one thing changed."""

import json

import pytest
from command_line import edgepack_here
from shapes import GEMMA, MINILM

from edgepack.plan.explain import alternatives
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe

PI = load_profile("raspberry-pi")


def neighbours(recipe, teacher=MINILM):
    plan = make_plan(PI, recipe, teacher)
    return plan, {row.flags: row for row in alternatives(plan, PI, recipe)}


def test_a_wider_precision_is_shown_with_the_budget_that_it_breaks():
    plan, rows = neighbours(Recipe(model="m", data="d"))
    assert plan.precision == "int8"
    wider = next(row for flags, row in rows.items() if flags.startswith("--precision fp32"))
    assert {"file_mb"} <= {budget.name for budget in wider.broken}
    assert wider.student == plan.student.name(), "one thing is changed at a time"


def test_a_layer_more_and_a_layer_less_are_shown():
    plan, rows = neighbours(Recipe.read({"model": "m", "data": "d", "budget": {"latency_ms": 12.0}}, "the test"))
    deeper = next(row for row in rows.values() if row.change.startswith("a layer more"))
    flatter = next(row for row in rows.values() if row.change.startswith("a layer less"))
    assert flatter.prediction.latency_ms < plan.predictions.latency_ms < deeper.prediction.latency_ms


@pytest.mark.parametrize(("fixed", "flag"), [({"precision": "int8"}, "--precision"), ({"student": "3x384"}, "--student")])
def test_what_the_user_has_fixed_has_no_alternative(fixed, flag):
    _, rows = neighbours(Recipe(model="m", data="d", **fixed))
    assert rows and not any(name.startswith(flag) for name in rows)


@pytest.mark.parametrize(
    ("device", "wish"),
    [
        ("phone-entry", {"budget": {"file_mb": 7.0}}),
        ("phone-entry", {"budget": {"file_mb": 4.5}}),
        ("raspberry-pi", {"budget": {"file_mb": 20.0, "load_ms": 450.0}}),
        ("raspberry-pi", {"budget": {"latency_ms": 5.0}}),
        ("raspberry-pi", {"data": None, "budget": {"latency_ms": 200.0}}),
    ],
    ids=str,
)
def test_the_flags_of_a_row_give_the_rows_figures(device, wish):
    profile, stated = load_profile(device), {"model": "m", "data": "d"} | wish
    plan = make_plan(profile, Recipe.read(stated, "test"), MINILM)
    rows = [row for row in alternatives(plan, profile, Recipe.read(stated, "test")) if not row.refusal]
    for row in rows:
        words = row.flags.split()
        given = {name.removeprefix("--").replace("-", "_"): as_setting(value) for name, value in zip(words[::2], words[1::2], strict=True)}
        then = make_plan(profile, Recipe.read(stated | given, "test"), MINILM)
        assert (then.student.name(), then.precision, then.predictions) == (row.student, row.precision, row.prediction), row.flags
    assert rows


def as_setting(text):
    return float(text[:-1]) / 100 if text.endswith("%") else int(text) if text.isdigit() else text


def test_without_data_no_student_is_shown():
    _, rows = neighbours(Recipe(model="m", precision="int8", student="same"))
    assert not any("--student" in flags or "--vocabulary" in flags for flags in rows)


def test_no_width_is_shown_that_no_student_can_have():
    _, rows = neighbours(Recipe(model="m", data="d", precision="int4", budget={"file_mb": 500.0}), GEMMA)
    assert "--student 17x640" in rows and not any("head size" in row.verdict for row in rows.values())


def test_without_epochs_no_student_is_shown():
    _, rows = neighbours(Recipe(model="m", data="d", precision="int8", training={"epochs": 0}))
    assert rows and not any("--student" in flags for flags in rows)


def test_the_command_prints_them(tmp_path):
    from small import make_data, make_model

    make_model(tmp_path / "model")
    make_data(tmp_path / "data", {"train": 8, "dev": 4, "test": 4})
    asked = ["plan", tmp_path / "model", "--data", tmp_path / "data", "--profile", "raspberry-pi", "--explain"]
    done = edgepack_here(*asked)
    assert done.returncode == 0 and "nearest alternatives" in done.stdout, done.stderr
    assert json.loads(edgepack_here(*asked, "--json").stdout)["alternatives"]
