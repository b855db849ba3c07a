"""A build that finds its own finished pack at --out ends well, and one that finds another's is refused and touches nothing."""

import json

import pytest
from small import make_data, make_model

from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import MANIFEST_FILE, check_files, read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe


@pytest.mark.slow
def test_the_same_build_again_finds_its_pack_and_any_other_is_refused(tmp_path, capsys):
    make_model(tmp_path / "model")
    data = make_data(tmp_path / "data", {"train": 20, "dev": 10, "test": 10})
    recipe = Recipe(model=str(tmp_path / "model"), data=str(data), student="same", prune_heads=0.0, precision="fp32")

    def built(**changes):
        return build(recipe.model_copy(update=changes), load_profile("raspberry-pi"), tmp_path / "pack", tmp_path / "cache", None)

    first = built()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "pack").iterdir()}
    assert built().pack_id == first.pack_id and "nothing to do" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "pack").iterdir()} == before
    with pytest.raises(EdgepackError, match="output is not empty"):
        built(seed=1)
    rows = (data / "test.csv").read_text()
    (data / "test.csv").write_text(rows + rows.splitlines()[-1] + "\n")
    with pytest.raises(EdgepackError, match="output is not empty"):
        built()
    (data / "test.csv").write_text(rows)
    check_files(tmp_path / "pack", read_manifest(tmp_path / "pack"))
    manifest = json.loads((tmp_path / "pack" / MANIFEST_FILE).read_text())
    (tmp_path / "pack" / MANIFEST_FILE).write_text(json.dumps(manifest | {"seed": 7}))
    with pytest.raises(EdgepackError, match="output is not empty"):
        built()
