"""A pack whose packed weights are packed: measured with them, shipped to where they are packed, and elsewhere with a word about it."""

import json
import subprocess
import sys

import pytest
from transformers import pipeline

from edgepack.measure.measurement import QUICK
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.shipping import ship

pytestmark = pytest.mark.slow
TEXTS = ["how do i top up by card", "my card was stolen yesterday"]
ASK = """
import json, sys, classes
with classes.load() as model:
    print(json.dumps([{label.name: label.score for label in model(text).scores} for text in json.loads(sys.argv[1])]))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory, teacher_folder, data_folder, cache):
    """A pack in fp32 and its report."""
    out = tmp_path_factory.mktemp("packs") / "classes"
    wishes = {"model": str(teacher_folder), "data": str(data_folder), "student": "same", "prune_heads": 0.0, "precision": "fp32"}
    report = build(Recipe.read(wishes | {"weight_cache": True}, "tests"), load_profile("raspberry-pi"), out, cache, QUICK)
    return out, report


def test_a_measurement_tells_what_the_first_start_took_and_left(built):
    out, report = built
    first = report.measurements.first_start
    assert read_manifest(out).weight_cache and not (out / ".weight-cache").exists()
    assert first.disk_mb > read_manifest(out).file_mb / 2 and first.session_ms > 0
    assert any(f"left {first.disk_mb:.1f} MB beside the pack" in note for note in report.notes)


def test_a_module_for_python_keeps_them_and_answers_as_transformers_does(built, teacher_folder, tmp_path):
    ship(built[0], "python", tmp_path / "out", name="classes")
    packed = tmp_path / "out/classes/model/.weight-cache/packed"
    assert not packed.exists()
    expected = pipeline("text-classification", str(teacher_folder), top_k=None)(TEXTS)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", ASK, json.dumps(TEXTS)], cwd=tmp_path / "out", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        for ours, theirs in zip(json.loads(done.stdout), expected, strict=True):
            assert ours == pytest.approx({row["label"]: row["score"] for row in theirs}, abs=1e-4)
        assert sorted(path.suffix for path in packed.iterdir()) == ["", ".data", ".onnx", ".seal"]


def test_a_service_has_a_folder_for_them_where_it_may_write(built, tmp_path):
    ship(built[0], "linux", tmp_path / "out", name="classes")
    assert "CacheDirectory=edgepack-classes\n" in (tmp_path / "out" / "classes.service").read_text()
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "~/.cache/edgepack-packed" in readme and "--read-only --tmpfs /tmp" in readme


@pytest.mark.parametrize("platform", ["android", "web"])
def test_a_platform_that_keeps_nothing_says_so(built, tmp_path, platform):
    package = "com.example.classes" if platform == "android" else None
    shipped = ship(built[0], platform, tmp_path / "out", name="classes", package=package)
    assert any(f"the {platform} module packs the weights at each start" in warning for warning in shipped.warnings)
