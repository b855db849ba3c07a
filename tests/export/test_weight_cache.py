"""ONNX: weights that the first start packs and keeps are mapped by later ones, and never used where they are wrong."""

import json
import shutil
import subprocess
import sys
from importlib import import_module

import pytest
from models_shared import generate_job, greedy_in_torch, rows_for
from shapes import MINILM
from small import make_model
from test_export import ONE_TEXT, exported, int8, quantized

from edgepack.core.errors import EdgepackError
from edgepack.measure.answers import answer, difference
from edgepack.measure.machines.transports.local import run_job, stream_job
from edgepack.model.checkpoint import load_tokenizer
from edgepack.model.evaluation import run_model
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.load import device_module
from edgepack.tasks import task_named

LOAD = {"kind": "load", "cold": False, "threads": 1, "length": 16}


def keeping(folder):
    manifest = json.loads((folder / "runnable.json").read_text()) | {"weight_cache": True}
    (folder / "runnable.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """An int8 classifier that keeps nothing, its features, and its answers."""
    place, task = tmp_path_factory.mktemp("classifier"), task_named("text-classification")
    model = make_model(place / "model", "bert", task.name)
    features = task.encode(load_tokenizer(place / "model"), rows_for(task.name), 96)
    folder = quantized(exported(place / "fp32", model, task, ONE_TEXT), place / "int8", int8())
    near = zip(answer(folder, "onnxruntime", features, 1, False), run_model(model, task, features, ""), strict=True)
    assert max(difference(*pair) for pair in near) < 0.2
    return folder, features, answer(folder, "onnxruntime", features, threads=1, exact=False)


@pytest.fixture
def pack(classifier, tmp_path):
    return keeping(shutil.copytree(classifier[0], tmp_path / "pack"))


def kept_in(pack):
    return sorted(path for path in (pack / ".weight-cache/packed").iterdir() if path.name != "lock")


def differs(pack, classifier):
    answers = answer(pack, "onnxruntime", classifier[1], threads=1, exact=False)
    return max(difference(*pair) for pair in zip(answers, classifier[2], strict=True))


def test_the_first_start_leaves_packed_weights_that_later_ones_map_with_the_same_answers(pack, classifier):
    assert run_job(classifier[0], "onnxruntime", LOAD)["weight_cache_bytes"] == 0
    first = run_job(pack, "onnxruntime", LOAD | {"first": True})["weight_cache_bytes"]
    written = [path.stat().st_mtime_ns for path in kept_in(pack)]
    assert first > 10_000 and [path.suffix for path in kept_in(pack)] == [".onnx", ".data", ".seal"]
    assert differs(pack, classifier) < 1e-6
    assert [path.stat().st_mtime_ns for path in kept_in(pack)] == written
    # Other weights, with another hash, are packed anew.
    (pack / "model.onnx.data").write_bytes(bytes((pack / "model.onnx.data").stat().st_size))
    (pack / "pack.json").write_text(json.dumps({"files": [{"name": "model.onnx", "sha256": "0"}]}))
    assert differs(pack, classifier) > 1e-3


def test_a_session_maps_what_was_kept_and_does_not_read_the_pack_s_weights(pack, classifier):
    (pack / "pack.json").write_text(json.dumps({"files": [{"name": "model.onnx", "sha256": "0"}]}))
    assert differs(pack, classifier) < 1e-6
    (pack / "model.onnx.data").write_bytes(bytes((pack / "model.onnx.data").stat().st_size))
    assert differs(pack, classifier) < 1e-6


@pytest.mark.parametrize("damage", ["weights", "graph", "seal", "a killed start"])
def test_what_is_damaged_or_half_written_is_made_again_and_never_used(pack, classifier, damage):
    assert differs(pack, classifier) < 1e-6
    graph, data, seal = kept_in(pack)
    whole = {path.name: path.read_bytes() for path in (data, seal)}
    match damage:
        case "weights":
            data.write_bytes(whole[data.name][:-5000] + bytes(5000))
        case "graph":
            graph.write_bytes(b"no graph")
        case "seal":
            seal.write_text("somebody's line\n")
        case _:
            seal.unlink()
            data.write_bytes(whole[data.name][:100])
    assert differs(pack, classifier) < 1e-6
    assert {path.name: path.read_bytes() for path in kept_in(pack)[1:]} == whole


def test_nothing_is_kept_where_there_is_no_room_or_the_folder_cannot_be_made_or_products_do_not_saturate(pack, classifier, monkeypatch):
    cache, seen = import_module(f"{device_module().__name__}.weight_cache"), []
    asked = (seen.append, pack, json.loads((pack / "runnable.json").read_text()), "1", ("onnx",))
    cache.started(*asked, unless=True)
    with monkeypatch.context() as patch:
        patch.setattr(cache.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
        cache.started(*asked)
    assert [files.paths for files in seen] == [[], []]
    shutil.rmtree(pack / ".weight-cache")
    (pack / ".weight-cache").touch()
    assert differs(pack, classifier) < 1e-6 and run_job(pack, "onnxruntime", LOAD)["weight_cache_bytes"] == 0


def test_of_processes_that_start_at_once_one_packs_and_the_others_map(pack, classifier):
    script = "import sys, json; from pathlib import Path; from edgepack.measure.machines.transports.local import run_job; "
    script += f"run_job(Path(sys.argv[1]), 'onnxruntime', {LOAD!r})"
    processes = [subprocess.Popen([sys.executable, "-c", script, str(pack)]) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert len(kept_in(pack)) == 3 and differs(pack, classifier) < 1e-6


def test_a_session_that_fails_seals_nothing(pack):
    cache = import_module(f"{device_module().__name__}.weight_cache")
    manifest, seen = json.loads((pack / "runnable.json").read_text()), []

    def fail(files):
        files.paths[0].write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.started(fail, pack, manifest, "1", ("onnx",))
    cache.started(lambda files: seen.append((files.is_whole, files.paths[0].exists())), pack, manifest, "1", ("onnx",))
    assert seen == [(False, False)]


def test_a_decoder_writes_the_same_from_what_was_kept(tmp_path):
    model = make_model(tmp_path / "model", "llama", "text-generation").eval()
    pack = keeping(exported(tmp_path / "pack", model, task_named("text-generation")))
    prompt = [5, 9, 33, 12, 7]
    expected = greedy_in_torch(model, prompt, 6)
    written = [
        [*prompt, *(each["token"] for each in stream_job(pack, "onnxruntime", generate_job(prompt, 6)) if "token" in each)]
        for _ in range(2)
    ]
    assert len(kept_in(pack)) == 3 and written == [expected, expected]


@pytest.mark.parametrize(
    ("profile", "wish", "problem"),
    [
        ("raspberry-pi", {"prepack": False}, "with --no-prepack there are none"),
        ("raspberry-pi", {"bits": 3.5}, "these are coded"),
        ("browser", {}, "onnxruntime-web keeps no packed weights"),
        ("raspberry-pi-3-32bit", {}, "tflite-runtime keeps no packed weights"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(profile, wish, problem):
    recipe = Recipe.read({"model": "m", "student": "same", "precision": "int8", "weight_cache": True} | wish, "test")
    with pytest.raises(EdgepackError, match=problem):
        make_plan(load_profile(profile), recipe, MINILM)
