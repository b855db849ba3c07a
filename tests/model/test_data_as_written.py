"""Data as other programs write it: the datasets library, Excel, pandas; and labels that are aligned by their names."""

import json
from dataclasses import replace

import datasets
import pytest

from edgepack.core.errors import EdgepackError
from edgepack.model.data import label_ids, load_data
from edgepack.plan.recipe import Columns
from edgepack.tasks import task_named
from edgepack.tasks.common import numbers_as_answers

CLASSIFY, TAG = "text-classification", "token-classification"
NAMES = ["neg", "pos"]


def rows(count=12):
    return {"text": [f"text {at}" for at in range(count)], "label": [at % 2 for at in range(count)]}


def dataset(count=12):
    return datasets.Dataset.from_dict(
        rows(count), datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=NAMES)})
    )


def labels_of(result):
    return [row.label for split in result.splits.values() for row in split]


def test_a_folder_of_save_to_disk_has_its_splits_and_the_names_of_its_labels(tmp_path):
    whole = datasets.DatasetDict(train=dataset(), validation=dataset(4), test=dataset(6))
    whole.save_to_disk(tmp_path / "whole", num_shards={"train": 3, "validation": 1, "test": 1})
    result = load_data(str(tmp_path / "whole"), CLASSIFY)
    assert {split: len(part) for split, part in result.splits.items()} == {"train": 12, "dev": 4, "test": 6}
    assert [row.text for row in result.splits["train"]] == rows()["text"] and set(labels_of(result)) == set(NAMES)
    dataset(20).save_to_disk(tmp_path / "single")
    assert set(labels_of(load_data(str(tmp_path / "single"), CLASSIFY))) == set(NAMES)


def test_parquet_holds_the_names_of_its_labels_and_comes_in_shards(tmp_path):
    for at in range(2):
        dataset().to_parquet(tmp_path / f"train-{at:05d}-of-00002.parquet")
    dataset(6).to_parquet(tmp_path / "test-00000-of-00001.parquet")
    result = load_data(str(tmp_path), CLASSIFY)
    assert len(result.splits["train"]) + len(result.splits["dev"]) == 24 and set(labels_of(result)) == set(NAMES)
    (tmp_path / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(EdgepackError, match="lacks shard 1 of 2 of train-00000-of-00002.parquet"):
        load_data(str(tmp_path), CLASSIFY)


def test_tags_are_named_too(tmp_path):
    features = datasets.Features(
        {"tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(datasets.ClassLabel(names=["O", "B-PER"]))}
    )
    datasets.Dataset.from_dict({"tokens": [["Ann", "came"]] * 8, "ner_tags": [[1, 0]] * 8}, features).to_parquet(tmp_path / "train.parquet")
    assert load_data(str(tmp_path), TAG).splits["train"][0].tags == ("B-PER", "O")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("excel.csv", 'sep=;\r\ntext;label\r\n"one; two";x\r\nthree;y\r\n'),
        ("pandas.tsv", 'text\tlabel\n"he said ""one; two"" once"\tx\nthree\ty\n'),
        ("quoted.tsv", '"text"\t"label"\n"one; two"\t"x"\n"three"\t"y"\n'),
        ("tabs.tsv", 'text\tlabel\n"one; two\tand"\tx\nthree\ty\n'),
        ("corpus.tsv", 'text\tlabel\n"one; two\tx\nthree " four"\ty\n'),
    ],
)
def test_tables_are_read_as_programs_write_them(tmp_path, name, text):
    (tmp_path / name).write_text(text, newline="")
    result = [(row.text, row.label) for split in load_data(str(tmp_path / name), CLASSIFY).splits.values() for row in split]
    assert [label for _, label in sorted(result, key=lambda row: row[1])] == ["x", "y"] and len(result) == 2
    first = next(text for text, label in result if label == "x")
    wanted = {"pandas.tsv": 'he said "one; two" once', "tabs.tsv": "one; two\tand", "corpus.tsv": '"one; two'}
    assert first == wanted.get(name, "one; two")


