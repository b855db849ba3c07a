"""Labels of a text, several labels, numbers and tags: what data may look like, what is decided, and what a pack carries of it."""

import csv
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from small import make_model
from transformers import AutoTokenizer

import edgepack
from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.data import load_data
from edgepack.model.evaluation import run_model
from edgepack.model.material import gather
from edgepack.pipeline.build import build
from edgepack.pipeline.demo.commands import commands
from edgepack.pipeline.verify import verify
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.training_settings import Training
from edgepack.ship.load import device_module
from edgepack.tasks import task_named
from edgepack.tasks.common import several_labels
from edgepack.tasks.common.labels import contradiction, label_names
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.tag_schemes import scheme_of, spans_of
from edgepack.tasks.question_answering import SpanAnswers

LABELS = ("joy", "anger", "fear")


def several():
    config = {"problem_type": "multi_label_classification"}
    source = SimpleNamespace(name="model", labels=LABELS, config=config, activation=None, sentence=None)
    task = task_named("text-classification")
    return task.fitted(task, source, None)


@pytest.mark.parametrize(
    "rows",
    [
        [{"text": "a", "labels": ["joy", "fear"]}, {"text": "b", "labels": []}, {"text": "c", "labels": ["anger"]}],
        [{"text": "a", "label": "joy|fear"}, {"text": "b", "label": ""}, {"text": "c", "label": "anger"}],
        [{"text": "a", "label": "fear, joy"}, {"text": "b", "label": ""}, {"text": "c", "label": "1"}],
        [{"text": "a", "labels": [1, 0, 1]}, {"text": "b", "labels": [0, 0, 0]}, {"text": "c", "labels": [0.0, 1.0, 0.0]}],
        [{"text": text} | dict(zip(LABELS, flags, strict=True)) for text, flags in (("a", (1, 0, 1)), ("b", (0, 0, 0)), ("c", (0, 1, 0)))],
        [{"text": "a", "labels": [0, 2]}, {"text": "b", "labels": []}, {"text": "c", "labels": [1]}],
    ],
    ids=["lists", "bars", "commas and a number", "a flag a label", "a column a label", "numbers"],
)  # fmt: skip
def test_several_labels_are_read_as_people_write_them(rows, tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = load_data(str(path), several())
    read = {row.text: row.labels for split in data.splits.values() for row in split}
    assert read == {"a": ("joy", "fear"), "b": (), "c": ("anger",)}


def test_a_label_that_the_model_does_not_have_is_named(tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text('{"text": "a", "labels": ["joy", "joi"]}\n', encoding="utf-8")
    with pytest.raises(EdgepackError, match=r"test.jsonl:1: label 'joi' is not one"):
        load_data(str(path), several())


def test_thresholds_are_those_of_the_best_f1():
    logits = [np.array([value, -9.0, 0.0]) for value in (-3.0, -2.0, 1.0, 2.0)]
    rows = [SimpleNamespace(labels=labels) for labels in ((), ("joy",), ("joy",), ("joy",))]
    features = [SimpleNamespace(row=index) for index in range(4)]
    joy, anger, fear = several_labels.thresholds_of(logits, features, rows, {name: at for at, name in enumerate(LABELS)})
    assert several_labels.sigmoid(-3.0) < joy <= several_labels.sigmoid(-2.0) and (anger, fear) == (0.5, 0.5)
    assert several_labels.decide(logits, (joy, 0.5, 0.6)) == [(0, 0, 0), (1, 0, 0), (1, 0, 0), (1, 0, 0)]


@pytest.mark.parametrize("answered", [0, 1, 6])
def test_rows_of_an_empty_context_leave_the_threshold_of_no_answer_a_number(answered, tmp_path):
    """They have no span and so no margin. All other answers of this model are right, so the threshold lets them all through."""
    task = task_named("question-answering")
    make_model(tmp_path, task=task.name)
    contexts = ["turn on the light", "play some music", "set the heat"] * 2
    rows = [Row("", text="which", context=text) for text in [*contexts[:answered], "", ""]]
    features = task.encode(AutoTokenizer.from_pretrained(tmp_path), rows, 32)
    outputs = run_model(load_checkpoint(tmp_path, task.name), task, features, "")
    answers = task.decide(outputs, features, rows)
    assert [bool(answer) for answer in answers] == [True] * answered + [False] * 2
    rows = [replace(row, answers=((text, 0),) if text else ()) for row, text in zip(rows, answers, strict=True)]
    stated = json.loads(json.dumps(task.tuned(task, outputs, features, rows, {}).answers(None, None).as_json()))
    assert stated["no_answer"] and np.isfinite(stated["threshold"])
    restored = task.restored(task, task.answer_record.read(stated, "pack.json"), ())
    assert restored.decide(outputs, features, rows) == answers


@pytest.mark.parametrize(
    ("words", "limit", "least"),
    [(50, 64, 71), (50, 48, 71), (50, 70, 71), (50, 71, None), (3, 8, 9), (3, 16, None)],
)
def test_a_question_that_leaves_no_room_for_its_context_is_named_before_work(words, limit, least, tmp_path):
    """The limits are where the tokenizer itself gives up; at the least that is named it makes windows of the row."""
    make_model(tmp_path / "model", task="question-answering")
    question, context = " ".join(["light"] * words), "turn on the light and play some music " * 8
    record = {"question": question, "context": context, "answers": {"text": ["music"], "answer_start": [context.index("music")]}}
    (tmp_path / "data.jsonl").write_text((json.dumps(record) + "\n") * 20)
    recipe = {"model": str(tmp_path / "model"), "data": str(tmp_path / "data.jsonl")}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    asked = {"truncation": "only_second", "stride": min(64, limit // 4), "return_overflowing_tokens": True}
    if least is None:
        windows = [item.ids for item in gather(Recipe(**recipe, max_length=limit)).dev if item.row == 0]
        assert windows == tokenizer([question], [context], max_length=limit, **asked)["input_ids"]
        return
    with pytest.raises(BaseException, match="too short|stride"):
        tokenizer([question], [context], max_length=limit, **asked)
    with pytest.raises(EdgepackError, match=rf"data.jsonl:\d+: the question .* has {words} tokens.* {limit} tokens") as refusal:
        gather(Recipe(**recipe, max_length=limit))
    assert f"--max-length {least} or more" in refusal.value.fix


def test_a_long_question_whose_context_is_whole_beside_it_is_read(tmp_path):
    make_model(tmp_path, task="question-answering")
    row = Row("train:1", text="light " * 50, context="play some music")
    (item,) = task_named("question-answering").encode(AutoTokenizer.from_pretrained(tmp_path), [row], 57)
    assert len(item.ids) == 57


@pytest.mark.parametrize("threshold", [None, float("inf")])
def test_no_answer_without_a_threshold_is_refused(threshold):
    with pytest.raises(EdgepackError):
        SpanAnswers.read({"no_answer": True, "threshold": threshold}, "pack.json")


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({}, ("LABEL_0", "LABEL_1")),
        ({"num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"id2label": {"1": "b", "0": "a"}}, ("a", "b")),
        ({"id2label": {"0": "a", "2": "c"}, "num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2")),
    ],
)
def test_labels_are_named_as_transformers_names_them(config, names):

    from transformers import BertConfig

    assert label_names(config, "config.json") == names
    theirs = BertConfig(**config)
    assert tuple(theirs.id2label[index] for index in range(theirs.num_labels)) == names


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}, None),
        ({"id2label": {"0": "a", "1": "b"}}, None),
        ({"id2label": {"0": "a", "1": "b"}, "label2id": {"b": 0, "a": 1}}, "gives 'b' the id 0, which id2label names 'a'"),
        ({"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "c": 7}}, "gives 'c' the id 7, and the ids are 0 to 1"),
        ({"label2id": {"no": 0, "yes": 1}}, "gives 'no' the id 0, .*'LABEL_0'.*for want of an id2label"),
        ({"id2label": {"0": "a", "1": "b"}, "label2id": {"a": "0"}}, "gives 'a' the id '0'"),
    ],
)
def test_a_label2id_that_contradicts_the_names_is_told(config, told):
    line = contradiction(config, "config.json")
    assert line is None if told is None else re.search(told, line)


@pytest.mark.parametrize(
    ("labels", "scheme", "spans"),
    [
        (("O", "B-A", "I-A"), "iob2", {(0, 2, "A")}),
        (("O", "I-A", "I-B", "B-B"), "iob1", {(0, 2, "A")}),
        (("O", "B-A", "I-A", "E-A", "S-A"), "bioes", {(0, 3, "A"), (3, 4, "A")}),
        (("O", "B-A", "M-A", "E-A", "S-A"), "bioes", {(0, 3, "A")}),
        (("O", "B-A", "I-A", "L-A", "U-A"), "bilou", {(0, 3, "A"), (3, 4, "A")}),
        (("NOUN", "VERB", "O"), "bare", {(0, 1, "NOUN"), (1, 2, "NOUN")}),
    ],
)
def test_schemes_are_recognised_and_their_spans_found(labels, scheme, spans):
    tags = {
        "iob2": ["B-A", "I-A"], "iob1": ["I-A", "I-A"], "bilou": ["B-A", "I-A", "L-A", "U-A"], "bare": ["NOUN", "NOUN"],
        "bioes": ["B-A", "M-A", "E-A"] if "M-A" in labels else ["B-A", "I-A", "E-A", "S-A"],
    }[scheme]  # fmt: skip
    assert scheme_of(labels) == scheme and spans_of(tags, scheme) == spans


def table(folder, columns, rows):
    folder.mkdir()
    for split, choice in rows.items():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *choice])
    return str(folder)


