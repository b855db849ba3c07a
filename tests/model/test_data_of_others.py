"""Data as people of other countries and other programs write it: encodings, names beside numbers, columns within columns."""

import json
import shutil
import subprocess

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.model.data import in_model_names, label_ids, load_data

CLASSIFY = "text-classification"
SENTENCES = {
    "shift_jis": "今日は天気がいいので公園へ行きます", "gb18030": "今天天气很好我们去公园", "big5": "今天天氣很好我們去公園",
    "euc_kr": "오늘은 날씨가 좋아서 공원에 갑니다", "cp1251": "включи свет в большой комнате", "cp1253": "άναψε το φως στην κουζίνα",
    "cp1250": "zażółć gęślą jaźń w każdej łódce", "utf-32": "turn on the light",
}  # fmt: skip


@pytest.mark.parametrize("encoding", SENTENCES)
def test_the_command_that_is_named_makes_the_text_that_was_written(encoding, tmp_path):
    text = "text,label\n" + "".join(f"{SENTENCES[encoding]} {at},{at % 2}\n" for at in range(8))
    (tmp_path / "train.csv").write_bytes(text.encode(encoding))
    with pytest.raises(EdgepackError, match="is not UTF-8|not UTF-8") as refused:
        load_data(str(tmp_path), CLASSIFY)
    command = refused.value.fix.removeprefix("convert it first: ")
    if not shutil.which("iconv"):
        pytest.skip("no iconv here")
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    assert (tmp_path / "utf8-train.csv").read_text(encoding="utf-8").lstrip("\ufeff") == text


@pytest.mark.parametrize(("column", "reads_names"), [("label_text", True), ("label_name", True), ("comment", False)])
def test_numbers_are_read_by_the_names_beside_them_where_the_model_has_these(tmp_path, capsys, column, reads_names):
    rows = [{"text": f"text {at}", "label": at % 2, column: ("no", "yes")[at % 2]} for at in range(12)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = load_data(str(tmp_path), CLASSIFY)
    assert label_ids(data, {0: "yes", 1: "no"}, "model") == ({"0": 1, "1": 0} if reads_names else {"0": 0, "1": 1})
    assert ("by the names beside them: 0 is 'no'" in capsys.readouterr().err) is reads_names
    assert label_ids(data, {0: "LABEL_0", 1: "LABEL_1"}, "model") == {"0": 0, "1": 1}


@pytest.mark.parametrize(("names", "expected"), [({0: "no", 1: "yes"}, {"no", "yes"}), ({0: "same", 1: "same"}, {"0", "1"})])
def test_rows_carry_the_names_of_the_model_for_the_data_s_numbers(tmp_path, names, expected):
    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps({"text": f"text {at}", "label": at % 2}) for at in range(12)))
    data = load_data(str(tmp_path), CLASSIFY)
    named = in_model_names(data, names, "model")
    assert set(named.labels) == expected
    truth = [label_ids(data, names, "model")[row.label] for row in data.splits["train"]]
    assert [label_ids(named, names, "model")[row.label] for row in named.splits["train"]] == truth


def test_names_that_contradict_each_other_are_no_names(tmp_path):
    rows = [{"text": f"text {at}", "label": at % 2, "label_text": ("no", "yes")[at % 3 == 0]} for at in range(12)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load_data(str(tmp_path), CLASSIFY).label_names == {}


def test_a_folder_without_a_data_file_says_what_it_holds_and_what_is_read(tmp_path):
    (tmp_path / "train.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(EdgepackError, match=r"no data file \(.*\.csv, .*\), but train.xlsx"):
        load_data(str(tmp_path), CLASSIFY)


def test_two_columns_of_one_name_are_named(tmp_path):
    (tmp_path / "train.csv").write_text("text,text,label\n" + "".join(f"text {at},other {at},{'ab'[at % 2]}\n" for at in range(12)))
    with pytest.raises(EdgepackError, match="train.csv:1 names two columns 'text'"):
        load_data(str(tmp_path), CLASSIFY)


def test_conversations_are_no_texts_and_the_way_out_says_so(tmp_path):
    rows = [{"messages": [{"role": "user", "content": "hello"}]}] * 8
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(EdgepackError, match="no column holds text") as refused:
        load_data(str(tmp_path), "text-generation")
    assert "write the text of 'messages' as a column of its own" in refused.value.fix
