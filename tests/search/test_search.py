"""Small real searches: their fronts, what they leave, and how they go on."""

import shutil
import signal
import subprocess
import sys

import pytest
from command_line import edgepack_here, refused
from small import make_data

from edgepack.core.errors import EdgepackError
from edgepack.core.files import sha256_of
from edgepack.core.reading import read_json_object
from edgepack.measure.machines.targets import Target
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.profile import Budget, load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.recipe_file import read_recipe
from edgepack.search.front import Front, pick
from edgepack.search.search import search
from edgepack.search.wish import SearchWish

PI = load_profile("raspberry-pi")


def tried(front):
    return [(each.number, each.kind, each.settings, each.score_drop, each.file_mb) for each in front.tried]


@pytest.mark.slow
def test_a_search_leaves_packs_recipes_and_a_page(searched):
    front, out, _ = searched
    assert len(front.points) == 2 and front.cost.trials == 4 and front.picked in (1, 2)
    assert {path.name for path in out.iterdir()} == {"1", "2", "1.toml", "2.toml", "front.json", "index.html"}
    assert Front.read(read_json_object(out / "front.json"), "front.json") == front
    for point in front.points:
        manifest = read_manifest(out / str(point.number))
        assert manifest.pack_id == point.pack_id and point.file_mb.value == round(manifest.file_mb, 3)
        assert point.file_mb.origin == "measured" and point.latency_ms.origin == "predicted"


@pytest.mark.slow
def test_the_first_trial_is_what_the_planner_chooses(searched):
    assert searched[0].tried[0].name == "the planner's choice"


@pytest.mark.slow
def test_trials_never_see_the_test_split(searched, tiny):
    front, _, _ = searched
    kept = {each.score_drop for each in front.tried}
    assert all(drop is None or abs(drop * 24 / 100 - round(drop * 24 / 100)) < 1e-6 for drop in kept), "24 rows of the dev split"


@pytest.mark.slow
def test_a_point_is_built_again_to_the_same_bytes(searched, tmp_path):
    front, out, _ = searched
    point = front.points[0]
    build(read_recipe(out / point.recipe_file, {}), PI, tmp_path / "again", tmp_path / "cache", None)
    names = [path.name for path in (out / str(point.number)).iterdir() if path.name.startswith("model.")]
    assert names and all(sha256_of(out / str(point.number) / name) == sha256_of(tmp_path / "again" / name) for name in names)


@pytest.mark.slow
def test_the_same_search_again_repeats_no_trial(searched, tiny, narrow):
    front, out, cache = searched
    again = search(tiny, PI, out, SearchWish(trials=4, packs=2, space=narrow), cache)
    assert tried(again) == tried(front)
    assert [point.pack_id for point in again.points] == [point.pack_id for point in front.points]
    alone = search(tiny, PI, out, SearchWish(trials=4, packs=1, space=narrow), cache)
    assert [point.pack_id in {each.pack_id for each in front.points} for point in alone.points] == [True]


@pytest.mark.slow
def test_a_picked_pack_keeps_its_limits(searched):
    front = searched[0]
    smallest = min(point.file_mb.value for point in front.points)
    settings = pick(front, f"file_mb={smallest + 0.001}")
    assert front.points[[point.number for point in front.points].index(settings.picked)].file_mb.value == smallest
    with pytest.raises(EdgepackError, match=r"file size \(.* MB, .*% over the limit of 0.001\)"):
        pick(front, "file_mb=0.001")


@pytest.mark.slow
def test_a_target_that_vanishes_is_said_and_the_front_is_written_with_predictions(searched, tiny, narrow, monkeypatch):
    front, out, cache = searched
    gone = Target(name="board", address="ssh://nobody@127.0.0.1:9")
    monkeypatch.setattr("edgepack.search.search.check_answers", lambda target: None)  # as if it had answered when the search began
    again = search(tiny, PI, out, SearchWish(trials=4, packs=2, space=narrow, target=gone), cache)
    assert [point.pack_id for point in again.points] == [point.pack_id for point in front.points]
    assert any("board does not answer any more" in note for note in again.notes)
    assert all(point.latency_ms.origin == "predicted" for point in again.points)
    assert "board does not answer any more" in (out / "index.html").read_text()


@pytest.mark.slow
def test_ctrl_c_ends_a_search_and_says_how_it_goes_on(tiny, narrow, tmp_path):
    asked = ["search", tiny.model, "--data", tiny.data, "--profile", "raspberry-pi", "--student", "same", "--epochs", "1"]
    asked += ["--space", narrow, "--trials", "4", "--score-drop", "100", "--cache", tmp_path / "cache", "--out", tmp_path / "out"]
    process = subprocess.Popen([sys.executable, "-m", "edgepack", *map(str, asked)], stderr=subprocess.PIPE, text=True)
    first = next(line for line in process.stderr if line.startswith("trial 1:"))
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait() == 130 and "points lost" in first
    assert "finished trials are kept in" in rest and "start the same command again" in rest and "Traceback" not in rest
    assert not (tmp_path / "out").exists()


