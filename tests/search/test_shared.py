"""Trials that are parts of a shared model."""

from dataclasses import replace

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.training_settings import Training
from edgepack.search.rungs import materials_of
from edgepack.search.search import search
from edgepack.search.shared import check_shared, part_recipe
from edgepack.search.space_file import Narrowed
from edgepack.search.wish import SearchWish


@pytest.mark.parametrize(("student", "keep"), [("same", None), (None, None), ("6x384", None), ("3x384", "0,2,4"), ("2x384", "0,3")])
def test_a_candidate_is_cut_as_the_network_was_trained_to_be_cut(student, keep):
    part = part_recipe(Recipe(model="m", data="d", student=student, prune_ffn=0.5, training=Training(epochs=5)), 6)
    assert (part.student, part.prune_layers, part.scope, part.training.epochs, part.prune_ffn) == ("same", keep, "layer", 0, 0.5)


def test_workers_and_a_shared_network_exclude_each_other(tiny):
    materials = materials_of(tiny)
    check_shared(materials, 1, None, {})
    for workers, cluster in ((2, None), (1, "auto")):
        with pytest.raises(EdgepackError, match="one process"):
            check_shared(materials, workers, cluster, {})


def test_students_of_another_width_than_the_shared_networks_are_refused(tiny):
    materials = materials_of(tiny)
    width = materials.whole.source.shape(materials.whole.task.name).hidden
    for student in ("50%", f"1x{width // 2}"):
        other = replace(materials, whole=replace(materials.whole, recipe=tiny.model_copy(update={"student": student})))
        with pytest.raises(EdgepackError, match=f"{width} wide"):
            check_shared(other, 1, None, {})
    part = replace(materials, whole=replace(materials.whole, recipe=tiny.model_copy(update={"student": f"1x{width}"})))
    check_shared(part, 1, None, {"student": Narrowed(layers=(1,))})
    for wish in (Narrowed(values=("50%",)), Narrowed(hidden=(width // 2,))):
        with pytest.raises(EdgepackError, match="other sizes"):
            check_shared(materials, 1, None, {"student": wish})


@pytest.mark.slow
def test_a_search_with_a_shared_network_leaves_packs_that_were_trained_alone(tiny, narrow, tmp_path):
    wish = SearchWish(trials=3, packs=1, space=narrow, shared_training=True)
    front = search(tiny, load_profile("raspberry-pi"), tmp_path / "out", wish, tmp_path / "cache")
    assert len(front.points) == 1 and front.cost.failed == 0
    assert str(tmp_path / "cache") not in (tmp_path / "out" / "1.toml").read_text(), "the pack does not depend on the network"
