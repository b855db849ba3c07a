"""The border for input: whatever comes in is refused with a reason, quickly and in few words, or is plain data."""

import json
import os
import time

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import DEPTH, answer_of, parse_json, read_bytes, read_json_object, read_toml
from edgepack.core.showing import message, shown

WRONG = {
    "no JSON": '{"a": ',
    "no UTF-8": b"\xff\xfe",
    "deeper than any file": "[" * 100_000,
    "deeper than edgepack reads": "[" * (DEPTH + 1) + "]" * (DEPTH + 1),
    "a number that is none": '{"a": NaN}',
    "an infinite number": '{"a": 1e999}',
    "an integer of many digits": "9" * 5000,
    "a key that stands twice": '{"a": 1, "b": {"c": 1, "c": 2}}',
    "half a character": '["\\ud800"]',
    "half a character in a key": '{"\\udc00": 1}',
}


@pytest.mark.parametrize("what", WRONG)
def test_json_that_no_reader_expects_is_refused_with_its_place(what):
    with pytest.raises(EdgepackError, match="config.json is not JSON") as caught:
        parse_json(WRONG[what], "config.json")
    assert len(str(caught.value)) < 500


def test_an_emoji_is_no_half_character():
    assert parse_json('["\\ud83d\\ude00"]', "x") == ["😀"]


@pytest.mark.parametrize("text", ["a = nan", "a = inf", "a = 2020-01-01", "a = 07:32:00", "a = " + "[" * 5000, "a", "a = '\x00'"])
def test_toml_that_no_reader_expects_is_refused(tmp_path, text):
    (tmp_path / "board.toml").write_text(text)
    with pytest.raises(EdgepackError, match=r"board.toml is not valid TOML"):
        read_toml(tmp_path / "board.toml")


def test_what_is_no_plain_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "nothing"):
        began = time.monotonic()
        with pytest.raises(EdgepackError):
            read_bytes(path)
        assert time.monotonic() - began < 1


def test_a_file_beyond_the_limit_is_not_read_to_its_end(tmp_path):
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(1 << 40)  # a sparse terabyte
    with pytest.raises(EdgepackError, match="larger than 64 MB"):
        read_json_object(tmp_path / "large.json")


def test_an_answer_is_an_object():
    assert answer_of('{"a": NaN}', "of a board").keys() == {"a"}
    for text in ("[]", "1", '"x"', "null", ""):
        with pytest.raises(EdgepackError, match="the answer of a board"):
            answer_of(text, "of a board")


def test_a_message_cuts_a_long_value_and_shows_what_moves_the_cursor():
    error = EdgepackError(f"unknown model: {'x' * 20_000_000!r} \x1b[2J in \u202efile", "see 'a'")
    assert len(str(error)) < 400 and "\x1b" not in str(error) and "\\u001b[2J" in str(error) and "\\u202e" in str(error)
    assert message("two\nlines") == "two\nlines"


def test_a_value_of_any_size_is_shown_in_a_few_words():
    for value in ("x" * 10**7, list(range(10**6)), {"a": "b" * 10**6}, 10**100_000, json.loads("[" * 900 + "]" * 900)):
        began = time.monotonic()
        assert len(shown(value)) < 120 and time.monotonic() - began < 0.5