@pytest.mark.slow
def test_a_student_of_several_labels_is_trained_and_its_pack_carries_the_thresholds(tmp_path, cache):
    make_model(tmp_path / "model", labels=LABELS)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    texts = [text for text, _ in commands()["train"]][:60]
    rows = [(text, "|".join(name for at, name in enumerate(LABELS) if (index + at) % 3)) for index, text in enumerate(texts)]
    data = table(tmp_path / "data", ("text", "labels"), {"train": rows[:30], "dev": rows[30:45], "test": rows[45:]})
    training = Training(epochs=1, hard_weight=1.0)
    recipe = Recipe(model=str(tmp_path / "model"), data=data, student="1x32", precision="int8", training=training)
    report = build(recipe, load_profile("raspberry-pi"), tmp_path / "pack", cache, effort=None)
    verify(tmp_path / "pack")
    assert report.ladder[-1].score.metric == "micro_f1" and report.ladder[-1].second.metric == "macro_f1"
    manifest = json.loads((tmp_path / "pack" / "pack.json").read_text())
    thresholds = manifest["answers"]["thresholds"]
    assert manifest["answers"]["multi_label"] and len(thresholds) == 3 and set(thresholds) != {0.5}
    assert manifest["served"]["differing"] == 0 and manifest["served"]["score"] == manifest["served"]["token_score"]
    with edgepack.load(tmp_path / "pack") as model:
        answer = model(texts[0])
        scores = {label.name: label.score for label in answer.scores}
        assert set(answer.chosen) == {name for name, least in zip(LABELS, thresholds, strict=True) if scores[name] >= least}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["text-classification", "feature-extraction"])
