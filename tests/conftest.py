"""Fixtures that several test files share. No test reaches a network."""

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has cores of its own: torch's threads wait for each other by spinning
    number, workers = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[number::workers] or os.sched_getaffinity(0))

import numpy as np
import pytest
import torch
from boards import running
from jvm import compiled
from small import INTENTS, make_data, make_model

from edgepack.measure.machines.targets import find_targets
from edgepack.measure.measurement import QUICK
from edgepack.model.data import load_data
from edgepack.model.training import train
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.training_settings import Training
from edgepack.tasks import task_named

SHARED = Path(__file__).parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Models and data that lie beside the project on its developers' machines and in CI."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared with models and data: not part of the project")
    return SHARED


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> Path:
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory, data_folder) -> Path:
    """A tiny BERT that really learned the four intents, in a few seconds."""
    folder = tmp_path_factory.mktemp("teacher")
    model = make_model(folder)
    from transformers import AutoTokenizer

    rows = load_data(str(data_folder), "text-classification").splits["train"]
    features = task_named("text-classification").encode(AutoTokenizer.from_pretrained(folder), rows, 96)
    truth = np.array([INTENTS.index(row.label) for row in rows])

    def loss(model, batch, truth):
        return torch.nn.functional.cross_entropy(model(**batch).logits, truth)

    train(model, features, truth, loss, Training(epochs=12, learning_rate=1e-3), tmp_path_factory.mktemp("run"), 0, "teacher")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """One cache for all builds of a session, those of other workers too."""
    return of_all_workers(tmp_path_factory, "cache")


def of_all_workers(tmp_path_factory, name: str) -> Path:
    """A folder that all workers of a session share: edgepack's own locks have them wait for one another."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name


@pytest.fixture(scope="session")
def pack_folder(tmp_path_factory, teacher_folder, data_folder, cache) -> Path:
    """A whole pack of the tiny teacher: heads pruned, distilled, int8, measured shortly."""
    out = tmp_path_factory.mktemp("packs") / "tiny"
    recipe = Recipe.read(
        {
            "model": str(teacher_folder),
            "data": str(data_folder),
            "student": "2x64",
            "prune_heads": 0.25,
            "precision": "int8",
            "training": {"epochs": 3, "learning_rate": 1e-3},
            "budget": {"score_drop": 50},  # what a tiny student loses hangs on the processor's rounding
        },
        "tests",
    )
    build(recipe, load_profile("raspberry-pi"), out, cache, QUICK)
    return out


@pytest.fixture(scope="session")
def stories(shared) -> Path:
    """A real Llama of 260 K parameters that writes children's stories."""
    return shared / "models" / "stories260k"


@pytest.fixture(scope="session")
def stories_pack(stories, tmp_path_factory, cache) -> Path:
    """A whole pack of it in fp32, not measured."""
    out = tmp_path_factory.mktemp("packs") / "stories"
    recipe = Recipe(model=str(stories), student="same", prune_heads=0.0, precision="fp32")
    build(recipe, load_profile("raspberry-pi"), out, cache, effort=None)
    return out


@pytest.fixture(scope="session")
def board(tmp_path_factory):
    """A board behind a real sshd on loopback."""
    with running(tmp_path_factory.mktemp("sshd")) as result:
        yield result
    assert result.left() == []


@pytest.fixture
def named(board, tmp_path):
    """named(python=...): the board as a target called pi, with other settings where they are given."""

    def named(**more):
        file = tmp_path / "targets.toml"
        file.write_text(board.table("pi", **({"python": sys.executable} | more)))
        return find_targets(["pi"], file)[0]

    return named


@pytest.fixture(scope="session")
def emulated_cache(tmp_path_factory) -> Path:
    return of_all_workers(tmp_path_factory, "emulated-cache")


@pytest.fixture(scope="session")
def classes(tmp_path_factory) -> Path:
    """The Android module's Java and that of the tests, compiled."""
    return compiled(tmp_path_factory.mktemp("jvm"))
