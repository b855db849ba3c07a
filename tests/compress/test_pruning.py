"""Heads are really cut out: the cut model computes what the masked one did, is smaller, and survives save and reload."""

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models_shared import batch, context_for, fitted
from small import CONFIGS, DECODERS, FAMILY_TASKS, HEADS, LAYERS, make_model

from edgepack.compress.importance import best, best_anywhere, gates, head_importance
from edgepack.compress.pruning import prune_heads
from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint, save_checkpoint
from edgepack.model.dropped_attention import drop_attention
from edgepack.model.structure import by_ffn, count_params, ffns_of, inputs_of, layer_shapes, layers_of
from edgepack.model.surgery import cut_ffn, cut_heads, keep_layers
from edgepack.plan.steps import PruneHeads

KEEP = st.lists(st.sets(st.integers(0, HEADS - 1)).map(sorted), min_size=LAYERS, max_size=LAYERS)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {family: make_model(tmp_path_factory.mktemp(family), family, task) for family, task in FAMILY_TASKS}


@settings(max_examples=10)
@given(keep=KEEP)
@pytest.mark.parametrize("family", CONFIGS)
def test_a_cut_model_computes_what_the_masked_one_does(models, family, keep):
    model = models[family]
    keep = fitted(model, keep)
    with torch.no_grad(), gates(model, 3, "heads") as opened:
        for gate, heads in zip(opened, keep, strict=True):
            gate[:] = 0
            gate[:, heads] = 1
        masked = model(**batch()).logits
    cut = copy.deepcopy(model)
    cut_heads(cut, keep)
    with torch.no_grad():
        assert torch.allclose(cut(**batch()).logits, masked, atol=1e-5)
    assert [shape.heads for shape in layer_shapes(cut)] == [len(heads) for heads in keep]


@settings(max_examples=5)
@given(seed=st.integers(0, 10**6), widths=st.lists(st.integers(1, 128), min_size=LAYERS, max_size=LAYERS))
@pytest.mark.parametrize("family", CONFIGS)
def test_a_model_without_neurons_computes_what_it_did_with_them_silenced(models, family, seed, widths):
    model = models[family]
    draw = torch.Generator().manual_seed(seed)
    keep = [torch.randperm(128, generator=draw)[:width].sort().values.tolist() for width in by_ffn(model, widths[: len(layers_of(model))])]
    with torch.no_grad(), gates(model, 3, "ffn") as opened:
        for gate, neurons in zip(opened, keep, strict=True):
            gate[:] = 0
            gate[:, neurons] = 1
        silenced = model(**batch()).logits
    cut = copy.deepcopy(model)
    cut_ffn(cut, keep)
    with torch.no_grad():
        assert torch.allclose(cut(**batch()).logits, silenced, atol=1e-5)
    assert count_params(cut) < count_params(model) or all(len(neurons) == 128 for neurons in keep)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_pruned_checkpoint_is_a_plain_folder_that_loads_like_any_other(tmp_path, models, family):
    model = copy.deepcopy(models[family])
    cut_heads(model, fitted(model, [[0, 2], [1], [0, 1, 2, 3], []]))
    cut_ffn(model, [range(width) for width in by_ffn(model, [50, 128, 7, 99][: len(layers_of(model))])])
    save_checkpoint(model, tmp_path / "cut")
    assert {"config.json", "model.safetensors", "edgepack.json"} <= {path.name for path in (tmp_path / "cut").iterdir()}
    again = load_checkpoint(tmp_path / "cut")
    assert layer_shapes(again) == layer_shapes(model) and count_params(again) == count_params(model)
    with torch.no_grad():
        assert torch.equal(again(**batch()).logits, model(**batch()).logits)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_model_without_some_layers_and_some_attention_reloads(tmp_path, models, family):
    model = copy.deepcopy(models[family])
    before = count_params(model)
    keep_layers(model, [0, 2, 3])
    drop_attention(model, [2])
    save_checkpoint(model, tmp_path / "cut")
    again = load_checkpoint(tmp_path / "cut")
    assert count_params(again) == count_params(model) < before
    assert layer_shapes(again)[-1].heads == 0
    with torch.no_grad():
        assert torch.equal(again(**batch()).logits, model(**batch()).logits)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_layer_without_attention_computes_what_it_did_with_its_heads_silenced(models, family):
    model = models[family]
    last = len(layers_of(model)) - 1
    with torch.no_grad(), gates(model, 3, "heads") as opened:
        opened[last][:] = 0
        silenced = model(**batch()).logits
    cut = copy.deepcopy(model)
    drop_attention(cut, [last])
    with torch.no_grad():
        assert torch.allclose(cut(**batch()).logits, silenced, atol=1e-5)


