"""Model folders that are damaged or half loaded: the true cause is told, and no weight is passed over without a word."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small import make_model

from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.source import find_model
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe

QUERY = "bert.encoder.layer.0.attention.self.query.weight"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound") / "model"
    make_model(folder)
    return folder


@pytest.fixture
def model(sound, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in sound.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def stated(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def stored(folder, change):
    path = folder / "model.safetensors"
    weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
    save_file(change(weights), path, metadata={"format": "pt"})


def built(folder, place):
    settings = {"model": str(folder), "student": "same", "prune_heads": 0.0, "precision": "fp32"}
    build(Recipe.read(settings, "test"), load_profile("raspberry-pi"), place / "pack", place / "cache", effort=None)


def renamed(folder, name):
    (folder / "model.safetensors").rename(folder / name)


DAMAGE = {
    "a prefix": (
        lambda f: stored(f, lambda weights: {f"module.{name}": tensor for name, tensor in weights.items()}),
        "under another name, module.bert.embeddings",
        "save the model itself",
    ),
    "integers": (
        lambda f: stored(f, lambda weights: weights | {QUERY: weights[QUERY].to(torch.int8)}),
        "as 'I8': it is quantized",
        "give the model",
    ),
    "8 bits beside their scale": (
        lambda f: stored(f, lambda weights: weights | {QUERY: weights[QUERY].to(torch.float8_e4m3fn), f"{QUERY}_scale": torch.ones(1)}),
        "as 'F8_E4M3': it is quantized",
        "give the model",
    ),
    "a pointer for the weights": (lambda f: (f / "model.safetensors").write_bytes(POINTER), "is a pointer of Git LFS", "git lfs pull"),
    "a pointer for the config": (lambda f: (f / "config.json").write_bytes(POINTER), "is a pointer of Git LFS", "git lfs pull"),
    "a web page": (lambda f: (f / "model.safetensors").write_bytes(b"<!doctype html>" * 9), "is a web page", "download the file itself"),
    "weights of another program": (
        lambda f: renamed(f, "model-q4.gguf"),
        "but model-q4.gguf, which edgepack does not read",
        "save_pretrained",
    ),
    "an unknown rotation": (lambda f: stated(f, rope_parameters={"rope_type": "foo"}), "rope_type: 'foo'", "transformers knows default"),
    "no rotation": (lambda f: stated(f, rope_parameters={"rope_theta": 0}), "rope_parameters rope_theta: 0", "a number above 0"),
    "padding beyond the vocabulary": (
        lambda f: stated(f, pad_token_id=4_000_000),
        "pad_token_id = 4000000",
        "a token that the embeddings have",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_true_cause_of_a_damage_is_told_before_any_work(model, tmp_path, damage):
    change, problem, fix = DAMAGE[damage]
    change(model)
    with pytest.raises(EdgepackError) as error:
        built(model, tmp_path)
    assert problem in error.value.problem and fix in error.value.fix
    assert not (tmp_path / "pack").exists()


def test_a_trainer_s_folder_names_the_checkpoint_within(model):
    with pytest.raises(EdgepackError) as error:
        find_model(str(model.parent))
    assert error.value.fix == "give one of the folders in it that hold a model: model"


def test_weights_that_transformers_has_no_place_for_are_named(model, tmp_path, capfd):
    stored(model, lambda weights: weights | {"bert.encoder.layer.0.adapter.down.weight": torch.zeros(2, 2)})
    assert load_checkpoint(model).unread_weights == ("bert.encoder.layer.0.adapter.down.weight",)
    built(model, tmp_path)
    assert (
        "not read, as transformers has no place for them in this model: the weights bert.encoder.layer.0.adapter.down"
        in capfd.readouterr().err
    )


def test_a_model_that_answers_all_texts_alike_is_said_to_be_untrained(model, tmp_path, capfd):
    stored(model, lambda weights: weights | {"classifier.weight": torch.zeros_like(weights["classifier.weight"])})
    built(model, tmp_path)
    assert "gives the same answer to all" in capfd.readouterr().err


def test_a_tagger_that_finds_nothing_in_these_texts_is_not_called_untrained(tmp_path, capfd):
    folder = tmp_path / "model"
    make_model(folder, task="token-classification", labels=("O", "B-PER", "I-PER"))
    stored(folder, lambda weights: weights | {"classifier.bias": torch.tensor([50.0, -50.0, -50.0])})
    built(folder, tmp_path)
    told = capfd.readouterr().err
    assert "compared with transformers' pipeline" in told and "may not be trained" not in told


def test_a_config_by_which_the_library_itself_fails_says_so(model, tmp_path):
    stated(model, chunk_size_feed_forward=7)
    with pytest.raises(EdgepackError, match="transformers' pipeline itself fails on model: ValueError: The dimension to be chunked"):
        built(model, tmp_path)