@pytest.mark.parametrize(
    ("encoding", "command"),
    [("utf-16", "iconv -f UTF-16 -t UTF-8 train.csv"), ("cp1252", "iconv -f CP1252"), ("latin-1", "iconv -f LATIN1")],
)
def test_other_encodings_are_recognised_with_the_command_that_converts_them(tmp_path, encoding, command):
    text = "text,label\ncafé,x\n" + ("“quoted”,y\n" if encoding != "latin-1" else "é,y\n")
    (tmp_path / "train.csv").write_bytes(text.encode(encoding))
    with pytest.raises(EdgepackError) as raised:
        load_data(str(tmp_path), CLASSIFY)
    assert command in raised.value.fix


def test_a_header_that_nobody_knows_is_named_with_the_flags(tmp_path):
    lines = [f"der Text {at},{('gut', 'schlecht')[at % 2]}" for at in range(12)]
    (tmp_path / "train.csv").write_text("\n".join(["Kommentar,Klasse", *lines]))
    with pytest.raises(EdgepackError, match="looks like a header.*'Kommentar', 'Klasse'") as raised:
        load_data(str(tmp_path), CLASSIFY)
    assert "--text-column Kommentar --label-column Klasse" in raised.value.fix
    assert len(load_data(str(tmp_path), CLASSIFY, Columns(text="Kommentar", label="Klasse")).labels) == 2
    (tmp_path / "train.csv").write_text("\n".join(lines))
    assert load_data(str(tmp_path), CLASSIFY).labels == ["gut", "schlecht"]


def test_splits_are_named_by_whole_words(tmp_path):
    for name in ("latest.csv", "wnut17train.csv"):
        (tmp_path / name).write_text("text,label\n" + "".join(f"text {at},{at % 2}\n" for at in range(20)))
    assert len(load_data(str(tmp_path), CLASSIFY).splits["train"]) == 16


def with_labels(tmp_path, first, second, **columns):
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(f"text {at},{(first, second)[at % 2]}\n" for at in range(20)))
    return load_data(str(tmp_path), CLASSIFY, Columns(**columns))


@pytest.mark.parametrize(
    ("labels", "names", "ids"),
    [
        (("1", "0"), {0: "1", 1: "0"}, {"1": 0, "0": 1}),
        (("0", "1"), {0: "neg", 1: "pos"}, {"0": 0, "1": 1}),
        (("0.0", "1.0"), {0: "neg", 1: "pos"}, {"0.0": 0, "1.0": 1}),
        (("True", "False"), {0: "neg", 1: "pos"}, {"True": 1, "False": 0}),
    ],
)
def test_labels_are_aligned_by_name_first_and_by_number_with_a_word(tmp_path, capfd, labels, names, ids):
    assert label_ids(with_labels(tmp_path, *labels), names, "model") == ids
    assert ("read in the order of the model's labels" in capfd.readouterr().err) == (names[0] == "neg")


def test_labels_that_differ_in_case_or_spelling_are_offered_as_a_mapping(tmp_path):
    names = {0: "NEGATIVE", 1: "POSITIVE"}
    with pytest.raises(EdgepackError) as raised:
        label_ids(with_labels(tmp_path, "negative", "postive"), names, "model")
    assert raised.value.fix.endswith("--label-map negative=NEGATIVE,postive=POSITIVE")
    mapped = with_labels(tmp_path, "negative", "postive", label_map="negative=NEGATIVE,postive=POSITIVE")
    assert label_ids(mapped, names, "model") == {"NEGATIVE": 0, "POSITIVE": 1}
    with pytest.raises(EdgepackError, match="the data has no label 'negativ'"):
        with_labels(tmp_path, "negative", "postive", label_map="negativ=NEGATIVE")


TEXTS = [f"text {at}" for at in range(12)]
LABELLED = [{"text": text, "label": NAMES[at % 2]} for at, text in enumerate(TEXTS)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows in data.json", {"version": 1, "data": LABELLED}),
        ("a list a column.json", {"text": TEXTS, "label": [row["label"] for row in LABELLED]}),
        ("pandas.json", {key: {str(at): row[key] for at, row in enumerate(LABELLED)} for key in ("text", "label")}),
        ("fasttext.txt", "".join(f"__label__{row['label']} {row['text']}\n" for row in LABELLED)),
    ],
)
def test_layouts_of_other_programs_are_read(name, content, tmp_path):
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    result = load_data(str(tmp_path / name), CLASSIFY)
    assert sorted(row.text for split in result.splits.values() for row in split) == sorted(TEXTS) and set(labels_of(result)) == set(NAMES)


