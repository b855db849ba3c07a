"""Where workers live: as many as have room, training on GPUs where there are any, and the other trials beside them."""

import pytest
from shapes import MINILM

from edgepack.core.errors import EdgepackError
from edgepack.plan.recipe import Recipe
from edgepack.search.placement import Needs, Place, needs_of, places_of, trains

NEEDS = Needs(memory_mb=2000, gpu_mb=3000)


def node(name, cores, memory_gb, gpus=0, alive=True):
    return {"NodeID": name, "Alive": alive, "Resources": {"CPU": cores, "memory": memory_gb * 1e9, "GPU": gpus}}


@pytest.mark.parametrize(
    ("nodes", "cards", "expected"),
    [
        ([node("a", 2, 64), node("b", 2, 64)], {}, [Place("a", 0), Place("b", 0), Place("a", 0), Place("b", 0)]),
        ([node("a", 8, 4.5)], {}, [Place("a", 0)] * 2),  # memory for two
        ([node("a", 2, 64, 1), node("b", 8, 64)], {"a": 24_000}, [Place("a", 0.125)] * 2 + [Place("b", 0)] * 2),
        ([node("a", 4, 64, 1)], {"a": 8_000}, [Place("a", 0.375)] * 2 + [Place("a", 0)] * 2),
        ([node("a", 8, 64, 2)], {"a": 8_000}, [Place("a", 0.375)] * 4),
        ([node("a", 5, 64, 2)], {"a": 5_000}, [Place("a", 0.625)] * 2 + [Place("a", 0)] * 2),  # a share lies within one GPU
        ([node("a", 4, 64, 1)], {}, [Place("a", 1.0)] + [Place("a", 0)] * 3),  # nobody knows how large the card is
        ([node("a", 4, 64, 1, alive=False), node("b", 1, 64)], {}, [Place("b", 0)]),
    ],
)
def test_workers_live_where_there_is_room_and_gpus_come_first(nodes, cards, expected):
    assert places_of(nodes, NEEDS, 4, cards) == expected


def test_a_cluster_without_room_for_one_worker_is_refused_with_what_it_needs():
    with pytest.raises(EdgepackError, match=r"needs 1 core and 2\.0 GB of memory"):
        places_of([node("a", 4, 1)], NEEDS, 4, {})


def test_only_trials_that_train_need_a_gpu():
    same, smaller = Recipe(model="m", data="d", student="same"), Recipe(model="m", data="d", student="3x384")
    pruned = same.model_copy(update={"prune_ffn": 0.5})
    assert [trains(recipe) for recipe in (same, smaller, pruned)] == [False, True, True]
    assert not Place("a", 0.0).takes(smaller, has_gpus=True) and Place("a", 0.0).takes(same, has_gpus=True)
    assert Place("a", 0.0).takes(smaller, has_gpus=False) and Place("a", 0.5).takes(same, has_gpus=True)


def test_what_a_trial_needs_grows_with_the_model_and_the_batch():
    needs = needs_of(MINILM, 32)
    assert 2_000 < needs.memory_mb < 4_000 and needs_of(MINILM, 64).gpu_mb > needs.gpu_mb
