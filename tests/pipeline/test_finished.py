"""A build that finds its own finished pack at --out ends well, and one that finds another's is refused and touches nothing."""

import json

import pytest
from small import make_data, make_model

from edgepack.core.errors import EdgepackError
from edgepack.measure.measurement import FULL, MLPERF, QUICK
from edgepack.pack.manifest import MANIFEST_FILE, check_files, read_manifest
from edgepack.pipeline.build import build
from edgepack.pipeline.finished import _check_effort
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.report.records import Report


@pytest.mark.slow
def test_the_same_build_again_finds_its_pack_and_any_other_is_refused(tmp_path, capsys):
    make_model(tmp_path / "model")
    data = make_data(tmp_path / "data", {"train": 20, "dev": 10, "test": 10})
    recipe = Recipe(model=str(tmp_path / "model"), data=str(data), student="same", prune_heads=0.0, precision="fp32")

    def built(effort=None, **changes):
        return build(recipe.model_copy(update=changes), load_profile("raspberry-pi"), tmp_path / "pack", tmp_path / "cache", effort)

    first = built()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "pack").iterdir()}
    assert built().pack_id == first.pack_id and "nothing to do" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "pack").iterdir()} == before
    with pytest.raises(EdgepackError, match="finished pack of this build, which was not measured") as error:
        built(effort=QUICK)
    assert f"edgepack measure {tmp_path / 'pack'}" in error.value.fix
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


@pytest.mark.parametrize(
    ("known", "asked", "is_refused"),
    [
        (QUICK, QUICK, False),
        (QUICK, FULL, True),
        (FULL, QUICK, False),
        (FULL.model_copy(update={"force": True}), FULL, False),
        (FULL, MLPERF, True),
        (FULL, FULL.model_copy(update={"sustained_s": 600.0}), True),
        (QUICK, None, False),
    ],
)
def test_a_pack_on_hand_is_as_thoroughly_measured_as_is_asked_or_refused(pack_folder, known, asked, is_refused):
    """A build is lenient about other work (force), however it is asked."""
    report = Report.read(json.loads((pack_folder / "report.json").read_text()), "test")
    of_effort = report.model_copy(update={"measurements": report.measurements.model_copy(update={"effort": known})})
    if not is_refused:
        _check_effort(pack_folder, of_effort, asked)
        return
    with pytest.raises(EdgepackError, match=f"measured with the effort {known.name}, and {asked.name} takes longer") as error:
        _check_effort(pack_folder, of_effort, asked)
    assert f"edgepack measure {pack_folder}" in error.value.fix
