"""Files as people and downloads leave them: what they mean is read, or refused with the true cause; what is not read is said."""

import json
import shlex

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.model.data import label_ids, load_data
from edgepack.plan.recipe import Columns

CLASSIFY, TAG, VECTORS, WRITE = "text-classification", "token-classification", "feature-extraction", "text-generation"
ROWS = [{"text": f"text number {at}", "label": ("neg", "pos")[at % 2]} for at in range(12)]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(delimiter=",", head=("text", "label")):
    return "".join(delimiter.join(cells) + "\n" for cells in (head, *((row["text"], row["label"]) for row in ROWS)))


def loaded(place, files, task=CLASSIFY, columns=None):
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    source = place / next(iter(files)) if len(files) == 1 and "/" not in next(iter(files)) else place
    return load_data(str(source), task, columns or Columns())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.csv", table("|")),
        ("d.ndjson", lines(ROWS)),
        ("d.jsonlines", lines(ROWS)),
        ("d.jsonl", lines([row | {"label": [row["label"]]} for row in ROWS])),
        ("d.csv", table().replace("text number 11", "text\0 number 11")),
    ],
    ids=["a bar between cells", "ndjson", "jsonlines", "a list of one label", "a NUL in a text"],
)
def test_other_spellings_of_a_table_are_read(tmp_path, name, content):
    result = loaded(tmp_path, {name: content})
    assert sum(len(rows) for rows in result.splits.values()) == 12 and result.labels == ["neg", "pos"]


@pytest.mark.parametrize(
    ("name", "content", "task", "problem", "fix"),
    [
        ("d.jsonl", json.dumps(ROWS), CLASSIFY, "d.jsonl is one JSON list of objects", "ending .json"),
        ("d.json", lines(ROWS), CLASSIFY, "d.json holds one JSON object a line", "ending .jsonl"),
        ("d.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:a\n", CLASSIFY, "a pointer of Git LFS", "git lfs pull"),
        ("d.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:a\n", CLASSIFY, "a pointer of Git LFS", "git lfs pull"),
        ("d.csv", "<!DOCTYPE html><html>404</html>", CLASSIFY, "is a web page, not the file", "download the file itself"),
        ("d.txt", "good\nbad\n", CLASSIFY, "there is no column for the label, 'text' is the only column", "a text and its label"),
        ("d.csv", 'text,label\n"he said \\"hi, you\\" twice",pos\n', CLASSIFY, "has 3 columns, the file 2", 'two quotes ("")'),
        ("d.csv", "# by a program\n" + table(), CLASSIFY, "has 2 columns, the file 1", "lines before the header"),
        ("d.csv", "text,label\n" + "a,\n" * 3 + "b,x\n" * 3, CLASSIFY, "has an empty label", "fill it in"),
        ("d.jsonl", lines([ROWS[0] | {"label": ["a", "b"]}] * 9), CLASSIFY, "the label is a list", "one label a text"),
        ("d.jsonl", lines([{"text": 7, "label": "a"}] * 9), CLASSIFY, "text in column 'text' is a number: 7", "write it as a text"),
        (
            "d.jsonl",
            lines([{"text": f"t {at}", "id": at} for at in range(9)]),
            CLASSIFY,
            "the label's column is not clear",
            "--label-column",
        ),
        ("d.jsonl", lines([{"tokens": ["a", "b"], "tags": ["O", None]}] * 9), TAG, "is no list of names or numbers", "correct it"),
        ("d.conll", "# text = A b\n1\tA\ta\tNOUN\n2\tb\tb\tVERB\n\n", TAG, "d.conll:2: the first column counts the words", "cut -f2,3"),
        ("d.csv", "sentence1;sentence2;score\n" + "a;b;0,5\n" * 9, VECTORS, "'0,5' in column 'score' is not a similarity", "with a point"),
    ],
)
def test_the_true_cause_is_told(tmp_path, name, content, task, problem, fix):
    with pytest.raises(EdgepackError) as error:
        loaded(tmp_path, {name: content}, task)
    assert problem in error.value.problem and fix in error.value.fix


def test_columns_and_files_that_nobody_reads_are_said(tmp_path, capfd):
    files = {"train.jsonl": lines([row | {"id": 1} for row in ROWS]), "more.jsonl": lines(ROWS), "._train.jsonl": b"\0\5"}
    assert "not read: 'id'" in loaded(tmp_path, files).summary()
    assert "not read, as their names say no split (train, dev or test): more.jsonl" in capfd.readouterr().err


