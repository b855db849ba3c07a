"""What a README asks: a text of the pack's data, in its language, that no shell and no string of a language reads otherwise."""

import json

import pytest

from edgepack.pack.examples import best_texts, question_of
from edgepack.tasks.common.nasty_texts import NASTY

CHINESE = "我在北京的大学学习。"


def golden(pack, *entries):
    lines = [json.dumps({"input_ids": [1], "token_type_ids": [0], "output": [0.0]} | entry) for entry in entries]
    (pack / "golden.jsonl").write_text("\n".join(lines) + "\n")
    return pack


def test_a_chinese_taggers_example_is_chinese_and_one_that_it_finds_something_in(tmp_path):
    entity = {"kind": "LOC", "text": "北京", "start": 2, "end": 4, "score": 0.9}
    pack = golden(
        tmp_path,
        {"words": list(CHINESE), "answer": {"entities": [entity]}},
        {"text": "今天天气很好。", "answer": {"entities": []}},
        {"text": CHINESE, "answer": {"entities": [entity]}},
    )
    assert question_of(pack, "token-classification", {}, 3) == ((("text", CHINESE),), "entities")


def test_without_a_text_of_the_data_the_example_is_the_tasks(tmp_path):
    splits = [{"words": [each for each in text if not each.isspace()]} for text in NASTY if text.strip()]
    pack = golden(tmp_path, *({"text": text} for text in NASTY), *splits, {}, {"text": "x" * 300})
    assert question_of(pack, "token-classification", {}, 3)[0] == (("text", "Ada Lovelace lived in London."),)
    assert question_of(tmp_path / "nowhere", "text-generation", {}, 0)[0] == (("prompt", "Once upon a time"),)


@pytest.mark.parametrize(
    "text", ['say "no"', "it's", "a `b`", "$(reboot)", "a\\b", "two\nlines", "a \u202e b", "{{ name }}", "<b>", "!!", "1 2 3"]
)
def test_no_example_means_something_to_a_shell_or_to_a_page(text, tmp_path):
    assert best_texts(golden(tmp_path, {"text": text}), 1) == ()


def test_pairs_are_asked_as_pairs_and_a_cross_encoder_always(tmp_path):
    pack = golden(tmp_path, {"text": "wie viele", "text_pair": "sehr viele"}, {"text": "wer", "text_pair": "er"}, {"text": "wo"})
    answers = {"function": "sigmoid", "multi_label": False}
    assert question_of(pack, "text-classification", answers, 1) == ((("text", "wie viele"), ("pair", "sehr viele")), "score")
    alone = golden(tmp_path, {"text": "wie viele Menschen", "text_pair": None})
    assert question_of(alone, "text-classification", answers, 2)[0] == (("text", "wie viele Menschen"),)
    assert len(question_of(alone, "text-classification", answers | {"reads_empty_pair": True}, 1)[0]) == 2


def test_a_model_that_writes_goes_on_from_the_beginning_of_a_text(tmp_path):
    pack = golden(tmp_path, {"text": "es war einmal ein kleines Mädchen, das lebte in einem großen Wald"})
    assert question_of(pack, "text-generation", {}, 0)[0] == (("prompt", "es war einmal ein kleines"),)
