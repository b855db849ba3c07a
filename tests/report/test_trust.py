"""A report says no more than it knows, and a card names no place of the machine that built the pack."""

import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from command_line import in_terminal
from shapes import MINILM

from edgepack.core.showing import command_without_folders, message_without_folders, without_folders
from edgepack.measure.measurement import QUICK
from edgepack.measure.measuring import measure
from edgepack.pack.manifest import Served, read_manifest
from edgepack.plan.command import composed_command
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import Budget
from edgepack.plan.recipe import Recipe
from edgepack.plan.setting import setting_fields
from edgepack.plan.steps import CutVocabulary
from edgepack.report.facts import facts_of
from edgepack.report.figures import figure
from edgepack.report.first_screen import HOLDS
from edgepack.report.formats import compare
from edgepack.report.judge import judge
from edgepack.report.junit import junit
from edgepack.report.model_card import write_model_card
from edgepack.report.next_step import next_step
from edgepack.report.training_doubts import doubts_of_training
from edgepack.report.write import html, markdown


def of_a_compared_size(manifest):
    """The tests' pack is far smaller than the models whose predictions were compared with a measurement."""
    return manifest.model_copy(update={"predictions": manifest.predictions.model_copy(update={"params": 22_000_000})})


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
    manifest = of_a_compared_size(read_manifest(pack_folder))
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
    assert {check.holds for check in judge(unknown, None).checks if check.origin == "predicted"} == {"likely"}
    assert {check.holds for check in judge(unknown, None).checks if check.origin == "measured"} == {"yes"}


def with_limit(manifest, **limits):
    return manifest.model_copy(update={"plan": manifest.plan.model_copy(update={"budget": Budget(**limits)})})


@pytest.mark.parametrize(("times", "holds"), [(3.0, "likely"), (1.0, "likely"), (0.5, "unlikely")])
def test_a_prediction_far_outside_of_what_was_compared_is_sure_of_nothing(pack_folder, times, holds):
    manifest = read_manifest(pack_folder)
    limited = with_limit(manifest, latency_ms=manifest.predictions.latency_ms * times)
    (check,) = judge(limited, None).checks
    assert check.holds == holds and "off several times over" in " ".join(judge(limited, None).notes)


@pytest.fixture(scope="module")
def measured(pack_folder):
    return measure(pack_folder, read_manifest(pack_folder), median_length=9, effort=QUICK)


@pytest.mark.parametrize(
    ("effort", "steady", "limit_ms", "verdict", "code"),
    [
        ("quick", False, 1e5, "not measured", 1),
        ("quick", True, 1e5, "fits", 0),
        ("full", False, 1e5, "fits", 0),
        ("quick", False, 1e-3, "over budget", 2),
    ],
)
def test_a_quick_run_on_a_busy_device_passes_no_gate_without_a_baseline_too(pack_folder, measured, effort, steady, limit_ms, verdict, code):
    now = measured.effort.model_copy(update={"name": effort})
    changed = measured.model_copy(update={"effort": now, "is_steady": steady, "is_the_device": True})
    report = judge(with_limit(read_manifest(pack_folder), latency_ms=limit_ms), changed)
    assert (report.verdict, report.exit_code) == (verdict, code)
    suite = ElementTree.fromstring(junit(report))
    assert (suite.get("skipped"), suite.get("failures")) == (str(int(code == 1)), str(int(code == 2)))
    elsewhere = judge(with_limit(read_manifest(pack_folder), latency_ms=limit_ms), changed.model_copy(update={"is_the_device": False}))
    assert elsewhere.exit_code == (2 if limit_ms < 1 else 0)  # another machine's run was asked for nothing


@pytest.mark.parametrize("name", ["file_mb", "latency_ms", "ram_mb", "load_ms", "score_drop"])
def test_junit_passes_no_budget_that_is_only_predicted(pack_folder, measured, name):
    limited = with_limit(read_manifest(pack_folder), **{name: 1e6})
    for measurement in (None, measured.model_copy(update={"is_the_device": False})):
        report = judge(limited, measurement)
        skipped = ElementTree.fromstring(junit(report)).get("skipped")
        assert skipped == str(int(report.checks[0].origin != "measured")) == str(int(name not in ("file_mb", "score_drop")))


