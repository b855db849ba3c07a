"""A plan says what a cut really takes where whole groups go, and in which precision a small head stays."""

import pytest

from edgepack.plan.plan import make_plan
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import read_shape

LLAMA = {
    "model_type": "llama", "hidden_size": 576, "num_hidden_layers": 4, "num_attention_heads": 9, "num_key_value_heads": 3,
    "intermediate_size": 1536, "vocab_size": 4000, "max_position_embeddings": 512,
}  # fmt: skip
BERT = {
    "model_type": "bert", "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512,
    "vocab_size": 4000, "max_position_embeddings": 128, "type_vocab_size": 2,
}  # fmt: skip


def why(config, task, verb, **settings):
    recipe = Recipe(model="model", student="same", data="data", **settings)
    plan = make_plan(load_profile("raspberry-pi"), recipe, read_shape(config, task, None, "config.json"))
    return next(step.why for step in plan.steps if step.verb == verb)


def test_grouped_heads_go_in_whole_groups_and_the_plan_says_so():
    text = why(LLAMA, "text-generation", "prune_heads", prune_heads=0.25, scope="layer", precision="fp32")
    assert "33% of the heads, which go in groups of 3, are cut, where 25% was asked for." in text
    assert "was asked for" not in why(LLAMA, "text-generation", "prune_heads", prune_heads=0.3333, scope="layer", precision="fp32")


@pytest.mark.parametrize(("labels", "stays"), [(2, True), (8, False)])
def test_a_head_that_stays_in_fp32_is_stated(labels, stays):
    config = BERT | {"id2label": {str(at): f"label {at}" for at in range(labels)}}
    text = why(config, "text-classification", "quantize", prune_heads=0.0, precision="int8")
    assert ("The head stays in fp32: it has fewer than 1,024 weights." in text) is stays
