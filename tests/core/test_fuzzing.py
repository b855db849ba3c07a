"""Whatever bytes a user, a stranger or a board gives: a value or a short refusal, never a traceback, in a moment."""

import random
import tempfile
from pathlib import Path

import pytest
from fuzz_subjects import SUBJECTS
from fuzzing import damaged, fault_of
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.core.reading import parse_json
from edgepack.core.showing import message, shown

EXAMPLES = 60  # a subject; benchmarks/attack.py takes thousands


@pytest.mark.parametrize("name", SUBJECTS)
@settings(max_examples=EXAMPLES, database=None)
@given(seed=st.integers(0, 2**32))
def test_no_input_reaches_a_traceback(name, seed):
    with tempfile.TemporaryDirectory() as place:
        assert fault_of(SUBJECTS[name](Path(place), random.Random(seed))) == ""


@settings(max_examples=200, database=None)
@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_json_or_a_refusal(content):
    assert fault_of(lambda: parse_json(content, "here")) == ""


@settings(max_examples=200, database=None)
@given(st.recursive(st.none() | st.text() | st.floats() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_value_is_shown_in_a_few_words_and_moves_nothing(value):
    text = message(shown(value))
    assert len(text) < 200 and not any(ord(each) < 32 for each in text)


def test_the_fuzzer_finds_what_it_looks_for():
    assert "ZeroDivisionError" in fault_of(lambda: 1 / 0)
    assert {damaged(b"abc", random.Random(seed)) for seed in range(20)} != {b"abc"}
