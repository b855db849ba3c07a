"""Every format is read as it was written; what is wrong with data is said with its file and line."""

import csv
import io
import json

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import make_model

from edgepack.core.errors import EdgepackError
from edgepack.model.data import label_ids, load_data
from edgepack.model.material import Material, gather
from edgepack.model.readers import read_records
from edgepack.plan.recipe import Columns, Recipe

CLASSIFY = "text-classification"
TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1).map(str.strip).filter(bool)
ROWS = st.lists(st.tuples(TEXTS, st.sampled_from(["yes", "no", "perhaps"])), min_size=1, max_size=8)
WORDS = st.text(st.characters(whitelist_categories=("L", "N", "P")), min_size=1, max_size=8).filter(lambda word: word != "-DOCSTART-")


def in_csv(rows, delimiter=","):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([("text", "label"), *rows])
    return text.getvalue()


def in_json_lines(rows):
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)


@settings(max_examples=60)
@given(ROWS)
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("data.csv", in_csv),
        ("data.jsonl", in_json_lines),
        ("data.json", lambda rows: json.dumps([{"text": text, "label": label} for text, label in rows])),
        ("data.tsv", lambda rows: "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)),
    ],
)
def test_what_is_written_is_read(tmp_path_factory, name, write, rows):
    path = tmp_path_factory.mktemp("rows") / name
    path.write_text(write(rows), encoding="utf-8", newline="")
    assert [(r.values["text"], r.values["label"]) for r in read_records(path)["all"]] == rows


@settings(max_examples=60)
@given(st.lists(st.lists(st.tuples(WORDS, st.sampled_from(["O", "B-PER", "I-PER"])), min_size=1, max_size=6), min_size=1, max_size=5))
@pytest.mark.parametrize("gap", ["\t", " ", " POS CHUNK "])
def test_sentences_in_conll_are_read(tmp_path_factory, gap, sentences):
    path = tmp_path_factory.mktemp("rows") / "data.conll"
    path.write_text("\n\n".join("\n".join(f"{word}{gap}{tag}" for word, tag in sentence) for sentence in sentences), encoding="utf-8")
    result = read_records(path, conll=True)["all"]
    assert [list(zip(record.values["words"], record.values["tags"], strict=True)) for record in result] == sentences


def test_parquet_and_a_json_of_splits_are_read(tmp_path):
    rows = [{"text": f"text {i}", "label": str(i % 2)} for i in range(20)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "train.parquet")
    assert len(load_data(str(tmp_path / "train.parquet"), CLASSIFY).splits["train"]) == 16
    path = tmp_path / "whole.json"
    path.write_text(
        json.dumps({"train": [["a", "x"], ["b", "y"]], "val": [["c", "x"]], "test": [["d", "y"], ["e", "x"]], "oos": [["f", "z"]]})
    )
    result = load_data(str(path), CLASSIFY)
    assert {split: len(rows) for split, rows in result.splits.items()} == {"train": 2, "dev": 1, "test": 2}


def test_squad_is_read_with_its_answers(tmp_path):
    entry = {"question": "who?", "id": "1", "answers": [{"text": "Ann", "answer_start": 0}]}
    article = {"paragraphs": [{"context": "Ann came.", "qas": [entry]}]}
    (tmp_path / "test.json").write_text(json.dumps({"data": [article]}))
    row = load_data(str(tmp_path), "question-answering").splits["test"][0]
    assert (row.text, row.context, row.answers) == ("who?", "Ann came.", (("Ann", 0),))


@pytest.mark.parametrize(
    ("header", "wished", "columns"),
    [
        ("text,label", {}, {"text": "text", "label": "label"}),
        ("sentence,category", {}, {"text": "sentence", "label": "category"}),
        ("premise,hypothesis,label", {}, {"text": "premise", "text_pair": "hypothesis", "label": "label"}),
        ("id,utterance,intent", {}, {"text": "utterance", "label": "intent"}),
        ("id,body,mark", {"text": "body", "label": "mark"}, {"text": "body", "label": "mark"}),
    ],
)
def test_columns_are_guessed_or_named(tmp_path, header, wished, columns):
    names = header.split(",")
    lines = [
        ",".join(f"{name} {i}" if name not in ("label", "category", "intent", "mark") else str(i % 2) for name in names) for i in range(12)
    ]
    (tmp_path / "train.csv").write_text("\n".join([header, *lines]))
    result = load_data(str(tmp_path), CLASSIFY, Columns(**wished))
    assert result.columns == columns


