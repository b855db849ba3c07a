"""The words of a report's first screen, for figures of every kind."""

import re

import pytest

from edgepack.pack.manifest import read_manifest
from edgepack.plan.profile import load_profile
from edgepack.report.figures import size_in_words
from edgepack.report.first_screen import change_in_words, limit_in_words, next_command, placeholders_in_words, quality_in_words
from edgepack.report.judge import judge
from edgepack.report.records import Tile
from edgepack.report.write import html, markdown
from edgepack.tasks.common.scores import Score


def tile(**more) -> Tile:
    empty = {"origin": None, "where": "", "error": None, "before": None, "before_origin": None, "times_origin": None, "what": ""}
    return Tile(**(empty | {"name": "latency_ms", "value": None, "times": None, "limit": None, "holds": None} | more))


@pytest.mark.parametrize(
    ("times", "words"),
    [(None, None), (1.0, "the same as before"), (0.99, "the same as before"), (2.41, "2.41 times faster"), (0.5, "2 times slower")],
)
def test_a_change_is_told_in_words_and_none_is_none(times, words):
    assert change_in_words(tile(times=times)) == words


@pytest.mark.parametrize(
    ("holds", "limit", "words"),
    [
        ("yes", 2.0, "within the limit of 2 points"),
        ("unknown", 1.0, "not known; the limit is 1 point"),
        ("no", 1.0, "over the limit of 1 point"),
        (None, None, None),
    ],
)
def test_a_limit_is_told_in_words(holds, limit, words):
    assert limit_in_words(tile(name="score_drop", holds=holds, limit=limit)) == words


@pytest.mark.parametrize(
    ("name", "limit", "words"),
    [("latency_ms", 1.0, "1 ms"), ("ram_mb", 2048.0, "2048 MB"), ("file_mb", 12.34, "12.3 MB"), ("score_drop", 1.0, "1 point")],
)
def test_a_limit_of_any_figure_keeps_its_unit_and_is_no_power_of_ten(name, limit, words):
    assert limit_in_words(tile(name=name, holds="yes", limit=limit)) == f"within the limit of {words}"


@pytest.mark.parametrize(("mb", "words"), [(23.11, "23.1 MB"), (0.0294, "29.4 kB"), (0.0001, "100 bytes")])
def test_a_small_file_has_a_size_too(mb, words):
    assert size_in_words(mb) == words


def test_columns_of_which_nothing_is_known_are_left_out(pack_folder):
    manifest = read_manifest(pack_folder)
    unscored = tuple(row.model_copy(update=dict.fromkeys(("score", "score_drop", "flip_share"))) for row in manifest.ladder)
    for ladder, shown in ((manifest.ladder, True), (unscored, False)):
        report = judge(manifest.model_copy(update={"ladder": ladder}), None)
        for page in (html(report), markdown(report)):
            (heading,) = (line for line in page.splitlines() if "parameters" in line and "seconds" in line)
            assert all((name in heading) is shown for name in ("score", "95 % interval", "points lost", "flipped"))
        tables = re.findall(r"(?:^\|.*\n)+", markdown(report), re.MULTILINE)
        cells = [{len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()} for table in tables]
        assert len(cells) > 3 and all(len(widths) == 1 for widths in cells)


@pytest.mark.parametrize(
    ("metric", "then", "now", "words"),
    [
        ("span_f1", 0.9, 0.8, "of 100; span f1 0.9000 before, 0.8000 after"),
        ("span_f1", 0.8, 0.9, "of 100; below 0 is a gain; span f1 0.8000 before, 0.9000 after"),
        ("perplexity", 8.0, 9.0, "a point is 1 % of what it was before, and lower is better; perplexity 8.0000 before, 9.0000 after"),
    ],
)
def test_a_point_of_quality_is_told_by_its_metric(metric, then, now, words):
    before, after = (Score(metric=metric, value=value, low=value, high=value, rows=9) for value in (then, now))
    assert quality_in_words(before, after) == words


@pytest.mark.parametrize(("profile", "address"), [("phone", "adb://"), ("phone-entry", "adb://"), ("raspberry-pi", "ssh://user@device")])
def test_what_is_next_reaches_such_a_device(pack_folder, profile, address):
    manifest = read_manifest(pack_folder).model_copy(update={"profile": load_profile(profile)})
    command = next_command(manifest, "not measured", ())
    assert command == f"edgepack measure PACK --on {address}" and address.removeprefix("ssh://") in placeholders_in_words(command)