def test_test_rows_that_were_trained_on_are_counted(tmp_path):
    test = [*ROWS[:3], ROWS[0] | {"text": "new"}]
    result = loaded(tmp_path, {"train.jsonl": lines(ROWS), "dev.jsonl": lines(ROWS[:4]), "test.jsonl": lines(test)})
    assert "3 of the 4 test rows have texts that stand in the train split too" in result.summary()


@pytest.mark.parametrize("split", ["development", "devel", "eval"])
def test_other_names_of_splits_are_known(tmp_path, split):
    result = loaded(tmp_path, {"training.jsonl": lines(ROWS), f"{split}.jsonl": lines(ROWS[:4]), "testing.jsonl": lines(ROWS)})
    assert {name: len(rows) for name, rows in result.splits.items()} == {"train": 12, "dev": 4, "test": 12}


def test_a_folder_within_the_folder_is_named(tmp_path):
    with pytest.raises(EdgepackError, match="its folder 'data' holds data files"):
        loaded(tmp_path, {"data/train-00000-of-00001.jsonl": lines(ROWS), "README.md": "card"})


def test_files_of_one_data_set_have_the_same_columns(tmp_path):
    with pytest.raises(EdgepackError, match=r"train.csv:2 has no column 'category' for label: its columns are text, label"):
        loaded(tmp_path, {"train.csv": table(), "test.csv": table(head=("sentence", "category"))})


def test_a_column_is_not_both_text_and_label(tmp_path):
    with pytest.raises(EdgepackError, match="text and label would be read from one column, 'label'"):
        loaded(tmp_path, {"d.csv": table()}, columns=Columns(text="label"))


def test_a_label_is_mapped_once(tmp_path):
    with pytest.raises(EdgepackError, match="--label-map names the label 'neg' twice"):
        loaded(tmp_path, {"d.csv": table()}, columns=Columns(label_map="neg=pos,neg=neg"))


def test_a_label_with_a_comma_is_mapped_by_json_and_offered_so(tmp_path):
    names = ("refund, partial", "no=refund")
    rows = lines([{"text": f"text number {at}", "label": names[at % 2]} for at in range(12)])
    result = loaded(tmp_path, {"d.jsonl": rows}, columns=Columns(label_map='{"refund, partial": "REFUND", "no=refund": "KEEP"}'))
    assert set(result.labels) == {"REFUND", "KEEP"}
    with pytest.raises(EdgepackError) as raised:
        label_ids(loaded(tmp_path / "b", {"d.jsonl": rows}), {0: "Refund, Partial", 1: "No=Refund"}, "model")
    stated = shlex.split(raised.value.fix)[-1]
    assert set(loaded(tmp_path / "c", {"d.jsonl": rows}, columns=Columns(label_map=stated)).labels) == {"Refund, Partial", "No=Refund"}


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        ('{"neg": "A"', "is not JSON"),
        ('{"neg": 1}', "the name of 'neg' is 1"),
        ('{"neg": "A", "neg": "B"}', "twice"),
        ('{"other": "A"}', "the data has no label 'other'"),
    ],
)
def test_a_json_mapping_that_cannot_be_read_is_refused(tmp_path, stated, problem):
    with pytest.raises(EdgepackError, match=f"--label-map.*{problem}"):
        loaded(tmp_path, {"d.csv": table()}, columns=Columns(label_map=stated))


def test_a_column_of_empty_texts_is_not_the_text(tmp_path):
    rows = [{"instruction": f"write {at}", "input": "", "output": "ok"} for at in range(9)]
    assert loaded(tmp_path, {"d.jsonl": lines(rows)}, WRITE).columns["text"] == "instruction"


def test_a_file_of_one_sentence_leaves_nothing_to_train_on(tmp_path):
    result = loaded(tmp_path, {"d.conll": "A O\nb O\n" * 9}, TAG)
    assert "no row is left to train on (in CoNLL an empty line ends a sentence)" in result.summary()


