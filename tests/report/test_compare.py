"""Packs are measured in turn, and nothing is claimed that the sessions do not show."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from edgepack.cli.app import app
from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.targets import Target
from edgepack.measure.measurement import Effort
from edgepack.measure.statistics import ratio
from edgepack.pipeline.compare import _failed, _names, compare
from edgepack.report.comparison import sentence

SHORT = Effort(name="quick", sessions=2, runs=3, seconds=0.0, loads=1, force=True)
SESSIONS = st.lists(st.lists(st.floats(0.1, 1e3), min_size=1, max_size=9), min_size=1, max_size=7)


@given(SESSIONS, st.floats(0.1, 10))
def test_a_ratio_of_the_same_times_a_factor_is_that_factor(sessions, factor):
    result = ratio([[factor * each for each in session] for session in sessions], sessions)
    assert result.value == pytest.approx(factor, rel=1e-3, abs=1e-4) and result.low <= result.value <= result.high


@pytest.mark.parametrize(
    ("times", "claim"),
    [([2, 2, 2, 2], None), ([2, 2, 2, 2, 2], "more"), ([0.5] * 5, "less"), ([0.9, 1.1, 0.9, 1.1, 0.9], None)],
)
def test_a_claim_needs_an_interval_without_one_and_five_sessions(times, claim):
    assert ratio([[each] for each in times], [[1]] * len(times)).claim == claim


@pytest.fixture(scope="module")
def compared(pack_folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("compared")
    shutil.copytree(pack_folder, place / "copy")
    return compare([pack_folder, place / "copy"], place / "page", SHORT), place / "page"


@pytest.mark.slow
def test_every_figure_stands_for_every_pack_with_its_samples(compared):
    report, page = compared
    (result,) = report.targets
    assert result.origin == "measured" and result.where.startswith(result.machine["arch"])
    assert {row.what for row in result.rows} == {"latency_ms", "cold_load_ms", "warm_load_ms", "ram_mb"}
    for row in result.rows:
        assert len(row.samples) == SHORT.sessions and (row.ratio is None) == (row.pack == 0)
        assert row.ratio is None or row.ratio.claim is None  # the same file, and two sessions
    assert json.loads((page / "comparison.json").read_text()) == report.as_json()


def test_the_pages_say_the_same_and_claim_nothing(compared):
    report, page = compared
    text, html = ((page / f"comparison.{kind}").read_text() for kind in ("md", "html"))
    assert len(report.headlines) == 1 and "no difference is shown" in report.headlines[0]
    assert report.headlines[0] in text and "copy" in html and "<script" not in html and "http" not in html
    assert "| cold load |" in text and html.count("<circle") == len([row for row in report.targets[0].rows if row.ratio])


def test_a_sentence_says_faster_slower_and_less_memory(compared):
    row = next(row for row in compared[0].targets[0].rows if row.ratio)
    five = row.ratio.model_copy(update={"value": 0.5, "low": 0.4, "high": 0.6, "sessions": 5, "claim": "less"})
    assert sentence(row.model_copy(update={"ratio": five}), "b", "a").startswith("b is 2.00 times as fast as a (0.50 times a's")
    slower = five.model_copy(update={"value": 3.0, "low": 2.0, "high": 4.0, "claim": "more"})
    assert sentence(row.model_copy(update={"ratio": slower}), "b", "a").startswith("b is 3.00 times as slow as a")
    assert "takes less memory" in sentence(row.model_copy(update={"ratio": five, "what": "ram_mb"}), "b", "a")


def test_what_cannot_be_compared_is_said_before_work(pack_folder, stories_pack, tmp_path):
    for packs, says in (
        ([pack_folder], "nothing to compare"),
        ([pack_folder, pack_folder], "named twice"),
        ([pack_folder, stories_pack], "is for text-"),
    ):
        with pytest.raises(EdgepackError, match=says):
            compare(packs, effort=SHORT)
    changed = tmp_path / "changed"
    shutil.copytree(pack_folder, changed)
    (changed / "labels.json").write_text("{}")
    with pytest.raises(EdgepackError, match=r"labels\.json"):
        compare([pack_folder, changed], effort=SHORT)


def test_packs_of_one_name_are_told_apart_by_no_more_folders_than_that_takes():
    place = Path("/home/ada/secret")
    assert _names([place / "a" / "pack", place / "b" / "pack"]) == ["a/pack", "b/pack"]
    assert _names([place / "a" / "x" / "pack", place / "b" / "x" / "pack", Path("/pack")])[:2] == ["a/x/pack", "b/x/pack"]
    assert _names([place / "mine", place / "other"]) == ["mine", "other"]


def test_a_page_names_no_folder_of_a_pack_that_a_target_refused(pack_folder):
    target = Target(name="pi", address="ssh://pi", key="/home/ada/secret keys/id")
    fix = f"edgepack target check pi {pack_folder}"
    failed = _failed(target, EdgepackError(f"{pack_folder} is refused by {target.key}", fix), [pack_folder])
    assert (failed.failure, failed.fix) == (f"{pack_folder.name} is refused by id", f"edgepack target check pi {pack_folder.name}")


@pytest.mark.slow
def test_the_command_compares_and_tells_of_a_target_that_failed(pack_folder, tmp_path):
    shutil.copytree(pack_folder, tmp_path / "copy")
    where = ["--on", "ssh://127.0.0.1:1", "--on", "local"]
    result = CliRunner().invoke(app, ["compare", str(pack_folder), str(tmp_path / "copy"), "--quick", *where, "--json"])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert [each["target"] for each in report["failed"]] == ["ssh://127.0.0.1:1"] and [each["target"] for each in report["targets"]] == [
        "local"
    ]
