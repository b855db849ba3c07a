"""Fixtures that several test files share. No test reaches a network."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch
from small import INTENTS, make_data, make_model

from edgepack.model.data import load_data
from edgepack.model.tasks import TASKS
from edgepack.model.training import train
from edgepack.recipe import Training

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
    features = TASKS["text-classification"].encode(AutoTokenizer.from_pretrained(folder), rows, 96)
    truth = np.array([INTENTS.index(row.label) for row in rows])

    def loss(model, batch, truth):
        return torch.nn.functional.cross_entropy(model(**batch).logits, truth)

    train(model, features, truth, loss, Training(epochs=12, learning_rate=1e-3), tmp_path_factory.mktemp("run"), 0, "teacher")
    model.save_pretrained(folder)
    return folder