def test_comments_between_sentences_are_no_words(tmp_path):
    text = "# id 7\tdomain=en\nAnn _ _ B-PER\n# _ _ O\n\n" * 9
    assert {row.words for row in loaded(tmp_path, {"d.conll": text}, TAG).splits["train"]} == {("Ann", "#")}
    tabs = "Ann\tB-PER\ncame\tO\n\n" * 9
    assert loaded(tmp_path, {"d.tsv": tabs}, TAG).splits["train"][0].tags == ("B-PER", "O")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-DOCSTART-\n\n" + "#Obama B-PER\nsaid O\n\n" * 9, ("#Obama", "said")),
        ("-DOCSTART- -X- O\n\n" + "#Obama B-PER\nsaid O\n\n" * 9, ("#Obama", "said")),
        ("New York B-LOC\nis O\n\n" + "#Obama B-PER\nsaid O\n\n" * 9, ("#Obama", "said")),
        ("Ann B-PER\n\n" + "#Obama O=x\nsaid O=x\n\n" * 9, ("#Obama", "said")),
        ("Ann B-PER\n\n" + "#id=7 domain=en\nshe O\n\n" * 9, ("she",)),
        ("Ann B-PER\n\n" + "# domain=en\nshe O\n\n" * 9, ("she",)),
        ("Ann B-PER\n\n" + "#written by hand\nshe O\n\n" * 9, ("she",)),
    ],
    ids=["a bare mark of a document", "a wider mark", "a word of two parts first", "tags with =", "glued", "a value", "a remark"],
)
def test_a_word_that_begins_with_a_hash_is_told_from_a_comment(tmp_path, text, words):
    rows = [row.words for split in loaded(tmp_path, {"d.conll": text}, TAG).splits.values() for row in split]
    assert rows.count(words) == 9 and len(rows) == 9 + (not text.startswith("-DOC"))


RUSSIAN = "текст,метка\n" + "включи свет на кухне,да\nвыключи,нет\n" * 6
CHINESE = "文本,标签\n" + "打开灯光现在就打开厨房的灯光吧,灯\n播放音乐给我听一听好不好呢上,音乐\n" * 6


@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16BE"])
@pytest.mark.parametrize("text", [RUSSIAN, CHINESE, "打开\n", table()], ids=["Russian", "Chinese", "one line", "English"])
def test_utf_16_without_a_mark_is_recognised_in_any_script(tmp_path, text, encoding):
    with pytest.raises(EdgepackError, match="d.csv is UTF-16, not UTF-8") as error:
        loaded(tmp_path, {"d.csv": text.encode(encoding)})
    assert f"iconv -f {encoding} -t UTF-8 d.csv" in error.value.fix


@pytest.mark.parametrize("more", ["dev.jsonl", "validation.jsonl", None])
def test_figures_of_a_trainer_are_no_split(tmp_path, more, capfd):
    files = {"train.jsonl": lines(ROWS), "eval_results.json": '{"eval_accuracy": 0.9}', "train_results.json": '{"loss": 0.1}'}
    result = loaded(tmp_path, files | ({more: lines(ROWS[:4])} if more else {}))
    assert sum(len(rows) for rows in result.splits.values()) >= 12
    assert "eval_results.json, train_results.json" in capfd.readouterr().err


def test_a_file_called_eval_is_the_dev_split_only_where_no_other_is(tmp_path, capfd):
    files = {"train.jsonl": lines(ROWS), "eval.jsonl": lines(ROWS), "dev.jsonl": lines(ROWS[:4])}
    assert len(loaded(tmp_path, files).splits["dev"]) == 4
    assert "eval.jsonl" in capfd.readouterr().err


def test_a_bar_in_a_text_does_not_cut_it(tmp_path):
    text = "".join(f"sentence {at} with a | b in it\n" for at in range(9))
    rows = [row.text for split in loaded(tmp_path, {"d.csv": text}, VECTORS).splits.values() for row in split]
    assert sorted(rows) == text.splitlines()


def pairs(name, values):
    return lines([{"sentence1": f"t {at}", "sentence2": "u", name: value} for at, value in enumerate(values)])


def test_classes_of_pairs_are_no_similarities(tmp_path):
    assert "gold" not in loaded(tmp_path, {"d.jsonl": pairs("label", ["0", "1", "2", "-"] * 6)}, VECTORS).columns


@pytest.mark.parametrize(("name", "values"), [("label", ["0,5", "0.5"]), ("score", ["-", "1", "2"])])
def test_a_similarity_that_is_miswritten_is_said(tmp_path, name, values):
    with pytest.raises(EdgepackError, match=f"{values[0]!r} in column '{name}' is not a similarity"):
        loaded(tmp_path, {"d.jsonl": pairs(name, values * 9)}, VECTORS)