@pytest.mark.parametrize(
    ("name", "content", "task", "problem"),
    [
        ("a.xlsx", b"PK\x03\x04..", CLASSIFY, "a.xlsx is a zip archive or a spreadsheet"),
        ("a.csv.gz", b"\x1f\x8b..", CLASSIFY, "a.csv.gz is compressed by gzip"),
        ("a.jsonl", [{"text": ["play", "music"], "label": 0}], CLASSIFY, r"text in column 'text' is no text: \['play', 'music'\]"),
        ("a.jsonl", [{"tokens": ["play", "music"], "tags": ["O"]}], TAG, "a.jsonl:1 has 2 words and 1 tags"),
        ("a.csv", b"tokens,tags\n\"['play', 'music']\",O\n", TAG, r"words in column 'tokens' is no list of words"),
        (
            "a.jsonl", [{"question": "what?", "context": "Zo\u00eb plays", "answers": {"text": ["plays"], "answer_start": [5]}}],
            "question-answering", "a.jsonl:1: the answer 'plays' does not stand at 5 of its context, where 'lays' does",
        ),
        (
            "a.jsonl", [{"question": "what?", "context": "x", "answers": {"text": ["x"], "answer_start": []}}],
            "question-answering", "a.jsonl:1: its answers are no texts with their places",
        ),
        ("test.jsonl", [{"text": text, "label": -1} for text in TEXTS], CLASSIFY, "has hidden labels: all are -1"),
    ],
)  # fmt: skip
def test_what_is_no_row_of_the_task_is_refused_by_its_place(name, content, task, problem, tmp_path):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else "".join(json.dumps(row) + "\n" for row in content).encode())
    with pytest.raises(EdgepackError, match=problem):
        load_data(str(path), task)


def test_comments_of_conllu_are_no_words(tmp_path):
    sentence = "# sent_id = 7\n# text = play some music\nplay\tO\nmusic\tB-A\n\n"
    (tmp_path / "train.conll").write_text(sentence * 12)
    assert load_data(str(tmp_path), TAG).splits["train"][0].words == ("play", "music")


def test_the_number_of_a_regression_is_the_column_that_holds_numbers(tmp_path):
    task = task_named(CLASSIFY)
    regression = replace(task, columns=numbers_as_answers.columns, check_rows=lambda source, splits: None)
    (tmp_path / "a.csv").write_text("text,how good\n" + "".join(f"same text,{at / 7}\n" for at in range(12)))
    assert load_data(str(tmp_path / "a.csv"), regression).columns == {"text": "text", "gold": "how good"}
    (tmp_path / "b.csv").write_text("text;how good\n" + "".join(f"same text;{at},5\n" for at in range(12)))
    with pytest.raises(EdgepackError, match="'0,5' in column 'how good' is not a number"):
        load_data(str(tmp_path / "b.csv"), regression)
    (tmp_path / "c.csv").write_text("id,text,score\n" + "".join(f"{at},same text,{'n/a' if at == 5 else at}\n" for at in range(12)))
    with pytest.raises(EdgepackError, match="'n/a' in column 'score' is not a number"):  # and the ids are not learned in its place
        load_data(str(tmp_path / "c.csv"), regression)


def test_the_header_of_several_labels_suggests_the_longest_text(tmp_path):
    lines = [f"a{at},some text of a remark {at},{at % 2},1" for at in range(12)]
    (tmp_path / "a.csv").write_text("nr,remark,rude,kind\n" + "\n".join(lines) + "\n")
    with pytest.raises(EdgepackError) as error:
        load_data(str(tmp_path / "a.csv"), CLASSIFY)
    assert "--text-column remark" in error.value.fix