@pytest.mark.parametrize(
    ("task", "rows", "groups", "gold"),
    [
        (CLASSIFY, [{"text": "a", "label": "x", "lang": "swa"}, {"text": "b", "label": "y", "lang": ""}], ["swa", None], [None, None]),
        (CLASSIFY, [{"text": t, "lang": lang} for t, lang in (("a", "x"), ("b", "y"), ("c", "x"))], [None] * 3, [None] * 3),  # the label
        ("token-classification", [{"tokens": ["a"], "ner_tags": ["O"], "language": "hau"}] * 2, ["hau", "hau"], [None, None]),
        ("feature-extraction", [{"sentence1": "a", "sentence2": "b", "score": s} for s in ("4.5", 0)], [None, None], [4.5, 0.0]),
        ("feature-extraction", [{"premise": "a", "hypothesis": "b", "label": "no"}] * 2, [None, None], [None, None]),
        ("feature-extraction", [{"text": "a", "label": "1"}] * 2, [None, None], [None, None]),  # no pair to be alike
    ],
)
def test_groups_and_similarities_are_read_where_there_are_any(tmp_path, task, rows, groups, gold):
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = load_data(str(tmp_path), task)
    assert [row.group for row in result.splits["test"]] == groups
    assert [row.gold for row in result.splits["test"]] == gold
    assert task != "feature-extraction" or result.labels == []


def test_a_column_that_is_new_in_every_row_groups_nothing(tmp_path):
    rows = [{"text": "a", "label": str(i % 2), "group": f"user {i}"} for i in range(200)]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load_data(str(tmp_path), CLASSIFY).splits["test"][0].group is None


def test_a_named_similarity_that_is_no_number_is_said(tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps({"text": "a", "text_pair": "b", "alike": "very"}) + "\n")
    with pytest.raises(EdgepackError, match="test.jsonl:1: 'very' in column 'alike' is not a similarity"):
        load_data(str(tmp_path), "feature-extraction", Columns(label="alike"))


def test_a_comment_names_the_language_of_the_sentences_below_it(tmp_path):
    (tmp_path / "test.conll").write_text("# language = swa\na O\n\nb O\n\n# language = hau\nc B-PER\n# O\n")
    rows = load_data(str(tmp_path), "token-classification").splits["test"]
    assert [(row.words, row.group) for row in rows] == [(("a",), "swa"), (("b",), "swa"), (("c", "#"), "hau")]


def test_a_table_without_a_header_takes_the_column_that_repeats_as_label(tmp_path):
    (tmp_path / "train.tsv").write_text("".join(f'a "text" number {i}\t{i % 2}\n' for i in range(20)))
    result = load_data(str(tmp_path), CLASSIFY)
    assert result.columns == {"text": "column 1", "label": "column 2"} and result.labels == ["0", "1"]
    assert result.splits["train"][0].text.startswith('a "text"')


def test_missing_splits_are_held_out_the_same_way_each_time(tmp_path):
    (tmp_path / "all.csv").write_text(in_csv([(f"text {i}", str(i % 3)) for i in range(100)]))
    each, two = (load_data(str(tmp_path / "all.csv"), CLASSIFY, seed=3) for _ in range(2))
    assert {split: len(rows) for split, rows in each.splits.items()} == {"train": 80, "dev": 10, "test": 10}
    assert each.splits == two.splits and len(each.notes) == 2
    assert len({row.text for rows in each.splits.values() for row in rows}) == 100


