"""A hub model is read at the revision that was asked for, and what is built of it states the commit."""

import os
import shutil
import subprocess
import sys

import pytest
from small import make_model

from edgepack.core.errors import EdgepackError
from edgepack.model import source
from edgepack.model.source import find_model

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


def test_a_revision_that_is_none_or_belongs_to_a_folder_is_refused(hub, tmp_path):
    shutil.copytree(hub / "snapshots" / OLDER, tmp_path / "model")
    with pytest.raises(EdgepackError, match="--revision main is of a hub model"):
        find_model(str(tmp_path / "model"), revision="main")
    with pytest.raises(EdgepackError, match="is no commit, tag or branch"):
        find_model("somebody/tiny", revision="--upload-pack=evil")
    with pytest.raises(EdgepackError, match="no hub model: 'somebody/tiny' at v9"):
        find_model("somebody/tiny", revision="v9")
