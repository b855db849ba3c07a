"""Two formats of one model are measured alike, and the one that meets the budgets better is shipped."""

import json

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.measure.measurement import QUICK
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.pipeline.verify import verify
from edgepack.plan.formats import check_installed
from edgepack.plan.profile import Budget, load_profile
from edgepack.plan.recipe import Recipe
from edgepack.report.formats import rank, reason
from edgepack.report.records import Contender
from edgepack.report.write import html, markdown

PHONE = load_profile("phone")
BUDGET = Budget(file_mb=0.833, latency_ms=1.3)


def contender(name, median_ms=1.0, **over):
    return Contender(
        format=name, runtime="r", precision="int8", pack_id=name, file_mb=1.0, score=None, score_drop=None, latency_ms=median_ms,
        median_ms=median_ms, load_ms=None, ram_mb=None, over=over, where="here",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("onnx", "tflite", "better", "why"),
    [
        (contender("onnx", 2.0), contender("tflite", 1.0), "tflite", "both meet every budget, and tflite takes 1 ms, onnx 2 ms"),
        (
            contender("onnx", 2.0),
            contender("tflite", 1.0, file_mb=1.2),
            "onnx",
            "onnx exceeds no budget, and tflite exceeds file size (1 MB, 20% over the budget of 0.833)",
        ),
        (
            contender("onnx", 2.0, latency_ms=1.54),
            contender("tflite", 3.0, file_mb=1.2),
            "tflite",
            "tflite by less: file size (1 MB, 20% over the budget of 0.833); onnx: latency (2 ms, 54% over the budget of 1.3)",
        ),
    ],
)
def test_budgets_come_first_then_speed(onnx, tflite, better, why):
    best, other = sorted((onnx, tflite), key=rank)
    assert best.format == better and why in reason(best, other, BUDGET)


def test_an_exceeded_budget_of_0_is_told_in_points_and_not_in_times():
    whole, lossy = (contender(name).model_copy(update={"score_drop": drop}) for name, drop in (("onnx", 0.0), ("tflite", 0.5)))
    over = lossy.model_copy(update={"over": {"score_drop": 0.5}})
    why = reason(whole, over, Budget(score_drop=0))
    assert why.endswith("onnx exceeds no budget, and tflite exceeds score lost (0.5 points, over the budget of 0)")


def test_a_choice_by_predictions_says_so():
    onnx, tflite = (
        contender(name, ms).model_copy(update={"origin": "predicted", "median_ms": None}) for name, ms in (("onnx", 2), ("tflite", 1))
    )
    assert rank(tflite) < rank(onnx) and "predicted for here, as no such device measured them" in reason(tflite, onnx, BUDGET)


@pytest.fixture(scope="module")
def installed():
    try:
        check_installed("tflite")
    except EdgepackError as error:
        pytest.skip(str(error))


def test_auto_needs_a_measurement_and_a_profile_with_both(tmp_path, installed):
    check = Recipe(model=str(tmp_path), format="auto")
    with pytest.raises(EdgepackError, match="has no runtime for tflite"):
        build(check, load_profile("raspberry-pi"), tmp_path / "out")
    with pytest.raises(EdgepackError, match="--measure off switches it off"):
        build(check, PHONE, tmp_path / "out", effort=None)


@pytest.fixture(scope="module")
def recipe(teacher_folder, data_folder):
    return Recipe(model=str(teacher_folder), data=str(data_folder), student="same", prune_heads=0.0, precision="int8")


@pytest.fixture(scope="module")
def auto(tmp_path_factory, recipe, cache, installed):
    out = tmp_path_factory.mktemp("packs") / "auto"
    return out, build(recipe.model_copy(update={"format": "auto"}), PHONE, out, cache, QUICK)


@pytest.mark.slow
def test_auto_ships_the_one_that_is_predicted_to_be_better_on_the_device(auto):
    out, report = auto
    manifest = read_manifest(out)
    assert {each.format for each in report.formats} == {"onnx", "tflite"}
    (shipped,) = [each for each in report.formats if each.shipped]
    assert shipped.pack_id == manifest.pack_id == report.pack_id and shipped.format == manifest.format
    assert all(
        each.origin == "predicted" and each.latency_ms and each.load_ms and each.ram_mb for each in report.formats
    )  # no phone is here
    assert "both predicted for phone" in report.formats_why and "as no such device measured them" in report.formats_why
    assert all(path.name.startswith(f"model.{manifest.format}") for path in out.glob("model.*"))
    assert not (out / "onnx").exists() and not (out / "tflite").exists()
    assert verify(out).golden_texts > 10


@pytest.mark.slow
def test_the_report_shows_the_pair(auto):
    out, report = auto
    assert json.loads((out / "report.json").read_text())["formats_why"] == report.formats_why
    for text in (markdown(report), html(report)):
        assert "Both formats" in text and "onnxruntime" in text and "litert" in text and report.formats_why.split(":")[0] in text


@pytest.mark.slow
def test_both_leaves_two_whole_packs(tmp_path, recipe, cache, installed):
    build(recipe.model_copy(update={"format": "both"}), PHONE, tmp_path / "both", cache, effort=None)
    packs = {path.name: read_manifest(path) for path in (tmp_path / "both").iterdir()}
    assert {name: manifest.format for name, manifest in packs.items()} == {"onnx": "onnx", "tflite": "tflite"}
    assert {manifest.plan.runtime for manifest in packs.values()} == {"onnxruntime", "litert"}
    golden = [[json.loads(line) for line in (tmp_path / "both" / name / "golden.jsonl").open()] for name in packs]
    assert [each["input_ids"] for each in golden[0]] == [each["input_ids"] for each in golden[1]]
    for name in packs:
        verify(tmp_path / "both" / name)
