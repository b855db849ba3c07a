"""One small search that several tests look at: a tiny model, its pages and packs."""

import pytest
from small import make_data, make_model

from edgepack.plan.profile import Budget, load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.training_settings import Training
from edgepack.search.search import search
from edgepack.search.wish import SearchWish

ROWS = {"train": 96, "dev": 24, "test": 24}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A recipe of a tiny model and a few rows, with loose budgets."""
    folder = tmp_path_factory.mktemp("search")
    make_model(folder / "model")
    data = make_data(folder / "data", ROWS)
    return Recipe(
        model=str(folder / "model"),
        data=str(data),
        training=Training(epochs=1),
        budget=Budget(score_drop=100.0),
        student="same",
        vocabulary=None,
    )


@pytest.fixture(scope="session")
def narrow(tmp_path_factory):
    """A space that needs little training."""
    path = tmp_path_factory.mktemp("space") / "space.toml"
    path.write_text(
        'vocabulary = false\nprune_heads = false\nprune_ffn = [0.0, 0.5]\nprecision = ["fp32", "fp16", "int8"]\nembedding_bits = false\n'
    )
    return path


@pytest.fixture(scope="session")
def searched(tiny, narrow, tmp_path_factory):
    """The front of a small search, its folder and its cache."""
    folder = tmp_path_factory.mktemp("front")
    wish = SearchWish(trials=4, packs=2, space=narrow, pick="knee")
    front = search(tiny, load_profile("raspberry-pi"), folder / "front", wish, folder / "cache")
    return front, folder / "front", folder / "cache"
