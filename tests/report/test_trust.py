"""A report says no more than it knows, and a card names no place of the machine that built the pack."""

import pytest
import yaml

from edgepack.core.showing import without_folders
from edgepack.pack.manifest import read_manifest
from edgepack.report.first_screen import HOLDS
from edgepack.report.judge import judge
from edgepack.report.model_card import write_model_card
from edgepack.report.write import html, markdown


@pytest.mark.parametrize(
    ("times", "holds", "verdict"),
    [
        (2.0, "yes", "not measured"),
        (1.1, "likely", "not measured"),
        (0.98, "likely", "not measured"),  # over the limit, far inside the error
        (0.95, "unlikely", "over budget"),
        (0.5, "no", "over budget"),
    ],
)
def test_a_prediction_nearer_to_the_limit_than_its_own_error_is_likely_and_not_yes(pack_folder, times, holds, verdict):
    manifest = read_manifest(pack_folder)
    assert 0.1 < manifest.predictions.mean_error["latency_ms"] < 0.4
    limit = manifest.predictions.latency_ms * times
    plan = manifest.plan.model_copy(update={"budget": manifest.plan.budget.model_copy(update={"latency_ms": limit})})
    report = judge(manifest.model_copy(update={"plan": plan}), None)
    check = next(check for check in report.checks if check.name == "latency_ms")
    assert (check.holds, report.verdict) == (holds, verdict)
    assert f"| **{HOLDS[holds]}** |" in markdown(report) and f">{HOLDS[holds]}</td>" in html(report)
    assert ("Likely to fit" in report.headline) == (holds == "likely")


def test_where_nobody_measured_the_error_no_prediction_is_sure(pack_folder):
    manifest = read_manifest(pack_folder)
    unknown = manifest.model_copy(update={"predictions": manifest.predictions.model_copy(update={"mean_error": None})})
    assert {check.holds for check in judge(unknown, None).checks if check.origin == "predicted"} <= {"yes", "likely"}
    assert {check.holds for check in judge(unknown, None).checks if check.origin == "measured"} == {"yes"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("edgepack build /home/ada/models/x --data=/srv/a/b.csv", "edgepack build x --data=b.csv"),
        ("edgepack build org/model --out ../packs/out", "edgepack build org/model --out out"),
        ("/home/ada/data", "data"),
        ("org/model", "org/model"),
        ("see https://host.example/a/b", "see https://host.example/a/b"),
    ],
)
def test_of_a_path_only_its_last_part_is_shown(text, shown):
    assert without_folders(text) == shown


def test_the_card_names_no_folder_of_the_machine_and_its_yaml_is_plain_data(pack_folder, tmp_path):
    manifest = read_manifest(pack_folder)
    place = "/home/ada/secret"
    origin = manifest.data.model_copy(update={"name": f"{place}/rows"})
    changed = {"data": origin, "command": f"edgepack build {place}/model --out {place}/pack", "licence": "mit\u202e: [evil"}
    write_model_card(tmp_path, manifest.model_copy(update=changed))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "secret" not in text and "| data | rows, sha256" in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert front == {
        "license": "mit\\u202e: [evil", "library_name": "onnx", "pipeline_tag": "text-classification", "tags": ["edgepack", "int8"],
    }  # fmt: skip