def test_a_target_that_does_not_answer_is_refused_before_any_trial(tiny, narrow, tmp_path):
    gone = Target(name="board", address="ssh://nobody@127.0.0.1:9")
    with pytest.raises(EdgepackError, match="127.0.0.1"):
        search(tiny, PI, tmp_path / "out", SearchWish(trials=2, space=narrow, target=gone), tmp_path / "cache")
    assert not (tmp_path / "out").exists() and trials_kept(tmp_path / "cache") == 0


@pytest.mark.parametrize("address", ["qemu://cortex-a72", "null://"])
def test_a_target_whose_times_are_no_devices_is_refused_before_any_trial(tiny, narrow, tmp_path, address):
    emulated = Target(name="it", address=address)
    with pytest.raises(EdgepackError, match="it (is emulated|cannot do this)"):
        search(tiny, PI, tmp_path / "out", SearchWish(trials=2, space=narrow, target=emulated), tmp_path / "cache")
    assert not (tmp_path / "out").exists() and trials_kept(tmp_path / "cache") == 0


def trials_kept(cache):
    return len(list(cache.glob("searches/*/study.sqlite3")))


def test_a_search_without_optuna_says_what_to_install_before_the_demo_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(EdgepackError, match="needs optuna") as error:
        search(Recipe(), PI, tmp_path / "out", SearchWish(trials=1), tmp_path / "cache")
    assert "edgepack[search]" in error.value.fix


@pytest.mark.parametrize(
    ("flags", "says", "fix"),
    [
        (["--data", "DATA", "--format", "both"], "--format both makes packs in two formats", "give --format onnx"),
        (["--data", "DATA", "--format", "auto"], "--format auto makes packs in two formats", "give --format onnx"),
        (["--data", "DATA", "--measure", "full"], "--measure has no effect without --on", "give --on"),
        (["--data", "DATA", "--minutes", "nan"], "--minutes nan", "give --minutes a number above 0"),
        (["--data", "DATA", "--hours", "inf"], "--hours inf", "give --hours a number above 0"),
        (["--data", "DATA", "--hours", "1e308"], "--hours 1e+308", "give --hours a number above 0"),
        (["--data", "DATA", "--pick", "latency_ms=nan"], "no number behind the name", "write latency_ms=30"),
        ([], "a search needs data", "give --data"),
        (["--data", "DATA", "--trials", "0"], "--trials 0", "give --trials a number above 0"),
        (["--data", "DATA", "--pick", "latencyms=3"], "unknown limit", "did you mean 'latency_ms'"),
        (["--data", "DATA", "--hours", "1", "--minutes", "5"], "both limit the time", "give one"),
        (["--data", "DATA", "--space", "none.toml"], "is not there", "give the path"),
    ],
)
def test_a_wrong_wish_is_refused_before_any_work(tiny, tmp_path, flags, says, fix):
    flags = [tiny.data if flag == "DATA" else flag for flag in flags]
    arguments = ["search", tiny.model, "--profile", "raspberry-pi", *flags, "--cache", tmp_path / "cache", "--out", tmp_path / "out"]
    refused(edgepack_here(*arguments), says, fix)
    assert not (tmp_path / "out").exists()


def test_budgets_that_nothing_meets_are_named_with_what_is_missing(tiny, narrow, tmp_path):
    tight = tiny.model_copy(update={"budget": Budget(file_mb=0.01)})
    with pytest.raises(EdgepackError, match=r"exceeds file size \(.* MB, .*% over the budget of 0.01\)") as error:
        search(tight, PI, tmp_path / "out", SearchWish(trials=2, space=narrow), tmp_path / "cache")
    assert "--file-mb" in error.value.fix and not (tmp_path / "out").exists()


def test_data_without_a_train_split_is_refused(tiny, narrow, tmp_path):
    data = make_data(tmp_path / "data", {"train": 8, "dev": 8, "test": 8})
    for name in ("train.csv", "dev.csv"):
        (data / name).unlink()
    with pytest.raises(EdgepackError, match="train"):
        search(tiny.model_copy(update={"data": str(data)}), PI, tmp_path / "out", SearchWish(trials=2, space=narrow), tmp_path / "cache")


@pytest.mark.slow
def test_another_searchs_front_is_not_replaced(searched, tiny, narrow, tmp_path):
    shutil.copytree(searched[1], tmp_path / "out")
    with pytest.raises(EdgepackError, match="another search"):
        search(tiny.model_copy(update={"seed": 1}), PI, tmp_path / "out", SearchWish(trials=2, space=narrow), tmp_path / "cache")