def test_layers_that_share_their_weights_are_pruned_once(models):
    model = copy.deepcopy(models["albert"])
    assert len(layers_of(model)) == 1 == len(ffns_of(model))
    keep_layers(model, [0, 1])
    assert model.config.num_hidden_layers == 2 and count_params(model) == count_params(models["albert"])


def test_every_ffn_of_a_layer_is_cut(models):
    model = copy.deepcopy(models["mobilebert"])
    assert len(ffns_of(model)) == 3 * LAYERS
    cut_ffn(model, [range(10)] * 3 * LAYERS)
    assert all(inputs_of(owner.output.dense) == 10 for owner in ffns_of(model))


def test_a_first_layer_that_is_unlike_the_others_stays(models):
    with pytest.raises(EdgepackError, match="leave out the first"):
        keep_layers(copy.deepcopy(models["modernbert"]), [1, 2])


@pytest.mark.parametrize("family", [name for name in DECODERS if name != "gpt2"])
def test_heads_that_share_a_key_are_not_torn_apart(models, family):
    with pytest.raises(EdgepackError, match="whole groups: 2 share"):
        cut_heads(copy.deepcopy(models[family]), [[0], [0, 1], [2, 3], [0, 1]])


@pytest.mark.parametrize("damage", ["more heads", "fewer heads", "unknown key", "fewer sources"])
def test_a_list_that_does_not_fit_its_weights_is_refused(tmp_path, damage):
    save_checkpoint(make_model(tmp_path / "whole"), tmp_path / "cut")
    path = tmp_path / "cut" / "edgepack.json"
    remaining = json.loads(path.read_text())
    change = {"more heads": {"heads": 9}, "fewer heads": {"heads": 2}, "unknown key": {"hedas": 2}}.get(damage, {})
    remaining["layers"][1] |= change
    remaining["sources"] = [0, 2] if damage == "fewer sources" else []
    path.write_text(json.dumps(remaining))
    with pytest.raises(EdgepackError, match="edgepack.json"):
        load_checkpoint(tmp_path / "cut")


def test_a_head_whose_output_is_thrown_away_is_the_least_important(teacher_folder, data_folder, tmp_path):
    model = load_checkpoint(teacher_folder)
    useless = {0: 1, 2: 3}
    for layer, head in useless.items():
        out = layers_of(model)[layer].get_submodule("attention.output.dense")
        with torch.no_grad():
            out.weight[:, head * 16 : (head + 1) * 16] = 0
    importance = head_importance(model, context_for(teacher_folder, data_folder, tmp_path), "gradient")
    for layer, head in useless.items():
        assert importance[layer][head] == 0
        assert importance[layer].norm() == pytest.approx(1)
    remaining = best_anywhere(importance, 2)
    assert {layer: set(range(HEADS)) - set(heads) for layer, heads in enumerate(remaining) if len(heads) < HEADS} == {0: {1}, 2: {3}}


@pytest.mark.parametrize(("scope", "fraction"), [("layer", 0.25), ("layer", 0.5), ("model", 0.25), ("model", 0.9)])
def test_the_asked_share_of_heads_is_cut(teacher_folder, data_folder, tmp_path, scope, fraction):
    model = load_checkpoint(teacher_folder)
    step = PruneHeads(fraction=fraction, scope=scope, why="test")
    heads = [shape.heads for shape in layer_shapes(prune_heads(model, step, context_for(teacher_folder, data_folder, tmp_path)))]
    assert sum(heads) == LAYERS * HEADS - round(LAYERS * HEADS * fraction)
    assert scope == "model" or len(set(heads)) == 1


SCORES = st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=8), min_size=1, max_size=5)


@given(SCORES, st.integers(0, 40), st.integers(0, 1))
def test_no_kept_head_is_less_important_than_a_cut_one(scores, count, at_least):
    importance = [torch.tensor(row) for row in scores]
    remaining = best_anywhere(importance, count, at_least=at_least)
    cut = [importance[i][h].item() for i, heads in enumerate(remaining) for h in range(len(scores[i])) if h not in heads]
    spare = [importance[i][h].item() for i, heads in enumerate(remaining) if len(heads) > at_least for h in heads]
    assert not cut or not spare or max(cut) <= min(spare)
    assert all(len(heads) >= at_least for heads in remaining)


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8), st.sampled_from([0, 2, 4, 6, 8]))
def test_heads_that_share_a_key_stay_or_go_together(scores, count):
    remaining = best(torch.tensor(scores), count, group=2)
    assert len(remaining) == count and all((head ^ 1) in remaining for head in remaining)
