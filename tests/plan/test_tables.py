"""A table of tokens' vectors has no layers: what is for layers is refused by name, and a plan makes it smaller by other means."""

import pytest
from shapes import POTION

from edgepack.core.errors import EdgepackError
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.cost_model import predict
from edgepack.plan.explain import alternatives
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import Budget, load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Export, Quantize
from edgepack.plan.tables import OF_LAYERS
from edgepack.search.space import space_of

PI, PHONE = load_profile("raspberry-pi"), load_profile("phone")
WISHES = {
    "student": "2x64",
    "prune_heads": 0.25,
    "prune_ffn": 0.25,
    "prune_layers": "33%",
    "drop_attention": 1,
    "prune_weights": 0.5,
    "factorize": 0.5,
    "smoothing": 0.5,
    "sensitive": 2,
    "activations": "static",
    "quantization_aware": True,
    "weights": "binary",
}


def plan(profile=PI, **settings):
    return make_plan(profile, Recipe.read({"model": "m", "data": "d"} | settings, "a test"), POTION)


def test_every_setting_of_layers_is_tried_here():
    assert set(WISHES) == set(OF_LAYERS)


@pytest.mark.parametrize("name", WISHES)
def test_a_setting_that_is_for_layers_is_refused_by_its_flag_with_the_way_out(name):
    with pytest.raises(EdgepackError, match=f"--{name.replace('_', '-')}: the model is a static-embedding") as refused:
        plan(**{name: WISHES[name]})
    assert "--embedding-bits 4" in refused.value.fix


def test_the_planner_never_prunes_or_distils_a_table():
    for file_mb in (40, 20, 9, 5, 3):
        steps = plan(budget={"file_mb": file_mb}).steps
        assert {type(step).__name__ for step in steps} <= {"Export", "Quantize", "CutVocabulary"}, file_mb


def test_a_smaller_budget_takes_a_narrower_precision():
    assert [step.precision for step in plan(budget={"file_mb": 9}).steps if isinstance(step, Quantize)] == ["int8"]
    assert [type(step) for step in plan(budget={"file_mb": 40}).steps] == [Export]


def test_a_budget_that_nothing_meets_names_what_makes_a_table_smaller():
    with pytest.raises(EdgepackError) as refused:
        plan(budget={"file_mb": 0.1})
    assert "--vocabulary data" in refused.value.fix and "distilled" not in refused.value.fix


def test_fewer_dimensions_are_fewer_columns_of_the_table():
    whole, cut = plan(budget={"file_mb": 40}), plan(budget={"file_mb": 40}, dimensions=64)
    assert cut.predictions.params * 4 == whole.predictions.params
    assert cut.teacher.hidden == 256 and cut.student.hidden == 64


def test_a_table_whose_columns_something_reads_keeps_them_all():
    shape = POTION.model_copy(update={"cut_by_dimensions": False})
    recipe = Recipe(model="m", dimensions=64, budget=Budget(file_mb=40))
    assert make_plan(PI, recipe, shape).predictions.params == POTION.params


def test_alternatives_are_of_what_a_table_has():
    recipe = Recipe(model="m", data="d")
    rows = alternatives(plan(), PI, recipe)
    assert rows and all(row.refusal is None for row in rows), [row.refusal for row in rows]
    assert not any("layer" in row.change or "head" in row.change for row in rows)


def test_a_search_varies_what_a_table_has():
    keys = {each.key for each in space_of(Recipe(model="m", data="d"), PI, POTION, {}).dimensions}
    assert keys and not keys & {"prune_heads", "prune_ffn", "smoothing", "student.layers", "student.hidden", "student"}


@pytest.mark.parametrize("profile", [PI, PHONE], ids=["onnx", "tflite"])
def test_a_prediction_of_a_table_is_no_zero_and_says_that_nobody_has_compared_it(profile):
    runtime = plan(profile).runtime
    prediction = predict(POTION, "fp32", profile, runtime, 128)
    assert prediction.latency_ms > 0 and prediction.mean_error is None
    assert prediction.params == 29528 * 256


def test_a_table_is_known_by_its_name_and_listed_with_no_transformer():
    assert "static-embedding" in FAMILIES and "static-embedding" not in list(FAMILIES)
