"""Counts that cutting leaves: whole groups, whole blocks, the share asked for; wishes that cannot be are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import MINILM

from edgepack.core.errors import EdgepackError
from edgepack.plan.cuts import cut_shape, cut_widths, kept_heads, kept_neurons, parse_layers
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import LayerShape


@given(st.integers(1, 16), st.integers(1, 4), st.floats(0, 0.99))
def test_heads_go_in_whole_groups(groups, group, fraction):
    remaining = kept_heads(groups * group, fraction, group)
    assert remaining % group == 0 and abs(remaining - groups * group * (1 - fraction)) <= group / 2 + 1e-9


@given(st.integers(64, 4096), st.floats(0.01, 0.99))
def test_ffn_widths_are_whole_blocks(neurons, fraction):
    remaining = kept_neurons(neurons, fraction)
    assert 16 <= remaining <= neurons and (remaining % 16 == 0 or remaining == neurons)
    assert kept_neurons(neurons, 0) == neurons


@pytest.mark.parametrize(
    ("text", "keep", "count"),
    [("33%", (), 4), ("50%", (), 3), ("alternate", (0, 2, 4), 3), ("0,2,5", (0, 2, 5), 3), ("0%", (), 6)],
)
def test_layers_are_asked_for_in_three_ways(text, keep, count):
    wish = parse_layers(text, 6)
    assert (wish.keep, wish.count) == (keep, count)


@pytest.mark.parametrize("text", ["100%", "6", "2,1", "1,1", "half", "", "-1"])
def test_a_wish_for_layers_that_cannot_be_is_refused(text):
    with pytest.raises(EdgepackError) as error:
        parse_layers(text, 6)
    assert "--prune-layers" in error.value.problem and error.value.fix


def test_a_shape_is_cut_in_all_ways_at_once():
    recipe = Recipe(model="m", data="d", prune_ffn=0.5, prune_layers="0,1,3", drop_attention=1)
    shape = cut_shape(MINILM, recipe, 0.25)
    assert [(row.heads, row.ffn) for row in shape.layers] == [(9, 768), (9, 768), (0, 768)]


@given(st.integers(1, 12), st.integers(1, 8), st.integers(1, 4), st.floats(0, 0.99))
def test_anywhere_a_share_of_all_heads_goes_in_whole_groups(layers, groups, group, fraction):
    rows = (LayerShape(heads=groups * group, ffn=64),) * layers
    teacher = MINILM.model_copy(update={"layers": rows, "kv_groups": group})
    heads = [row.heads for row in cut_widths(teacher, fraction, 0, anywhere=True).layers]
    assert sum(heads) == kept_heads(layers * groups * group, fraction, group)
    assert all(count % group == 0 and 0 <= count <= groups * group for count in heads) and max(heads) - min(heads) <= group


def test_a_share_too_small_for_the_groups_of_a_layer_is_refused_or_cut_anywhere():
    teacher = MINILM.model_copy(update={"layers": (LayerShape(heads=4, ffn=64),) * 4, "kv_groups": 2})
    with pytest.raises(EdgepackError, match="cuts no head"):
        cut_shape(teacher, Recipe(model="m", prune_heads=0.2, scope="layer"), 0.2)
    assert sum(row.heads for row in cut_shape(teacher, Recipe(model="m", prune_heads=0.2), 0.2).layers) == 12


def test_more_attention_than_there_is_cannot_be_dropped():
    with pytest.raises(EdgepackError, match="--drop-attention 7 is not possible with 6"):
        cut_shape(MINILM, Recipe(model="m", drop_attention=7), 0)


def test_what_a_family_cannot_lose_is_refused_before_work():
    layers = (LayerShape(heads=4, ffn=64),) * 4
    albert, modernbert = (MINILM.model_copy(update={"model_type": name, "layers": layers}) for name in ("albert", "modernbert"))
    with pytest.raises(EdgepackError, match="share their weights"):
        cut_shape(albert, Recipe(model="m", drop_attention=1), 0)
    assert [row.heads for row in cut_shape(albert, Recipe(model="m", drop_attention=4), 0).layers] == [0] * 4
    with pytest.raises(EdgepackError, match="leaves out layer 0"):
        cut_shape(modernbert, Recipe(model="m", prune_layers="1,2"), 0)
