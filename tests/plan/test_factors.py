"""What two smaller products cost in a plan, and where they would save nothing."""

import pytest
from small import make_data, make_model

from edgepack.core.errors import EdgepackError
from edgepack.model.source import find_model
from edgepack.pipeline.build import plan_build
from edgepack.plan.factors import factor_work, rank_step
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe

PROFILE = load_profile("raspberry-pi")


def recipe_of(folder, family="bert", task="text-classification", **more):
    make_model(folder / "model", family, task)
    data = make_data(folder / "data", {"train": 40, "dev": 4, "test": 4})
    return Recipe.read({"model": str(folder / "model"), "data": str(data), "student": "same", "prune_heads": 0.0} | more, "the test")


def shape_of(folder):
    return find_model(str(folder / "model"), False, False, None, None).shape("text-classification")


def test_the_cores_of_a_tensor_multiply_once_for_each_part(tmp_path):
    recipe = recipe_of(tmp_path, factorize=0.5)
    by_svd, by_tensor = (plan_build(recipe.model_copy(update={"factorize_by": kind}), PROFILE) for kind in ("svd", "tensor"))
    assert factor_work("tensor") == 2 and by_tensor.student.params == by_svd.student.params
    assert by_tensor.predictions.latency_ms > by_svd.predictions.latency_ms


@pytest.mark.parametrize(("family", "matrix"), [("llama", "128 x 64 no rank"), ("gpt2", "192 x 64 no rank"), ("phi3", "256 x 64 no rank")])
def test_a_decoder_is_factored_and_its_largest_matrix_is_the_one_in_its_file(tmp_path, family, matrix):
    """Query, key and value are one matrix in some families, and both ways into a gated FFN."""
    recipe = recipe_of(tmp_path, family, "text-generation", factorize=0.4)
    plan = plan_build(recipe, PROFILE)
    assert [step.verb for step in plan.steps][:2] == ["factorize", "distill"] and plan.student.factorized == 0.4
    assert plan.student.token_table == plan.teacher.token_table and plan.student.params < plan.teacher.params
    with pytest.raises(EdgepackError, match=matrix):
        plan_build(recipe.model_copy(update={"factorize": 0.97}), PROFILE)


def test_ranks_fill_blocks_where_a_decoders_matrix_leaves_a_choice():
    assert [rank_step(*size, decodes=True) for size in ((576, 576), (192, 576), (64, 576), (64, 64))] == [64, 32, 8, 8]
    assert rank_step(576, 576, decodes=False) == 8


def test_the_ways_into_a_bottleneck_stay_whole(tmp_path):
    make_model(tmp_path / "model", "mobilebert")
    shape = shape_of(tmp_path)
    layer = shape.layers[0]
    assert shape.ways_in_and_out > 0
    half = shape.model_copy(update={"factorized": 0.5})
    products = shape.linear_weights(layer) - shape.ways_in_and_out
    assert half.linear_weights(layer) == pytest.approx(products / 2 + shape.ways_in_and_out, abs=1)


def test_a_model_of_two_products_is_not_cut_again(tmp_path):
    recipe = recipe_of(tmp_path, prune_ffn=0.25)
    shape = shape_of(tmp_path).model_copy(update={"factorized": 0.4})
    with pytest.raises(EdgepackError, match="two smaller products already"):
        make_plan(PROFILE, recipe, shape)


def test_a_size_whose_shapes_all_miss_the_latency_says_so(shared):
    data = str(shared / "data" / "sst2")
    stated = {"model": str(shared / "models" / "minilm-l6-sst2"), "data": data, "student": "60%", "budget": {"latency_ms": 1.0}}
    (why,) = [step.why for step in plan_build(Recipe.read(stated, "the test"), PROFILE).steps if step.verb == "distill"]
    assert "Within the latency budget no shape of that size keeps half of what the best one does" in why


def test_what_is_trained_as_rounded_is_not_told_to_be_smoothed(tmp_path):
    recipe = recipe_of(tmp_path, student="2x64", format="tflite", precision="int8", training={"epochs": 1}, quantization_aware=True)
    plan = plan_build(recipe, load_profile("phone"))
    (export,) = [step for step in plan.steps if step.verb == "export"]
    assert not export.smoothing and "smoothed" not in export.why