def test_two_formats_are_never_ranked_by_a_machine_that_is_not_the_device_or_is_busy(pack_folder, measured):
    manifest = read_manifest(pack_folder)
    other = manifest.model_copy(update={"format": "tflite", "predictions": manifest.predictions.model_copy(update={"latency_ms": 1e-6})})

    def chosen(device, steady):
        now = measured.model_copy(update={"is_the_device": device, "is_steady": steady})
        slow = now.model_copy(update={"latency": tuple(_slower(row) for row in now.latency)})
        return compare([(manifest, judge(manifest, now)), (other, judge(other, slow))])

    for device, steady in ((False, True), (False, False), (True, False)):
        best, contenders, why = chosen(device, steady)
        assert best == 1 and {each.origin for each in contenders} == {"predicted"} and "predicted for" in why
    best, contenders, _ = chosen(True, True)
    assert best == 0 and {each.origin for each in contenders} == {"measured"}


def _slower(row):
    return row.model_copy(update={"summary": row.summary.model_copy(update={"p50": 1e3, "p90": 1e3})})


WISHES = [
    {}, {"precision": "fp32"}, {"student": "same", "precision": "fp32"}, {"student": "50%"}, {"student": "3x384", "precision": "int8"},
    {"data": None, "budget": {"latency_ms": 1e4}}, {"prune_heads": 0.25}, {"length": 64}, {"budget": {"file_mb": 40.0, "score_drop": 2.0}},
]  # fmt: skip


@pytest.mark.parametrize("wish", WISHES, ids=str)
@pytest.mark.parametrize("name", ["file_mb", "latency_ms", "ram_mb", "load_ms"])
def test_the_next_step_is_a_plan_that_the_planner_makes_of_its_flags(pack_folder, name, wish):
    """The flags beside those of before give the figure that the step promises, and it keeps to the limit."""
    recipe = Recipe.read({"model": "m", "data": "d", "budget": {}} | wish, "test")
    manifest = read_manifest(pack_folder)
    profile = manifest.profile
    plan = make_plan(profile, recipe, MINILM)
    now = getattr(plan.predictions, name)
    changed = manifest.model_copy(update={"recipe": recipe, "plan": plan, "predictions": plan.predictions, "precision": plan.precision})
    steps = 0
    for share in (0.95, 0.7, 0.4, 0.2):
        step = next_step(changed, name, now * 1.2, now * 1.2 * share)
        if step.sentence.startswith("No step"):
            continue
        steps += 1
        command = composed_command(recipe, profile, instead=step.flags)
        assert all(command.split().count(word) == 1 for word in command.split() if word.startswith("--"))
        then = make_plan(profile, read_recipe_of(command), MINILM)
        expected = now * 1.2 * getattr(then.predictions, name) / now
        assert expected <= now * 1.2 * share and f"give {expected:.3g} " in step.sentence, step
    assert steps or not recipe.data or name in ("ram_mb", "load_ms")


@pytest.mark.parametrize("narrow", [None, 4])
def test_the_next_step_keeps_the_vocabulary_and_the_embeddings_that_the_planner_chose(pack_folder, narrow):
    manifest = read_manifest(pack_folder)
    limits = {"file_mb": 7.0 if narrow is None else 4.5, "latency_ms": 1e4, "load_ms": 1e4 if narrow is None else 200.0, "ram_mb": 1e4}
    recipe = Recipe.read({"model": "m", "data": "d", "budget": limits}, "test")
    plan = make_plan(manifest.profile, recipe, MINILM)
    assert plan.cuts_vocabulary
    changed = manifest.model_copy(update={"recipe": recipe, "plan": plan, "predictions": plan.predictions})
    step = next_step(changed, "file_mb", plan.predictions.file_mb, plan.predictions.file_mb * 0.8)
    assert "--vocabulary data" in step.flags
    assert ("--embedding-bits 4" in step.flags) or plan.embedding_bits == 8


def read_recipe_of(command):
    """The recipe that a command line gives."""
    words, stated = shlex.split(command)[2:], {}
    fields = {field.flag: field for field in setting_fields(Recipe)}
    stated["model"] = words.pop(0)
    while words:
        flag = words.pop(0)
        if flag == "--profile":
            words.pop(0)
            continue
        field = fields.get(flag) or fields[f"--{flag.removeprefix('--no-')}"]
        value = flag == field.flag if isinstance(field.default, bool) or flag not in fields or field.path == ("prepack",) else words.pop(0)
        place = stated
        for part in field.path[:-1]:
            place = place.setdefault(part, {})
        place[field.path[-1]] = value if isinstance(value, bool) else _number(value)
    return Recipe.read(stated, "test")


def _number(text):
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return text