def test_a_pack_of_pairs_passes_its_own_checks(task, tmp_path, cache):
    make_model(tmp_path / "model", task=task, **({"labels": ("no", "yes")} if task == "text-classification" else {}))
    texts = [text for text, _ in commands()["train"]][:40]
    rows = [(text, texts[-1 - index] if index % 4 else "", ("no", "yes")[index % 2]) for index, text in enumerate(texts)]
    columns = ("text", "text_pair", "label" if task == "text-classification" else "topic")
    data = table(tmp_path / "data", columns, {"train": rows[:20], "dev": rows[20:30], "test": rows[30:]})
    recipe = Recipe(model=str(tmp_path / "model"), data=data, student="same", prune_heads=0.0, precision="int8", task=task)
    build(recipe, load_profile("raspberry-pi"), tmp_path / "pack", cache, effort=None)
    checked = verify(tmp_path / "pack")
    assert checked.token_ids_equal == checked.golden_texts == checked.decisions_equal
    tested = device_module().self_test(tmp_path / "pack", manifest_file="pack.json")
    assert tested.ok and tested.ids_equal == tested.texts == tested.answers_equal, tested
    served = json.loads((tmp_path / "pack" / "pack.json").read_text())["served"]
    assert served["differing"] == 0 and served["score"]["metric"] == ("accuracy" if task == "text-classification" else "cosine_to_teacher")
