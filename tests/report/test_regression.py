"""edgepack as a gate in CI: an older report is a baseline, JUnit's XML tells what failed, and the JSON has a published schema."""

import json
from xml.etree import ElementTree

import jsonschema
import pytest
from command_line import in_terminal
from typer.testing import CliRunner

from edgepack.cli.app import app
from edgepack.core.errors import EdgepackError
from edgepack.measure.measurement import QUICK
from edgepack.measure.measuring import measure
from edgepack.pack.manifest import read_manifest
from edgepack.report.baseline import FIGURES
from edgepack.report.judge import judge
from edgepack.report.junit import junit
from edgepack.report.records import TargetRow
from edgepack.report.regression import against, check_comparable, check_same_machine, read_baseline
from edgepack.report.schema import PUBLISHED, text
from edgepack.report.write import html, markdown


@pytest.fixture(scope="module")
def report(pack_folder):
    manifest = read_manifest(pack_folder)
    return judge(manifest, measure(pack_folder, manifest, median_length=9, effort=QUICK))


def faster(report, times):
    """The same report of a machine that took 1/`times` as long for every inference."""
    rows = [
        row.model_copy(
            update={
                "samples_ms": tuple(tuple(each / times for each in session) for session in row.samples_ms),
                "summary": row.summary.model_copy(update={"p50": row.summary.p50 / times}),
            }
        )
        for row in report.measurements.latency
    ]
    return report.model_copy(update={"measurements": report.measurements.model_copy(update={"latency": tuple(rows)})})


def with_last(report, **changes):
    return report.model_copy(update={"ladder": (*report.ladder[:-1], report.ladder[-1].model_copy(update=changes))})


@pytest.mark.parametrize(("steady", "effort", "code"), [(False, "quick", 1), (True, "quick", 0), (False, "full", 0)])
def test_a_quick_run_on_a_busy_machine_passes_no_gate(report, tmp_path, steady, effort, code):
    (tmp_path / "report.json").write_text(json.dumps(report.as_json()))
    now = report.measurements
    changed = now.model_copy(update={"is_steady": steady, "effort": now.effort.model_copy(update={"name": effort})})
    result = against(report.model_copy(update={"measurements": changed}), read_baseline(tmp_path / "report.json"), "old", 0.1)
    assert result.exit_code == code and any("proves nothing" in note for note in result.notes) == (code == 1)


def test_a_report_is_no_worse_than_itself_and_its_json_is_read_again(report, tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(report.as_json()))
    result = against(report, read_baseline(tmp_path / "report.json"), "old", 0.1)
    assert result.baseline.worse == () and result.exit_code == (1 if report.measurements.proves_nothing else report.exit_code)
    assert {"latency_ms", "cold_load_ms", "warm_load_ms", "ram_mb", "file_mb", "score"} == {row.what for row in result.baseline.rows}
    assert all(row.ratio == 1 for row in result.baseline.rows if row.low is None)


def test_what_is_slower_than_the_limit_fails_and_says_by_how_much(report):
    result = against(report, faster(report, 3.0), "old", 0.1)
    assert result.exit_code == 2 and {row.what for row in result.baseline.worse} == {"latency_ms"}
    assert all(row.ratio == pytest.approx(3, rel=0.6) for row in result.baseline.worse)
    assert against(report, faster(report, 0.3), "old", 0.1).baseline.worse == ()
    for shown in (markdown(result), html(result)):
        assert "Against the baseline" in shown and FIGURES["latency_ms"] in shown


def test_a_score_that_falls_and_a_file_that_grows_fail_too(report):
    last = report.ladder[-1]
    better = last.model_copy(update={"score": last.score.model_copy(update={"value": last.score.value * 1.5}), "file_mb": last.file_mb / 2})
    result = against(report, report.model_copy(update={"ladder": (*report.ladder[:-1], better)}), "old", 0.1)
    assert {row.what for row in result.baseline.worse} == {"score", "file_mb"}


@pytest.mark.parametrize(
    ("higher_is_better", "before", "now", "is_worse"),
    [
        (True, 0.9, 0.0, True),
        (True, 0.6, -0.4, True),
        (True, -0.2, -0.3, True),
        (True, -0.4, 0.6, False),
        (True, 0.0, 0.0, False),
        (True, 0.0, -0.1, True),
        (True, 1.0, 0.905, False),
        (True, 0.8, 0.72, False),
        (True, 1.0, 0.89, True),
        (False, 10.0, 11.0, False),
        (False, 10.0, 11.1, True),
        (False, 0.0, 5.0, True),
        (False, 5.0, 0.0, False),
    ],
)
def test_a_figure_may_be_worse_by_a_share_of_its_old_value_below_0_too(report, higher_is_better, before, now, is_worse):
    metric = "accuracy" if higher_is_better else "perplexity"
    score = report.ladder[-1].score.model_copy(update={"metric": metric})
    then, changed = (with_last(report, score=score.model_copy(update={"value": value})) for value in (before, now))
    result = against(changed, then, "old", 0.1)
    assert [row.is_worse for row in result.baseline.rows if row.what == "score"] == [is_worse]
    for shown in (markdown(result), html(result), junit(result), " ".join(in_terminal(result))):
        assert "None" not in shown.replace("None of", "")


