"""A hub model is read at the revision that was asked for, and what is built of it states the commit."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from small import HIDDEN, make_model

from edgepack.core.errors import EdgepackError
from edgepack.model import source
from edgepack.model.source import find_model
from edgepack.pack.manifest import STATEMENT_FILE, read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.search.rungs import materials_of, pinned

OLDER, NEWER = "a" * 40, "b" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub library's own cache, with two commits of one model; there is no network."""
    home = tmp_path / "hub" / "models--somebody--tiny"
    for number, commit in enumerate((OLDER, NEWER)):
        make_model(home / "snapshots" / commit, seed=number)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(NEWER)
    (home / "refs" / "v1").write_text(OLDER)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return home


def test_all_that_a_key_holds_is_fetched_from_a_hub():
    """But for code, which is not read unless somebody asks for it."""
    fetched = {pattern.removeprefix("*") for pattern in source._CONFIGS + source._WEIGHTS if pattern.startswith("*")}
    assert fetched == source._READ - {".py"}


def test_a_hub_is_told_of_no_library_of_this_machine():
    code = "import edgepack; from huggingface_hub.utils import build_hf_headers; print(build_hf_headers()['user-agent'])"
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_TELEMETRY"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    assert "hf_hub/" in told and "torch" not in told


def test_the_newest_or_the_one_that_was_asked_for_is_read_and_stated(hub):
    newest, tagged, exact = (find_model("somebody/tiny", revision=each) for each in (None, "v1", OLDER))
    assert (newest.revision, tagged.revision, exact.revision) == (NEWER, OLDER, OLDER)
    assert tagged.sha256 == exact.sha256 != newest.sha256 and newest.name == "somebody/tiny"


def adapter(folder):
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "lora_alpha": 4, "task_type": "SEQ_CLS"}))
    query = "base_model.model.bert.encoder.layer.0.attention.self.query"
    save_file(
        {f"{query}.lora_A.weight": torch.ones(2, HIDDEN), f"{query}.lora_B.weight": torch.ones(HIDDEN, 2)},
        folder / "adapter_model.safetensors",
    )
    return str(folder)


def test_the_base_of_an_adapter_is_read_at_the_revision_that_was_asked_for_and_stated(hub, tmp_path):
    place = adapter(tmp_path / "adapter")
    newest, tagged = (find_model(place, base=base) for base in ("somebody/tiny", "somebody/tiny@v1"))
    assert (newest.base.revision, tagged.base.revision, tagged.revision) == (NEWER, OLDER, None)
    assert tagged.base.sha256 == find_model("somebody/tiny", revision=OLDER).sha256 and newest.sha256 != tagged.sha256
    recipe = Recipe(model=place, base="somebody/tiny@v1")
    assert pinned(materials_of(recipe), recipe).whole.recipe.base == f"somebody/tiny@{OLDER}"
    for base, problem in (("somebody/tiny@", "is no commit, tag or branch"), (f"{hub / 'snapshots' / OLDER}@v1", "is a folder here")):
        with pytest.raises(EdgepackError, match=problem):
            find_model(place, base=base)


def test_a_pack_of_an_adapter_and_its_statement_name_the_base_s_commit(hub, tmp_path):
    recipe = Recipe(model=adapter(tmp_path / "adapter"), base="somebody/tiny", student="same", prune_heads=0.0, precision="fp32")
    build(recipe, load_profile("raspberry-pi"), tmp_path / "pack", tmp_path / "cache", effort=None)
    base = read_manifest(tmp_path / "pack").base
    assert (base.name, base.revision) == ("somebody/tiny", NEWER)
    stated = json.loads((tmp_path / "pack" / STATEMENT_FILE).read_text())["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [(each["annotations"]["role"], each["digest"].get("gitCommit")) for each in stated] == [("model", None), ("base", NEWER)]


def test_a_revision_that_is_none_or_belongs_to_a_folder_is_refused(hub, tmp_path):
    shutil.copytree(hub / "snapshots" / OLDER, tmp_path / "model")
    with pytest.raises(EdgepackError, match="--revision main is of a hub model"):
        find_model(str(tmp_path / "model"), revision="main")
    with pytest.raises(EdgepackError, match="is no commit, tag or branch"):
        find_model("somebody/tiny", revision="--upload-pack=evil")
    with pytest.raises(EdgepackError, match="no hub model: 'somebody/tiny' at v9"):
        find_model("somebody/tiny", revision="v9")
