"""The verdict follows from the checks, no number of this machine passes for the device's, and the page stands alone."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from command_line import in_terminal
from small import make_data

from edgepack.measure.measurement import QUICK
from edgepack.measure.measuring import measure
from edgepack.pack.attempts import Attempt, Sensitive
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.measure import measure_pack
from edgepack.plan.budget_words import BUDGETS
from edgepack.plan.profile import Budget
from edgepack.report.charts import Bar, Cell, Dots, HeatRow, Interval, Line, bars, heat, intervals, lines, reliability, round_ticks
from edgepack.report.first_screen import TILES, VERDICTS
from edgepack.report.judge import judge
from edgepack.report.records import Report
from edgepack.report.write import html, markdown
from edgepack.tasks.common.scores import GroupScore, Score

ROOMY = {"file_mb": 1e4, "ram_mb": 1e4, "latency_ms": 1e5, "load_ms": 1e6, "score_drop": 100.0}


@pytest.fixture(scope="module")
def manifest(pack_folder):
    return read_manifest(pack_folder)


@pytest.fixture(scope="module")
def measured(pack_folder, manifest):
    """As on a quiet machine: what a busy one proves is tested in test_trust.py."""
    return measure(pack_folder, manifest, median_length=9, effort=QUICK).model_copy(update={"is_steady": True})


def with_budget(manifest, **limits):
    budget = Budget(**(ROOMY | limits))
    return manifest.model_copy(update={"plan": manifest.plan.model_copy(update={"budget": budget})})


@pytest.mark.parametrize(
    ("limits", "measurement", "on_device", "verdict", "code"),
    [
        ({}, True, True, "fits", 0),
        ({}, True, False, "not measured", 0),
        ({}, False, False, "not measured", 0),
        ({"file_mb": 0.01}, False, False, "over budget", 2),
        ({"latency_ms": 1e-3}, True, True, "over budget", 2),
        ({"latency_ms": 1e-3}, True, False, "over budget", 2),
        ({"load_ms": 1e-3}, True, True, "over budget", 2),
        ({"ram_mb": 1e-3}, True, True, "over budget", 2),
    ],
)
def test_the_verdict_follows_from_the_checks(manifest, measured, limits, measurement, on_device, verdict, code):
    of_device = measured.model_copy(update={"is_the_device": on_device}) if measurement else None
    report = judge(with_budget(manifest, **limits), of_device)
    assert (report.verdict, report.exit_code) == (verdict, code)
    assert all(BUDGETS[name][0] in report.headline for name in limits)
    assert not any(name in text for name in BUDGETS for text in (report.headline, report.summary))  # keys are not for people


@pytest.mark.parametrize("lacks", ["a score", "a quiet machine"])
def test_what_the_device_measured_is_said_so_where_a_limit_is_open(manifest, measured, lacks):
    last = manifest.ladder[-1].model_copy(update={"score": None, "score_drop": None})
    ladder = (*(row.model_copy(update={"score": None, "score_drop": None}) for row in manifest.ladder[:-1]), last)
    of_device = measured.model_copy(update={"is_the_device": True, "is_steady": lacks == "a score"})
    without = manifest.model_copy(update={"ladder": ladder, "served": None}) if lacks == "a score" else manifest
    report = judge(with_budget(without), of_device)
    assert report.verdict == "not measured" and report.headline.startswith("The device itself measured it (")
    known = {check.name for check in report.checks if check.ok}
    fits, _, open_ = report.headline.partition("Measured to fit: ")[2].partition(" Not known: ")
    for name, (words, _) in BUDGETS.items():
        assert (words in fits) == (name in known) and (words in open_) == (name not in known)
    assert known < set(BUDGETS) and ("--data DATA" in report.next_command) == (lacks == "a score")
    assert ("ssh://" in report.next_command) == (lacks != "a score")
    for shown in (markdown(report), html(report), " ".join(in_terminal(report))):
        assert "not measured on the device" not in shown and "not known to fit" in shown
    purpose = "learn how much quality is lost" if lacks == "a score" else "measure it on the device itself"
    assert purpose in markdown(report) and purpose in html(report)


def test_a_score_on_other_data_leads_to_the_data_of_the_build(manifest):
    blank = {"score": None, "score_drop": None}
    earlier = (row.model_copy(update=blank) for row in manifest.ladder[:-1])
    ladder = (*earlier, manifest.ladder[-1].model_copy(update={"score_drop": None}))
    report = judge(with_budget(manifest.model_copy(update={"ladder": ladder, "served": None})), None)
    assert report.next_command == "edgepack measure PACK --data DATA" and "learn how much quality is lost" in markdown(report)


def test_this_machines_figures_never_pass_for_the_devices(manifest, measured):
    report = judge(manifest, measured)
    assert not measured.is_the_device
    by_name = {check.name: check for check in report.checks}
    for name in ("latency_ms", "load_ms", "ram_mb"):
        assert by_name[name].origin == "predicted" and by_name[name].where == "for cortex-a72"
        assert by_name[name].actual == getattr(manifest.predictions, name) and by_name[name].here is not None
    assert by_name["file_mb"].origin == by_name["score_drop"].origin == "measured"
    text = markdown(report)
    assert "predicted for cortex-a72" in text and f"Measured on {measured.where}" in text and "This machine is not the device" in text


def test_on_the_device_the_measured_figures_judge(manifest, measured):
    report = judge(manifest, measured.model_copy(update={"is_the_device": True}))
    for check in report.checks:
        assert check.origin == "measured" and check.actual is not None
        assert check.here is None or check.here == check.actual


def test_report_json_holds_the_rows_that_the_others_show(pack_folder):
    report = json.loads((pack_folder / "report.json").read_text())
    assert {"verdict", "checks", "ladder", "measurements", "environment"} <= set(report)
    assert {"name", "limit", "actual", "ok", "origin"} <= set(report["checks"][0])
    assert report["measurements"]["latency"][0]["samples_ms"]
    text, page = (pack_folder / "report.md").read_text(), (pack_folder / "report.html").read_text()
    for row in report["ladder"]:
        assert row["stage"] in text and row["stage"] in page
    for check in report["checks"]:
        assert BUDGETS[check["name"]][0] in text and BUDGETS[check["name"]][0] in page
        assert f"{row['second']['value']:.4f}" in text and f"{row['second']['value']:.4f}" in page
        assert f"{row['calibration']['ace']:.4f}" in text and f"{row['calibration']['ace']:.4f}" in page
        binned = [f"{each['true_class']:.2f}" for each in row["calibration"]["by_teacher"]]
        assert f"| {row['stage']} | {' | '.join(binned)} |" in text
        assert all(re.search(f'class="n cell (lost|gained)"[^>]*>{value}</td>', page) for value in binned)
    assert VERDICTS[report["verdict"]] in text and report["headline"] in text and report["summary"] in text and report["summary"] in page
    for tile in report["tiles"]:
        assert TILES[tile["name"]][0] in text and TILES[tile["name"]][0] in page
    for group in report["ladder"][-1]["groups"]:
        assert f"| {group['name']} | {group['value']:.4f} |" in text and f"<td>{group['name']}</td>" in page


def test_the_terminal_shows_quality_within_80_columns(manifest, measured):
    lines = in_terminal(judge(manifest, measured))
    shipped = manifest.ladder[-1]
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if line.startswith(shipped.stage)]
    assert [f"{shipped.second.value:.4f}", f"{shipped.calibration.ece:.3f}"] == [rows[1][1], rows[1][3]]
    assert rows[2][1:] == [f"{each.true_class:.2f}" for each in shipped.calibration.by_teacher]
    worst = shipped.groups[0]
    assert any(line.startswith(f"weakest class: {worst.name} f1 {worst.value:.4f} of {worst.rows} rows") for line in lines)


def test_every_metric_of_a_task_is_shown(manifest, measured):
    third = Score(metric="a_third", value=0.4321, low=0.4, high=0.5, rows=9)
    ladder = tuple(row.model_copy(update={"further": (third,)}) for row in manifest.ladder)
    report = judge(manifest, measured).model_copy(update={"ladder": ladder})
    for text in (html(report).replace(" ", "_"), markdown(report), "\n".join(in_terminal(report)).replace(" ", "_")):
        assert "a_third" in text and "0.4321" in text


def test_languages_are_all_shown(manifest, measured):
    groups = tuple(GroupScore(kind="group", name=f"lang{i}", metric="span_f1", value=0.5 + i / 100, rows=9) for i in range(12))
    ladder = tuple(row.model_copy(update={"groups": groups}) for row in manifest.ladder)
    report = judge(manifest, measured).model_copy(update={"ladder": ladder})
    for text in (html(report), markdown(report), "\n".join(in_terminal(report))):
        assert all(group.name in text for group in groups)


@pytest.mark.parametrize("known", ["nothing", "no teacher", "likelihoods"])
def test_what_is_not_known_is_left_out_or_a_dash(manifest, measured, known):
    def without(row):
        calibration = row.calibration and row.calibration.model_copy(update={"by_teacher": None, "teacher_kl": None})
        if known == "nothing":
            return {"score": None, "score_drop": None, "second": None, "flip_share": None, "calibration": None, "groups": ()}
        if known == "likelihoods":
            return {
                "second": None,
                "calibration": calibration.model_copy(update={"ece": None, "ace": None, "reliability": None}),
                "groups": (),
            }
        return {"calibration": calibration}

    ladder = tuple(row.model_copy(update=without(row)) for row in manifest.ladder)
    report = judge(manifest.model_copy(update={"ladder": ladder}), measured)
    for text in (html(report), markdown(report), "\n".join(in_terminal(report))):
        assert "nan" not in text.lower().split() and "None" not in text
        assert ("true class" in text) == (known != "nothing")
    page = Page()
    page.feed(html(report))
    assert page.open == [] and len(page.charts) == {"nothing": 5, "no teacher": 8, "likelihoods": 6}[known]
    assert Report.read(report.as_json(), "report.json") == report


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.links, self.charts = [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.links += [attributes[key] for key in ("href", "src") if key in attributes]
        if tag == "figure":
            self.charts.append(attributes)
        assert tag != "svg" or (attributes["role"] == "img" and attributes["aria-label"])
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in ("rect", "line", "circle", "polyline")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_one_file_with_its_plots_and_no_network(pack_folder):
    text = (pack_folder / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == [] and page.links == []
    assert len(page.charts) == 10 and all(chart["role"] == "group" for chart in page.charts)
    assert "<script" not in text and "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_text_from_outside_is_escaped(manifest, measured):
    nasty = "<script>alert(1)</script>"
    report = judge(manifest, measured).model_copy(update={"headline": nasty, "notes": (nasty,)})
    assert nasty not in html(report) and nasty not in markdown(report)


def test_charts_hold_their_values():
    drawn = bars("sizes", [Bar("a", (10.0, 5.0), "15 MB", limit=30.0), Bar("b", (0.0,), "0 MB")])
    widths = [float(width) for width in re.findall(r'class="part\d"[^>]* width="([\d.]+)%"', drawn)]
    assert widths == pytest.approx([33.3, 16.7, 0.0], abs=0.1)
    assert 'class="limit"' in drawn
    assert "nan" not in bars("nothing", []) + intervals("one", [Interval("a", 1, 1, 1, "1")]) + lines(
        "flat", [Line("a", ((16, 0),))], "x", "y"
    )
    assert "&lt;b&gt;" in bars("<b>", [Bar("<b>", (1,), "1")])
    square = reliability("sure", [Dots("one", ((1.0, 0.0, 3), (0.5, 0.5, 1)))], "x", "y")
    assert 'cx="280.0" cy="264.0"' in square and 'cx="160.0" cy="144.0"' in square  # the lower right corner, and the middle
    cells = heat("change", ["a", "b"], [HeatRow("<i>", (Cell("1", -1.0), Cell("2", 0.5)))], "name")
    assert re.findall(r'class="n cell (lost|gained)" style="--strength:([\d.]+)"', cells) == [("lost", "0.50"), ("gained", "0.25")]
    assert "&lt;i&gt;" in cells


@pytest.mark.parametrize(("low", "high"), [(0, 7.3), (0.884, 0.961), (0, 0), (3, 3), (0.97, 1.31), (0, 12345)])
def test_ticks_are_round_and_span_the_values(low, high):
    ticks = round_ticks(low, high)
    steps = {round(b - a, 9) for a, b in pairwise(ticks)}
    assert ticks[0] <= low and ticks[-1] >= high and len(steps) == 1 and 2 <= len(ticks) <= 8
    assert float(f"{steps.pop():.0e}") in {step for ten in range(-6, 6) for step in (10.0**ten, 2 * 10.0**ten, 5 * 10.0**ten)}


def test_a_comparison_marks_1():
    drawn = intervals("ratios", [Interval("b", 0.8, 0.9, 1.3, "0.90")], line=1.0)
    assert 'class="limit"' in drawn and ">1</span>" in drawn


@pytest.mark.slow
def test_a_pack_is_measured_again_and_stays_sealed(pack_folder, tmp_path):
    import shutil

    from edgepack.pipeline.verify import verify

    copy = shutil.copytree(pack_folder, tmp_path / "copy")
    before = read_manifest(copy)
    report = measure_pack(copy, effort=QUICK)
    again, built = report.ladder[-1], before.ladder[-1]
    assert again.score == built.score and again.second == built.second and again.groups == built.groups  # the same file, the same data
    assert again.calibration.ece == pytest.approx(built.calibration.ece, abs=1e-4)
    assert again.calibration.by_teacher == built.calibration.by_teacher and again.flip_share == built.flip_share
    assert verify(copy).pack_id == before.pack_id
    assert read_manifest(copy).files != before.files  # the reports are new
    measure_pack(copy, out=tmp_path / "elsewhere", effort=QUICK)
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {"report.json", "report.md", "report.html"}


@pytest.mark.slow
def test_on_other_data_nothing_is_compared_with_the_teacher(pack_folder, tmp_path):
    make_data(tmp_path / "data", {"test": 60})
    report = measure_pack(pack_folder, str(tmp_path / "data"), tmp_path / "report", QUICK)
    shipped = report.ladder[-1]
    assert shipped.score.rows == 60 and shipped.calibration.ece is not None
    assert shipped.score_drop is shipped.flip_share is shipped.calibration.by_teacher is shipped.calibration.teacher_kl is None
    check = next(check for check in report.checks if check.name == "score_drop")
    assert check.ok is None and check.where == "the teacher has no score on this data"
    assert [row.stage for row in report.ladder if row.score] == [shipped.stage]
    tile = next(tile for tile in report.tiles if tile.name == "score_drop")
    assert "before" not in tile.what and "the teacher has no score on this data" in tile.what
    assert report.data_sha256 not in (None, read_manifest(pack_folder).data.sha256)
    assert "compared neither with the teacher nor with an earlier stage" in (tmp_path / "report" / "report.md").read_text()


@pytest.mark.slow
def test_other_data_changes_no_score_of_the_pack_itself(pack_folder, tmp_path):
    import shutil

    copy = shutil.copytree(pack_folder, tmp_path / "copy")
    before = read_manifest(copy)
    assert before.served is not None
    make_data(tmp_path / "data", {"test": 60})
    report = measure_pack(copy, str(tmp_path / "data"), effort=QUICK)
    assert report.ladder[-1].score.rows == 60 and json.loads((copy / "report.json").read_text()) == report.as_json()
    after = read_manifest(copy)
    assert (after.ladder, after.served, after.data) == (before.ladder, before.served, before.data)


def test_what_was_tried_to_quantize_stands_in_every_report(manifest, measured):
    """The worst group first, by its module's name; the last attempt is what was shipped."""
    text = {"recipe": "int8, one group in fp32", "precision": "int8", "file_mb": 2.0, "products": {"int8": 3, "float": 1}, "texts": 9}
    unknown = dict.fromkeys(("score", "float_score", "cosine", "least_cosine", "flip_share", "ece", "float_ece"))
    worst = Sensitive(name="encoder.layer.1.output.dense", params=64, error=0.5, is_wider=True)
    attempt = Attempt(**text, **unknown, score_drop=3.0, limit=2.0, passed=False, details={}, sensitivity=(worst,))
    report = judge(manifest, measured)
    ladder = (*report.ladder[:-1], report.ladder[-1].model_copy(update={"attempts": (attempt,)}))
    shown = report.model_copy(update={"ladder": ladder})
    for page in (html(shown), markdown(shown)):
        assert "one group in fp32" in page and "encoder.layer.1.output.dense" in page and "limit 2: failed" in page