@pytest.mark.parametrize(
    ("name", "content", "says", "fix"),
    [
        ("train.csv", b"", "train.csv is empty", "at least one row"),
        ("train.csv", b"text,label\n", "train.csv is empty", "at least one row"),
        ("train.csv", "text,label\ncafé,a\n".encode("latin1"), "train.csv:2 is not UTF-8: byte 0xe9", "iconv"),
        ("train.csv", b"text,label\na,b\nx,y,z\n", "train.csv:3 has 3 columns, the file 2", "quote"),
        ("train.csv", b"text,label\n" + b"a,same\n" * 9, "only one class: 'same'", "two classes"),
        ("train.jsonl", b'{"text": "a", "label": "x"}\n{"text": \n', "train.jsonl:2 is not JSON", "one JSON object a line"),
        ("train.jsonl", b'["a", "b"]\n', "train.jsonl:1 is not a JSON object", "one JSON object a line"),
        ("train.json", b'{"rows": 1}', "train.json holds no rows", "a list of objects"),
        ("train.csv", b"a,b,c\n1,2,3\n", "the label's column is not clear", "--label-column"),
        ("train.parquet", b"PAR1 nonsense", "train.parquet is not a readable parquet file", "write it again"),
        ("train.jsonl", b'{"text": null, "label": "x"}\n' * 3, "train.jsonl:1 has no text", "drop the row"),
    ],
)
def test_wrong_data_names_the_file_the_line_and_the_way_out(tmp_path, name, content, says, fix):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EdgepackError) as error:
        load_data(str(tmp_path), CLASSIFY)
    assert says in error.value.problem
    assert fix in error.value.fix


def test_missing_data_and_folders_without_data_are_said(tmp_path):
    with pytest.raises(EdgepackError, match="data not found"):
        load_data(str(tmp_path / "nowhere.csv"), CLASSIFY)
    with pytest.raises(EdgepackError, match="no train or test file"):
        load_data(str(tmp_path), CLASSIFY)
    for name in ("train.csv", "my-train.jsonl"):
        (tmp_path / name).write_text("x")
    with pytest.raises(EdgepackError, match="two files for the train split"):
        load_data(str(tmp_path), CLASSIFY)


def test_a_hub_id_is_asked_for_and_its_absence_is_said(tmp_path):
    with pytest.raises(EdgepackError, match="no file, folder or hub dataset 'nobody/nothing'"):
        load_data("nobody/nothing", CLASSIFY)


def test_a_text_of_which_a_tokenizer_makes_nothing_is_said_with_its_line(tmp_path):
    make_model(tmp_path / "model", "gpt2")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"pad_token_id": 0}))
    path = tmp_path / "model" / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": None}))  # GPT-2 puts no [CLS] before a text
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + "turn on the light,light_on\n\u200b,call\ncall my sister,call\nlight on,light_on\n" * 5)
    with pytest.raises(EdgepackError, match=r"data\.csv:\d+: no tokens") as result:
        material = gather(Recipe(model=str(tmp_path / "model"), data=str(data)))
        _ = material.train, material.dev, material.test
    assert all(item.ids for item in Material(material.recipe, material.source, material.task, None).sample[1])  # nasty ones are left out
    assert result.value.fix == "drop the row, or fill in its text"


def test_labels_are_matched_by_name_or_by_number(tmp_path):
    (tmp_path / "train.csv").write_text(in_csv([(f"t{i}", str(i % 2)) for i in range(20)]))
    data = load_data(str(tmp_path), CLASSIFY)
    assert label_ids(data, {0: "negative", 1: "positive"}, "m") == {"0": 0, "1": 1}
    assert label_ids(data, {0: "1", 1: "0"}, "m") == {"0": 1, "1": 0}
    with pytest.raises(EdgepackError, match="train.csv:.*label '1' is not one of the model's"):
        label_ids(data, {0: "0"}, "m")


@pytest.mark.parametrize(
    ("name", "task", "rows"),
    [
        ("sst2", CLASSIFY, {"train": 6920, "dev": 872, "test": 1821}),
        ("banking77", CLASSIFY, {"train": 9003, "dev": 1000, "test": 3080}),
        ("clinc150/data_full.json", CLASSIFY, {"train": 15000, "dev": 3000, "test": 4500}),
        ("masakhaner2/swa", "token-classification", {"train": 6593, "dev": 942, "test": 1883}),
        ("wnut17", "token-classification", {"train": 3394, "dev": 1009, "test": 1287}),
        ("policyqa", "question-answering", {"dev": 3809, "test": 4152}),
    ],
)
def test_real_data_sets_are_read_whole(shared, name, task, rows):
    assert {split: len(result) for split, result in load_data(str(shared / "data" / name), task).splits.items()} == rows