@pytest.mark.parametrize("which", ["other data", "another metric", "no score now", "no score then"])
def test_scores_that_cannot_be_compared_are_left_out_and_every_page_says_so(report, which):
    last = report.ladder[-1]
    unlike = {
        "other data": report.model_copy(update={"data_sha256": "0" * 64}),
        "another metric": with_last(report, score=last.score.model_copy(update={"metric": "span_f1"})),
    }.get(which, with_last(report, score=None))
    now, then = (report, unlike) if which == "no score then" else (unlike, report)
    result = against(now, then, "old", 0.1)
    assert "score" not in {row.what for row in result.baseline.rows} and result.baseline.left_out.startswith("No score is compared")
    for shown in (markdown(result), html(result), junit(result), " ".join(in_terminal(result))):
        assert result.baseline.left_out in shown


def test_a_baseline_without_a_hash_of_its_data_is_held_to_its_number_of_rows(report):
    older = report.model_copy(update={"data_sha256": None})
    assert "score" in {row.what for row in against(report, older, "old", 0.1).baseline.rows}
    fewer = report.ladder[-1].score.model_copy(update={"rows": 2})
    assert against(report, with_last(older, score=fewer), "old", 0.1).baseline.left_out


def test_a_baseline_that_tells_nothing_is_refused_before_work(report, tmp_path):
    with pytest.raises(EdgepackError, match="baseline not found"):
        read_baseline(tmp_path / "none.json")
    for content, says in (
        ("{", "is not JSON"),
        ("{}", "missing key"),
        (json.dumps(report.as_json() | {"measurements": None}), "no measurements"),
    ):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(EdgepackError, match=says):
            read_baseline(tmp_path / "bad.json")
    with pytest.raises(EdgepackError, match="the baseline is of text-classification for"):
        check_comparable(report, "phone", report.task, ["local"])
    with pytest.raises(EdgepackError, match="has no figures of pi: it was measured on local"):
        check_comparable(report, report.profile, report.task, ["local", "pi"])
    machine = report.measurements.environment["machine"]
    check_same_machine(report, "local", machine)
    with pytest.raises(EdgepackError, match="another machine: cores"):
        check_same_machine(report, "local", machine | {"cores": 99})


def test_junit_passes_only_what_was_measured(report):
    rows = (TargetRow(target="pi", address="ssh://pi", failure="gone", fix="start it"), TargetRow(target="local", address="local"))
    checks = (
        report.checks[0].model_copy(update={"ok": False}),
        report.checks[1].model_copy(update={"ok": None, "actual": None}),
        report.checks[2].model_copy(update={"ok": True, "origin": "measured"}),
        report.checks[3].model_copy(update={"ok": True, "origin": "predicted", "holds": "likely"}),
    )
    worse = against(report, faster(report, 3.0), "old", 0.1).baseline
    suite = ElementTree.fromstring(junit(report.model_copy(update={"targets": rows, "checks": checks, "baseline": worse})))
    assert suite.tag == "testsuite" and int(suite.get("tests")) == len(suite) == 4 + 2 + len(worse.rows)
    assert (int(suite.get("failures")), suite.get("errors"), suite.get("skipped")) == (1 + len(worse.worse), "1", "2")
    assert suite.find(f"testcase[@name='{checks[3].name}']/skipped").get("message").endswith("it is likely to hold")
    assert suite.find("testcase[@name='pi']/error").get("message") == "gone"


def test_the_published_schema_is_that_of_the_records_and_a_report_keeps_to_it(report):
    assert PUBLISHED.read_text() == text(), "the records changed: python -m edgepack.report.schema"
    judge_of_json = jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text()))
    judge_of_json.validate(report.as_json())
    assert list(judge_of_json.iter_errors(report.as_json() | {"verdict": "splendid"}))


@pytest.mark.slow
def test_the_command_is_a_gate(pack_folder, report, tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(faster(report, 50.0).as_json()))
    flags = [
        "--baseline",
        str(tmp_path / "old.json"),
        "--max-regression",
        "20%",
        "--junit",
        str(tmp_path / "out.xml"),
        "--out",
        str(tmp_path),
    ]
    result = CliRunner().invoke(app, ["measure", str(pack_folder), "--quick", *flags])
    assert result.exit_code == 2 and "worse: latency, ms" in result.stdout
    assert int(ElementTree.parse(tmp_path / "out.xml").getroot().get("failures")) >= 1


def test_a_limit_without_a_baseline_is_refused_before_any_work(tmp_path):
    result = CliRunner().invoke(app, ["measure", str(tmp_path / "none"), "--max-regression", "5%"])
    assert isinstance(result.exception, EdgepackError) and "no effect without --baseline" in result.exception.problem