def test_the_next_command_keeps_all_that_was_asked_for_but_what_it_changes(pack_folder):
    manifest = read_manifest(pack_folder)
    recipe = manifest.recipe.model_copy(update={"data": "/home/ada/secret/rows", "unlabelled": "/home/ada/secret/more.txt", "seed": 7})
    limited = with_limit(manifest.model_copy(update={"recipe": recipe}), file_mb=0.01)
    command = judge(limited, None).next_command
    assert command.startswith("edgepack build MODEL --profile raspberry-pi") and "secret" not in command
    assert "--data DATA" in command and "--seed 7" in command and "--unlabelled more.txt" in command and "--student" in command
    fitted = limited.model_copy(update={"profile": limited.profile.model_copy(update={"name": "my-board"})})
    assert judge(fitted, None).next_command.startswith("edgepack build MODEL --profile PROFILE "), "no such profile is shipped"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/ada/data", "data"),
        ("/home/ada/secret client/rows 2026/", "rows 2026"),
        ("~/secret client/a b.csv", "a b.csv"),
        ("../secret client/rows", "rows"),
        (r"C:\secret client\rows", "rows"),
        ("org/model", "org/model"),
        ("see https://host.example/a/b", "see https://host.example/a/b"),
        ({"data": "/secret/rows", "columns": ["/secret/x y"], "seed": 7}, {"data": "rows", "columns": ["x y"], "seed": 7}),
    ],
)
def test_of_a_path_only_its_last_part_is_shown(value, shown):
    assert without_folders(value) == shown


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("edgepack build /home/ada/models/x --data=/srv/a/b.csv", "edgepack build x --data=b.csv"),
        ("edgepack build org/model --out ../packs/out", "edgepack build org/model --out out"),
        ("edgepack build '/home/ada/secret client/model' '--data=/srv/secret client/a b.csv'", "edgepack build model '--data=a b.csv'"),
        ("""edgepack build m --label-map '{"a/b": "X, Y"}'""", """edgepack build m --label-map '{"a/b": "X, Y"}'"""),
        ("edgepack build '/secret/quote that never ends", "edgepack build quote that never ends"),
    ],
)
def test_of_a_path_in_a_command_only_its_last_part_is_shown_and_the_rest_stays_as_it_was_typed(command, shown):
    assert command_without_folders(command) == shown


def test_a_message_that_goes_into_a_report_keeps_its_own_words():
    text = "no room for /home/ada/secret packs/mine. Fix: edgepack target check pi '/home/ada/secret packs/mine'; key ~/secret/id"
    paths = (Path("/home/ada/secret packs/mine"), "~/secret/id", None, "python3", ".")
    assert message_without_folders(text, paths) == "no room for mine. Fix: edgepack target check pi mine; key id"


def test_the_card_names_no_folder_of_the_machine_and_its_yaml_is_plain_data(pack_folder, tmp_path):
    manifest = read_manifest(pack_folder)
    place = "/home/ada/secret client/of 2026"
    origin = manifest.data.model_copy(update={"name": f"{place}/rows"})
    command = shlex.join(["edgepack", "build", f"{place}/model", "--out", f"{place}/pack"])
    source = manifest.source.model_copy(update={"name": f"{place}/my model"})
    changed = {"data": origin, "source": source, "command": command, "licence": "mit\u202e: [evil"}
    write_model_card(tmp_path, manifest.model_copy(update=changed))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "secret" not in text and "2026" not in text and "| data | rows, sha256" in text and "| made from | my model, sha256" in text
    assert "edgepack build model --out pack" in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert front == {
        "license": "mit\\u202e: [evil", "library_name": "onnx", "pipeline_tag": "text-classification", "tags": ["edgepack", "int8"],
    }  # fmt: skip


def test_a_report_names_no_folder_of_a_corpus(pack_folder):
    manifest = read_manifest(pack_folder)
    cut = CutVocabulary(corpus="/home/ada/secret client/words.txt", why="You asked for it.")
    changed = manifest.model_copy(update={"plan": manifest.plan.model_copy(update={"steps": (cut, *manifest.plan.steps)})})
    report = judge(changed, None)
    assert report.steps[0].corpus == "words.txt" and report.steps[1:] == manifest.plan.steps


def of_a_student(pack_folder, recipe, details):
    """The manifest of a pack whose training lost ten points, and nothing else any."""
    manifest = read_manifest(pack_folder)
    plan = make_plan(manifest.profile, recipe, MINILM)
    first = manifest.ladder[0]
    rows = [first, *(first.model_copy(update={"stage": stage, "score_drop": 10.0, "details": details}) for stage in ("distill", "export"))]
    changed = {"recipe": recipe, "plan": plan, "predictions": plan.predictions, "precision": plan.precision, "ladder": tuple(rows)}
    return manifest.model_copy(update=changed)


