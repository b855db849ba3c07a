"""A build with the results of other builds in its cache is the same as one with an empty cache."""

import csv
import shutil

import pytest
from small import INTENTS, make_model

from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.pipeline.demo.commands import commands
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe

SHIPPED = ("model.onnx", "model.onnx.data", "golden.jsonl", "tokenizer.json", "labels.json", "runnable.json")
FIXED = {"student": "same", "prune_heads": 0.0, "precision": "fp32"}


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """A model, and one CSV without splits, with two columns of labels."""
    folder = tmp_path_factory.mktemp("brought")
    make_model(folder / "model")
    rows = [row for row in commands()["train"] if row[1] in INTENTS][:120]
    with (folder / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label", "label2"), *((text, label, INTENTS[len(text) % 4]) for text, label in rows)])
    return {"model": str(folder / "model"), "data": str(folder / "rows.csv")} | FIXED


FIRST = {"columns": {"label": "label"}, "seed": 0}


@pytest.fixture(scope="module")
def first(brought, tmp_path_factory):
    """A finished build: its pack and its cache, of which each test takes a copy."""
    folder = tmp_path_factory.mktemp("first")
    build(Recipe.read(brought | FIRST, "test"), load_profile("raspberry-pi"), folder / "pack", folder / "cache", None)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"columns": {"label": "label2"}}, {"max_length": 8}],
    ids=["another seed", "another label column", "another length"],
)
def test_a_warm_build_is_a_fresh_build(brought, first, tmp_path, other):
    def built(name, cache):
        build(Recipe.read(brought | FIRST | other, "test"), load_profile("raspberry-pi"), tmp_path / name, tmp_path / cache, None)
        return read_manifest(tmp_path / name)

    shutil.copytree(first / "cache", tmp_path / "used")
    warm, fresh = built("warm", "used"), built("fresh", "empty")
    without_times = [
        [row.model_copy(update={"seconds": 0.0, "initialization_s": None}) for row in manifest.ladder] for manifest in (warm, fresh)
    ]
    assert without_times[0] == without_times[1] and warm.ladder[0].score_drop == 0
    for name in SHIPPED:
        assert (tmp_path / "warm" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes(), name


@pytest.mark.slow
def test_weights_that_were_damaged_in_the_cache_are_made_again(brought, first, tmp_path, capsys):
    shutil.copytree(first / "cache", tmp_path / "cache")
    for path in (tmp_path / "cache" / "stages").glob("*/model.onnx.data"):
        content = bytearray(path.read_bytes())
        content[1000:3000] = bytes(2000)
        path.write_bytes(content)
    for path in (tmp_path / "cache" / "stages").glob("*/record.json"):
        path.write_text(path.read_text().replace('"value": 0', '"value": 0.99'))
    build(Recipe.read(brought | FIRST, "test"), load_profile("raspberry-pi"), tmp_path / "again", tmp_path / "cache", None)
    assert "damaged, so its stage runs again" in capsys.readouterr().err
    for name in SHIPPED:
        assert (tmp_path / "again" / name).read_bytes() == (first / "pack" / name).read_bytes(), name
    whole, again = (read_manifest(folder).ladder for folder in (first / "pack", tmp_path / "again"))
    assert [row.score for row in whole] == [row.score for row in again]
