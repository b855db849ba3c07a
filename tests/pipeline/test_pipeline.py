"""Builds from end to end: the ladder, the cache, kill -9 at any moment, and a full disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import FAMILY_TASKS, make_data, make_model

from edgepack.core.errors import EdgepackError
from edgepack.model.source import find_model
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.pipeline.demo.commands import commands
from edgepack.pipeline.verify import verify
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe

FEW = {"train": 64, "dev": 20, "test": 40}
SAME_BYTES = ("model.onnx", "model.onnx.data", "golden.jsonl", "tokenizer.json", "labels.json")


def command(teacher_folder, data_folder, out, cache):
    return [
        sys.executable, "-m", "edgepack", "build", str(teacher_folder), "--data", str(data_folder), "--profile", "raspberry-pi",
        "--student", "2x64", "--prune-heads", "25%", "--precision", "int8", "--epochs", "3", "--learning-rate", "1e-3",
        "--measure", "off", "--out", str(out), "--cache", str(cache),
    ]  # fmt: skip


def test_the_ladder_has_a_row_for_every_stage(pack_folder):
    ladder = json.loads((pack_folder / "report.json").read_text())["ladder"]
    assert [row["stage"] for row in ladder] == ["teacher", "prune_heads", "distill", "export", "quantize"]
    for row in ladder:
        assert row["origin"] == "measured" and row["seconds"] > 0 and row["params"] > 0 and row["file_mb"] > 0 and row["why"]
        assert row["score"]["low"] <= row["score"]["value"] <= row["score"]["high"]
        assert 0 <= row["flip_share"] <= 1
        assert row["score_drop"] == pytest.approx(100 * (ladder[0]["score"]["value"] - row["score"]["value"]), abs=1e-2)
    teacher, pruned, student, exported, quantized = ladder
    assert teacher["flip_share"] == 0 and teacher["score_drop"] == 0
    assert teacher["params"] > pruned["params"] > student["params"] == exported["params"] == quantized["params"]
    assert exported["score"] == student["score"]  # an exact export decides alike
    for row in ladder:
        assert row["second"]["metric"] == "macro_f1" and len(row["groups"]) == 4
        assert row["calibration"]["rows"] == row["score"]["rows"] and len(row["calibration"]["by_teacher"]) == 10
        assert row["groups"] == sorted(row["groups"], key=lambda group: group["value"])
    assert teacher["calibration"]["teacher_kl"] == 0 < pruned["calibration"]["teacher_kl"]
    assert exported["calibration"]["ece"] == pytest.approx(student["calibration"]["ece"], abs=1e-4)
    assert quantized["file_mb"] < exported["file_mb"]


def test_predictions_are_made_for_the_model_that_was_built(pack_folder):
    manifest = read_manifest(pack_folder)
    assert manifest.predictions.params == manifest.ladder[-1].params
    assert manifest.predictions.origin == "predicted"


@pytest.fixture
def own_cache(pack_folder, cache, tmp_path) -> Path:
    """A copy of the cache that the pack was built in: nobody else writes here meanwhile."""
    shutil.copytree(cache / "stages", tmp_path / "cache" / "stages", copy_function=os.link)
    return tmp_path / "cache"


@pytest.mark.slow
def test_a_second_build_finds_every_stage_in_the_cache(pack_folder, own_cache, tmp_path):
    manifest = read_manifest(pack_folder)
    stages = sorted((own_cache / "stages").iterdir())
    started = time.monotonic()
    build(manifest.recipe, load_profile("raspberry-pi"), tmp_path / "again", own_cache, effort=None)
    assert sorted((own_cache / "stages").iterdir()) == stages and not (own_cache / "unfinished").exists()
    assert time.monotonic() - started < manifest.ladder[2].seconds + 60
    for name in SAME_BYTES:
        assert (tmp_path / "again" / name).read_bytes() == (pack_folder / name).read_bytes()


@pytest.mark.slow
def test_another_setting_is_another_stage(pack_folder, own_cache, tmp_path):
    manifest = read_manifest(pack_folder)
    before = len(list((own_cache / "stages").iterdir()))
    other = manifest.recipe.model_copy(update={"training": manifest.recipe.training.model_copy(update={"temperature": 1.0})})
    build(other, load_profile("raspberry-pi"), tmp_path / "other", own_cache, effort=None)
    assert len(list((own_cache / "stages").iterdir())) == before + 3  # distilled, exported and quantized anew; teacher and heads as before


@pytest.mark.slow
def test_a_pack_without_data_is_built_and_says_what_is_not_known(teacher_folder, cache, tmp_path):
    report = build(Recipe(model=str(teacher_folder), precision="int8"), load_profile("raspberry-pi"), tmp_path / "pack", cache, None)
    assert report.verdict == "not measured"
    assert {check.name: check.ok for check in report.checks}["score_drop"] is None
    assert all(row.score is row.second is row.flip_share is row.calibration is None and row.groups == () for row in report.ladder)
    assert verify(tmp_path / "pack").golden_texts > 0


@pytest.mark.slow
@pytest.mark.parametrize("wish", [{"precision": "fp16"}, {"precision": "int8", "activations": "static", "prepack": False}])
def test_each_precision_goes_all_the_way_and_is_told(teacher_folder, data_folder, cache, tmp_path, wish):
    recipe = Recipe(model=str(teacher_folder), data=str(data_folder), student="same", prune_heads=0.0, **wish)
    report = build(recipe, load_profile("raspberry-pi"), tmp_path / "pack", cache, None)
    manifest, whole = read_manifest(tmp_path / "pack"), report.ladder[0].score.value
    assert manifest.precision == report.precision == wish["precision"]
    assert report.ladder[-1].attempts[-1].cosine > 0.99 and report.ladder[-1].score.value > whole - 0.1
    assert ("session.disable_prepacking" in manifest.session.config) is (wish.get("prepack") is False)
    assert verify(tmp_path / "pack").golden_texts > 0


@pytest.mark.slow
def test_an_uneven_model_is_pruned_anywhere_and_recovers(teacher_folder, data_folder, cache, tmp_path):
    recipe = {
        "model": str(teacher_folder), "data": str(data_folder), "student": "same", "prune_heads": 0.4, "precision": "fp32",
        "training": {"epochs": 2, "learning_rate": 1e-3},
    }  # fmt: skip
    report = build(Recipe.read(recipe, "test"), load_profile("x86-server"), tmp_path / "pack", cache, None)
    assert report.ladder[-1].score.value > report.ladder[0].score.value - 0.1
    cut = [find_model(str(folder)) for folder in (cache / "stages").iterdir() if (folder / "edgepack.json").exists()]
    assert any(len({row.heads for row in source.record.layers}) > 1 for source in cut)


# What a build is doing when it is killed, as a file that appears in its cache or output.
MOMENTS = {
    "the teacher's pass": "cache/unfinished/*/made",
    "pruning": "cache/stages/*/train.npz",
    "distilling": "cache/unfinished/*/resume/checkpoint-*/edgepack-complete.json",
    "exporting": "cache/unfinished/*/made/graph.onnx",
    "quantizing": "cache/unfinished/*/made/attempt-0/*.onnx",
    "packing": ".pack.partial/tokenizer.json",
}


@pytest.mark.slow
def test_a_build_that_is_killed_again_and_again_goes_on_and_writes_the_same_bytes(pack_folder, teacher_folder, data_folder, tmp_path):
    whole = command(teacher_folder, data_folder, tmp_path / "pack", tmp_path / "cache")
    finished: dict[Path, int] = {}
    for moment, sign in MOMENTS.items():
        process = subprocess.Popen(whole, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(sign)):
            assert process.poll() is None and time.monotonic() < deadline, f"the moment never came: {moment}"
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "pack").exists()
        assert all(path.stat().st_mtime_ns == then for path, then in finished.items()), moment
        finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "stages").glob("*")}
    subprocess.run(whole, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    assert all(path.stat().st_mtime_ns == then for path, then in finished.items())
    for name in SAME_BYTES:
        assert (tmp_path / "pack" / name).read_bytes() == (pack_folder / name).read_bytes(), name
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert verify(tmp_path / "pack")


@pytest.mark.slow
def test_a_disk_that_fills_up_half_way_is_said_and_nothing_half_written_stays(teacher_folder, data_folder, tmp_path):
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a small disk can be mounted by root alone")
    small = tmp_path / "disk"
    small.mkdir()
    build_there = command(teacher_folder, data_folder, small / "packs" / "new", small / "cache")
    script = """
        mount -t tmpfs -o size=12m none "$0" && cd "$0" || exit 9
        "$@" & build=$!
        until ls cache/stages/* >/dev/null 2>&1; do sleep 0.01; done
        dd if=/dev/zero of=ballast bs=64k status=none 2>/dev/null
        wait $build; code=$?
        ls -A packs 2>/dev/null
        exit $code"""
    there = ["unshare", "--mount", "sh", "-c", script, str(small), *build_there]
    done = subprocess.run(there, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "the disk is full" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.strip() == ""


def test_too_few_texts_to_calibrate_on_end_before_work(teacher_folder, tmp_path):
    few = make_data(tmp_path / "data", {"train": 5, "dev": 5, "test": 5})
    recipe = Recipe(model=str(teacher_folder), data=str(few), student="same", prune_heads=0.0, precision="int8", activations="static")
    with pytest.raises(EdgepackError, match="the train split, which has only 5: at least 8"):
        build(recipe, load_profile("raspberry-pi"), tmp_path / "pack", tmp_path / "cache", None)
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_a_wrong_export_fails_the_build(pack_folder, teacher_folder, data_folder, tmp_path, monkeypatch):
    """The one place that breaks edgepack's own code on purpose: the check must see it."""
    from edgepack.export import onnx_export

    def tampered(graph):
        from onnx import numpy_helper

        whole = slim(graph)
        tensor = next(t for t in whole.graph.initializer if len(t.dims) == 2)
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1.01, tensor.name))
        return whole

    slim = onnx_export._slimmed
    monkeypatch.setattr(onnx_export, "_slimmed", tampered)
    recipe = Recipe(model=str(teacher_folder), data=str(data_folder))
    with pytest.raises(EdgepackError, match="differs from torch"):
        build(recipe, load_profile("x86-server"), tmp_path / "pack", tmp_path / "cache", None)
    assert not (tmp_path / "pack").exists() and list(Path(tmp_path).glob(".*")) == []


@pytest.mark.slow
@pytest.mark.parametrize(("family", "precision"), [("albert", "int8"), ("modernbert", "int8"), ("gpt2", "fp32")])
def test_families_of_another_build_go_all_the_way(tmp_path, cache, family, precision):
    """Shared layers, fused matrices, transposed ones: cut, narrowed with every loss, exported and verified."""
    task = dict(FAMILY_TASKS)[family]
    make_model(tmp_path / "model", family, task)
    few = tmp_path / "data"
    recipe = {
        "model": str(tmp_path / "model"), "data": str(prose(few) if task == "text-generation" else make_data(few, FEW)),
        "student": "2x32", "prune_ffn": 0.3, "vocabulary": "data", "precision": precision,
        "training": {"epochs": 1, "hidden_weight": 1.0, "relation_weight": 1.0, "hard_weight": 0.5},
    }  # fmt: skip
    build(Recipe.read(recipe, "test"), load_profile("x86-server"), tmp_path / "pack", cache, None)
    assert verify(tmp_path / "pack").golden_texts > 0


def prose(folder: Path) -> Path:
    folder.mkdir()
    for split, rows in commands().items():
        (folder / f"{split}.txt").write_text("\n".join(text for text, _ in rows[: FEW[split]]))
    return folder
