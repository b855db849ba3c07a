"""A tokenizer whose pattern never ends on a text makes its library give up in Rust, which is no Exception: it is a message all the same."""

import json
import shutil
import subprocess
import sys

import pytest
from small import make_data, make_model

from edgepack.ship.load import device_module, load

ENDLESS = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
TEXT = "a" * 40 + "!"


def spoil(folder):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pre_tokenizer": ENDLESS}))


def test_a_build_says_which_pattern_gave_up(tmp_path):
    make_model(tmp_path / "model")
    data = make_data(tmp_path / "data")
    for file in data.glob("*.csv"):
        lines = file.read_text().splitlines()
        file.write_text("\n".join([*lines, f"{TEXT},{lines[-1].rpartition(',')[2]}"]) + "\n")
    spoil(tmp_path / "model")
    command = [sys.executable, "-m", "edgepack", "build", str(tmp_path / "model"), "--data", str(data), "--profile", "raspberry-pi"]
    command += ["--out", str(tmp_path / "pack"), "--cache", str(tmp_path / "cache"), "--measure", "off"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1 and "edgepack: a library that reads models and texts gave up: Onig: Regex search error" in done.stderr
    assert "Traceback (most recent call last)" not in done.stderr and not (tmp_path / "pack").exists()


def test_a_module_refuses_the_text_and_answers_the_next(pack_folder, tmp_path):
    from edgepack.pack.manifest import read_manifest, seal

    folder = shutil.copytree(pack_folder, tmp_path / "pack")
    spoil(folder)
    seal(folder, read_manifest(folder))
    with load(folder) as model:
        with pytest.raises(device_module().BadInput, match="the tokenizer gives up on this text: Onig"):
            model(TEXT)
        assert model("turn on the light").label
