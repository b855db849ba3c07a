"""A tokenizer on which its library gives up in Rust, which is no Exception, is a message all the same: from a command and from Python."""

import json
import shutil
import subprocess
import sys
from importlib import import_module

import pytest
import small
from small import make_data, make_model

import edgepack
from edgepack.pack.manifest import read_manifest, seal
from edgepack.ship.load import device_module, load

ENDLESS = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
TEXT = "a" * 40 + "!"


UNREADABLE = {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}
WITHOUT_UNKNOWN = {"model": {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                             "max_input_chars_per_word": 100}}  # fmt: skip


def spoil(folder, content=None):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | (content or {"pre_tokenizer": ENDLESS})))


def sealed(pack, folder, content=None):
    shutil.copytree(pack, folder)
    spoil(folder, content)
    seal(folder, read_manifest(folder))
    return folder


@pytest.fixture
def spoilt_model(tmp_path):
    """A model and data, with a text on which its tokenizer gives up."""
    make_model(tmp_path / "model")
    data = make_data(tmp_path / "data")
    for file in data.glob("*.csv"):
        lines = file.read_text().splitlines()
        file.write_text("\n".join([*lines, f"{TEXT},{lines[-1].rpartition(',')[2]}"]) + "\n")
    spoil(tmp_path / "model")
    return tmp_path / "model", data


def test_a_build_from_python_is_one_error(spoilt_model, tmp_path):
    model, data = spoilt_model
    recipe = edgepack.Recipe(model=str(model), data=str(data))
    with pytest.raises(edgepack.EdgepackError, match="gave up: Onig: Regex search error"):
        edgepack.build(recipe, edgepack.load_profile("raspberry-pi"), tmp_path / "pack", tmp_path / "cache", None)
    assert not (tmp_path / "pack").exists()


def test_a_pack_whose_tokenizer_the_library_cannot_read_is_one_error(pack_folder, tmp_path):
    folder = sealed(pack_folder, tmp_path / "pack", UNREADABLE)
    for call in (edgepack.load, edgepack.verify):
        with pytest.raises(edgepack.EdgepackError, match=r"tokenizer\.json"):
            call(folder)


def test_a_module_refuses_a_text_with_a_word_that_no_token_stands_for(pack_folder, tmp_path):
    """Packs of before state it; a model's folder is refused: see tests/model/test_tokenizer_trial.py."""
    with load(sealed(pack_folder, tmp_path / "pack", WITHOUT_UNKNOWN)) as model:
        with pytest.raises(device_module().BadInput, match=r"gives up on this text: WordPiece error: Missing \[UNK\]"):
            model("zebra")
        assert model("a a").label


def test_a_text_of_which_the_tokenizer_s_decoder_makes_nothing_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text(small.word_pieces())
    spoil(tmp_path, {"decoder": {"type": "Strip", "content": "a", "start": 0, "stop": 9}} | WITHOUT_UNKNOWN)
    texts = import_module(f"{device_module().__name__}.texts").Texts(tmp_path, {"max_length": 9, "task": "text-generation"})
    with pytest.raises(device_module().ModuleError, match="makes no text of what was written"):
        texts.decode(texts.prompt("a"))


@pytest.mark.slow
def test_a_build_says_which_pattern_gave_up(spoilt_model, tmp_path):
    model, data = spoilt_model
    command = [sys.executable, "-m", "edgepack", "build", str(model), "--data", str(data), "--profile", "raspberry-pi"]
    command += ["--out", str(tmp_path / "pack"), "--cache", str(tmp_path / "cache"), "--measure", "off"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1 and "edgepack: a library that reads models and texts gave up: Onig: Regex search error" in done.stderr
    assert "Traceback (most recent call last)" not in done.stderr and not (tmp_path / "pack").exists()


def test_a_module_refuses_the_text_and_answers_the_next(pack_folder, tmp_path):
    with load(sealed(pack_folder, tmp_path / "pack")) as model:
        with pytest.raises(device_module().BadInput, match="the tokenizer gives up on this text: Onig"):
            model(TEXT)
        assert model("turn on the light").label
