"""Heads are really cut out: the cut model computes what the masked one did, is smaller, and survives save and reload."""

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import CONFIGS, ENCODERS, HEADS, LAYERS, make_model

from edgepack.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint, save_checkpoint
from edgepack.model.surgery import count_params, cut_ffn, cut_heads, family_of_model, keep_layers, layer_shapes, layers_of
from edgepack.stages.context import StageContext
from edgepack.stages.importance import best, best_anywhere, gates, head_importance
from edgepack.stages.pruning import prune_heads
from edgepack.steps import PruneHeads

KEEP = st.lists(st.sets(st.integers(0, HEADS - 1)).map(sorted), min_size=LAYERS, max_size=LAYERS)


def batch(rows=3, tokens=11):
    ids = torch.randint(5, 300, (rows, tokens), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {family: make_model(tmp_path_factory.mktemp(family), family) for family in ENCODERS}


@settings(max_examples=15, deadline=None)
@given(keep=KEEP)
@pytest.mark.parametrize("family", ENCODERS)
def test_a_cut_model_computes_what_the_masked_one_does(models, family, keep):
    model = models[family]
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


@pytest.mark.parametrize("family", ENCODERS)
def test_cut_ffn_neurons_are_those_that_were_silenced(models, family):
    model = copy.deepcopy(models[family])
    keep = [range(0, 100), range(28, 128), range(5), range(64)]
    silent = copy.deepcopy(model)
    for layer, neurons in zip(layers_of(silent), keep, strict=True):
        out = layer.get_submodule(family_of_model(silent).ffn_out)
        with torch.no_grad():
            out.weight[:, [n for n in range(out.in_features) if n not in neurons]] = 0
    cut_ffn(model, keep)
    with torch.no_grad():
        assert torch.allclose(model(**batch()).logits, silent(**batch()).logits, atol=1e-5)


@pytest.mark.parametrize("family", [*ENCODERS, "llama"])
def test_a_pruned_checkpoint_is_a_plain_folder_that_loads_like_any_other(tmp_path, family):
    task = "text-generation" if family == "llama" else "text-classification"
    model = make_model(tmp_path / "whole", family, task)
    cut_heads(model, [[0, 1], [], [0, 1, 2, 3], [2, 3]] if family == "llama" else [[0, 2], [1], [0, 1, 2, 3], []])
    cut_ffn(model, [range(50), range(128), range(7), range(99)])
    save_checkpoint(model, tmp_path / "cut")
    assert {"config.json", "model.safetensors", "edgepack.json"} <= {path.name for path in (tmp_path / "cut").iterdir()}
    again = load_checkpoint(tmp_path / "cut")
    assert layer_shapes(again) == layer_shapes(model) and count_params(again) == count_params(model)
    with torch.no_grad():
        assert torch.equal(again(**batch()).logits, model(**batch()).logits)


def test_heads_that_share_a_key_are_not_torn_apart(tmp_path):
    with pytest.raises(EdgepackError, match="whole groups: 2 share"):
        cut_heads(make_model(tmp_path, "llama", "text-generation"), [[0], [0, 1], [2, 3], [0, 1]])


def test_fewer_layers_are_a_smaller_model_that_reloads(tmp_path):
    model = make_model(tmp_path / "whole")
    before = count_params(model)
    keep_layers(model, [0, 2])
    save_checkpoint(model, tmp_path / "cut")
    again = load_checkpoint(tmp_path / "cut")
    assert len(layers_of(again)) == 2 and count_params(again) < before
    with torch.no_grad():
        assert torch.equal(again(**batch()).logits, model(**batch()).logits)


@pytest.mark.parametrize("damage", ["more heads", "fewer heads", "unknown key"])
def test_a_list_that_does_not_fit_its_weights_is_refused(tmp_path, damage):
    save_checkpoint(make_model(tmp_path / "whole"), tmp_path / "cut")
    path = tmp_path / "cut" / "edgepack.json"
    kept = json.loads(path.read_text())
    change = {"more heads": {"heads": 9}, "fewer heads": {"heads": 2}, "unknown key": {"hedas": 2}}[damage]
    kept["layers"][1] |= change
    path.write_text(json.dumps(kept))
    with pytest.raises(EdgepackError, match="edgepack.json"):
        load_checkpoint(tmp_path / "cut")


def context_for(folder, data_folder, tmp_path):
    from edgepack.model.material import gather
    from edgepack.recipe import Recipe

    material = gather(Recipe(model=str(folder), data=str(data_folder)))
    return StageContext(material.task, material.rows("train"), material.train, [], material.labels, tmp_path, 0)


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
    kept = best_anywhere(importance, 2)
    assert {layer: set(range(HEADS)) - set(heads) for layer, heads in enumerate(kept) if len(heads) < HEADS} == {0: {1}, 2: {3}}


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
    kept = best_anywhere(importance, count, at_least=at_least)
    cut = [importance[i][h].item() for i, heads in enumerate(kept) for h in range(len(scores[i])) if h not in heads]
    spare = [importance[i][h].item() for i, heads in enumerate(kept) if len(heads) > at_least for h in heads]
    assert not cut or not spare or max(cut) <= min(spare)
    assert all(len(heads) >= at_least for heads in kept)


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8), st.sampled_from([0, 2, 4, 6, 8]))
def test_heads_that_share_a_key_stay_or_go_together(scores, count):
    kept = best(torch.tensor(scores), count, group=2)
    assert len(kept) == count and all((head ^ 1) in kept for head in kept)


def test_every_encoder_family_is_covered():
    assert {*ENCODERS, "llama"} == set(CONFIGS)
