"""Packs of the front: those that wait from an earlier run, and a front of which none can be built."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from fronts import front

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.targets import Target
from edgepack.measure.measurement import FULL, QUICK
from edgepack.pack.manifest import read_manifest
from edgepack.plan.command import composed_command
from edgepack.plan.profile import Budget, load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.recipe_file import profile_of
from edgepack.report.comparison import compared_pack
from edgepack.report.formats import compare
from edgepack.report.judge import judge
from edgepack.search.candidates import Factors
from edgepack.search.clock import Clock
from edgepack.search.finals import Builder, Final, point_of, remove_stale
from edgepack.search.packs import built_packs
from edgepack.search.place import write_pick
from edgepack.search.rungs import materials_of, pinned

PI = load_profile("raspberry-pi")


def test_a_damaged_pack_that_waits_is_removed_so_that_it_is_built_again(tmp_path):
    waiting = tmp_path / "waiting"
    waiting.mkdir()
    (waiting / "pack.json").write_text("{")
    remove_stale(waiting, "edgepack build")
    assert not waiting.exists()
    remove_stale(waiting, "edgepack build")


def test_where_no_pack_can_be_built_an_error_says_why(tmp_path):
    builder = Builder(tmp_path / "packs", tmp_path / "cache", PI, tmp_path / "out", QUICK, None)
    candidate = SimpleNamespace(recipe=Recipe(model=str(tmp_path / "nowhere"), format="onnx"))
    tries = SimpleNamespace(maker=SimpleNamespace(factors=Factors()), clock=Clock(None))
    with pytest.raises(EdgepackError, match="no pack of the front can be built"):
        built_packs(tries, builder, [Final(1, 0, "", candidate)])


@pytest.mark.parametrize(
    ("name", "address", "effort", "again"),
    [("pi", "ssh://pi@one", QUICK, False), ("pi", "ssh://pi@two", QUICK, True), ("other", "ssh://pi@one", QUICK, True),
     ("pi", "ssh://pi@one", FULL, True)],
)  # fmt: skip
def test_a_pack_that_waits_is_measured_again_where_another_machine_or_effort_is_asked_for(tmp_path, name, address, effort, again):
    waiting = SimpleNamespace(
        measurements=SimpleNamespace(target="pi", effort=QUICK), targets=[SimpleNamespace(target="pi", address="ssh://pi@one")]
    )
    target = Target(name=name, address=address)
    builder = Builder(tmp_path / "packs", tmp_path / "cache", PI, tmp_path / "out", effort, target)
    assert builder.is_measured(waiting, target) is not again


def test_a_wish_that_no_pack_meets_leaves_the_front_without_a_pick(tmp_path):
    written = front(picked=None, picked_by=None)
    with pytest.raises(EdgepackError, match="without a pick"):
        write_pick(tmp_path, written, "file_mb=0.001")
    assert write_pick(tmp_path, written, "knee").picked is not None
    assert {path.name for path in tmp_path.iterdir()} == {"front.json", "index.html"}


def test_a_profile_of_the_users_own_is_named_by_its_file():
    recipe = Recipe(model="m")
    assert "--profile /boards/mine" in composed_command(recipe, PI, "/boards/mine")
    assert "--profile raspberry-pi" in composed_command(recipe, PI)


def test_a_recipe_file_that_names_a_profile_without_a_suffix_finds_it_beside_itself(tmp_path):
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "mine").touch()
    (tmp_path / "1.toml").write_text('profile = "boards/mine"')
    assert profile_of(tmp_path / "1.toml") == str(tmp_path / "boards" / "mine")


def test_the_commit_of_a_hub_model_is_in_the_recipes_of_the_packs(tiny):
    materials = materials_of(tiny)
    hub = replace(materials, whole=replace(materials.whole, source=replace(materials.whole.source, revision="abc")))
    assert pinned(hub, tiny).whole.recipe.revision == "abc" and pinned(materials, tiny).whole.recipe.revision is None


def test_the_points_lost_are_the_same_wherever_a_pack_is_shown(pack_folder):
    manifest = read_manifest(pack_folder)
    budget = manifest.plan.budget.model_copy(update={"score_drop": 50.0})
    by_raw_text = manifest.served.score.model_copy(update={"value": 0.125})
    served = manifest.served.model_copy(update={"differing": 3, "score": by_raw_text, "score_drop": 77.0})
    changed = manifest.model_copy(update={"served": served, "plan": manifest.plan.model_copy(update={"budget": budget})})
    report = judge(changed, None)
    _, contenders, _ = compare([(changed, report), (changed, report)])
    final = Final(1, 0, "", SimpleNamespace(settings={}, recipe=changed.recipe))
    rows = [*contenders, point_of(final, changed, report, Factors(), "edgepack build"), compared_pack("a", changed)]
    assert {row.score_drop for row in rows} == {tile.value for tile in report.tiles if tile.name == "score_drop"} == {77.0}
    assert [row.over for row in rows[:3]] == [{"score_drop": 1.54}] * 3
    assert {rows[0].score, rows[2].score, rows[3].score.value} == {0.125}
    assert "0.1250 after" in next(tile.what for tile in report.tiles if tile.name == "score_drop")


@pytest.mark.parametrize(("times", "is_over"), [(1.1, False), (0.98, False), (0.95, True), (0.5, True)])
def test_a_limit_inside_a_prediction_s_error_is_judged_alike_wherever_a_pack_is_shown(pack_folder, times, is_over):
    manifest = read_manifest(pack_folder)
    predictions = manifest.predictions.model_copy(update={"params": 22_000_000})  # a size whose predictions were compared
    plan = manifest.plan.model_copy(update={"budget": Budget(latency_ms=predictions.latency_ms * times)})
    changed = manifest.model_copy(update={"predictions": predictions, "plan": plan})
    report = judge(changed, None)
    final = Final(1, 0, "", SimpleNamespace(settings={}, recipe=changed.recipe))
    _, contenders, _ = compare([(changed, report), (changed, report)])
    rows = [*contenders, point_of(final, changed, report, Factors(), "edgepack build")]
    assert [bool(row.over) for row in rows] == [is_over] * 3 == [report.verdict == "over budget"] * 3
