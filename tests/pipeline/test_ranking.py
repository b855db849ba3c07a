"""The importance of heads is found once for all shares that are cut of one model, and never for another model or by another measure."""

import pytest

from edgepack.compress import pruning
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.training_settings import Training

PI = load_profile("raspberry-pi")


@pytest.fixture
def rankings(monkeypatch):
    """The measures by which heads and neurons were ranked, one for each time that it was done."""
    done = []
    for name in ("head_importance", "neuron_importance"):
        rank = getattr(pruning, name)
        monkeypatch.setattr(
            pruning, name, lambda model, context, measure, rank=rank, name=name: (done.append(name), rank(model, context, measure))[1]
        )
    return done


@pytest.mark.slow
def test_heads_are_ranked_once_for_all_shares_of_one_model(teacher_folder, data_folder, tmp_path, rankings):
    def built(name, cache="cache", **settings):
        recipe = Recipe(
            model=str(teacher_folder), data=str(data_folder), student="same", precision="fp32", training=Training(epochs=0), **settings
        )
        build(recipe, PI, tmp_path / name, tmp_path / cache, None, name)
        return {file.name: file.sha256 for file in read_manifest(tmp_path / name).files}["model.onnx.data"]

    built("a", prune_heads=0.5, prune_ffn=0.25)
    assert not list((tmp_path / "cache/stages").glob("*/train.npz")), "nothing is trained, so no teacher is asked for soft targets"
    assert rankings == ["head_importance", "neuron_importance"]
    kept = built("b", prune_heads=0.25, prune_ffn=0.25)
    assert rankings[2:] == ["neuron_importance"], "the neurons are those of a model with more heads"
    assert kept == built("c", cache="other", prune_heads=0.25, prune_ffn=0.25), "what was kept cuts as what was just found"
    rankings.clear()
    built("d", prune_heads=0.25, importance="magnitude")
    built("e", prune_heads=0.25, seed=1)
    assert rankings == ["head_importance", "head_importance"], "another measure and another seed"