@pytest.mark.parametrize(
    ("training", "flags"),
    [({}, "--epochs 7"), ({"training_steps": 350}, "--training-steps 700"), ({"minutes": 3.0}, "--minutes 6")],
    ids=str,
)
def test_a_training_that_ended_before_its_time_is_made_longer_by_what_limited_it(pack_folder, training, flags):
    recipe = Recipe.read({"model": "m", "data": "d", "student": "3x192", "training": training}, "test")
    manifest = of_a_student(pack_folder, recipe, {"steps": 350, "texts": 3200, "still_improving": "yes"})
    step = next_step(manifest, "score_drop", 10.0, 2.0)
    assert step.flags == flags and f"Next step: {flags}, because" in step.sentence
    assert [*doubts_of_training(recipe, manifest.ladder)] == [
        "The student, which is the small model, was still improving when its training ended after 350 steps. "
        f"A longer one ({flags}) would make it better."
    ]
    report = judge(manifest, None)
    for text in (markdown(report), html(report), " ".join(in_terminal(report))):
        assert " ".join(text.split()).count("was still improving when its training ended") == 1
    words = composed_command(recipe, manifest.profile, instead=flags).split()
    assert len(set(words)) == len(words)


def test_a_student_that_learned_all_it_could_becomes_larger_as_far_as_the_other_limits_let_it(pack_folder):
    recipe = Recipe.read({"model": "m", "data": "d", "student": "3x192", "precision": "int8"}, "test")
    manifest = of_a_student(pack_folder, recipe, {"steps": 350, "texts": 3200})
    step = next_step(manifest, "score_drop", 10.0, 2.0)
    then = make_plan(manifest.profile, read_recipe_of(composed_command(recipe, manifest.profile, instead=step.flags)), MINILM)
    assert then.student.params >= 1.3 * manifest.plan.student.params * 0.97  # a size is written with two digits
    limits = manifest.plan.budget.model_dump(exclude_none=True, exclude={"score_drop"})
    assert limits and all(getattr(then.predictions, name) <= limit for name, limit in limits.items())
    tight = manifest.plan.model_copy(update={"budget": manifest.plan.budget.model_copy(update={"file_mb": 1.0})})
    assert next_step(manifest.model_copy(update={"plan": tight}), "score_drop", 10.0, 2.0).flags is None


@pytest.mark.parametrize("served_rows", [2, 24])
def test_a_few_raw_texts_add_what_they_lose_beside_token_ids_and_many_judge_the_budget_themselves(pack_folder, served_rows):
    manifest = read_manifest(pack_folder)
    score = manifest.ladder[-1].score.model_copy(update={"value": 0.75, "rows": 24})
    rows = (*manifest.ladder[:-1], manifest.ladder[-1].model_copy(update={"score": score, "score_drop": 5.0}))
    few = score.model_copy(update={"rows": served_rows})
    served = Served(
        score=few.model_copy(update={"value": 0.5}), token_score=few.model_copy(update={"value": 0.52}), score_drop=30.0, differing=1
    )
    changed = manifest.model_copy(update={"ladder": rows, "served": served})
    lost = figure("score_drop", changed, None, {})
    assert lost.actual == pytest.approx(7.0 if served_rows == 2 else 30.0) and lost.origin == "measured"
    tile = next(tile for tile in judge(changed, None).tiles if tile.name == "score_drop")
    assert ("raw texts lose 2.00 points beside them, which is added" in tile.what) == (served_rows == 2)
    assert ("0.5000 after" in tile.what) == (served_rows == 24)
    sentence = next(each for each in facts_of(changed) if "On raw texts" in each)
    assert ("is added to the loss on all rows" in sentence) == (served_rows == 2)
    assert "--words white-space" not in sentence
    tags = changed.model_copy(update={"answers": {"words": "tokenizer"}})
    assert "--words white-space" in next(each for each in facts_of(tags) if "On raw texts" in each)


@pytest.mark.parametrize(
    ("figure", "limit"),
    [(15.44, "15.5"), (61.74, "61.8"), (1234.4, "1235"), (50.0, "50.0"), (0.123, "0.123"), (0.1231, "0.124"), (100.0, "100")],
)
def test_a_limit_to_type_is_never_below_the_figure_and_has_no_exponent(figure, limit):
    from edgepack.report.next_step import _rounded_up

    assert _rounded_up(figure) == limit and float(limit) >= figure
