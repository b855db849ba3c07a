"""Whatever text comes: the module's JSON reader agrees with Python's, its tokenizers with Hugging Face's."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jvm import ask, needs_java
from tokenizer_kinds import KINDS
from tokenizers import Tokenizer

pytestmark = needs_java
FEW = settings(max_examples=3, suppress_health_check=[*HealthCheck])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)
BROKEN = [
    "", " ", "{", "[", '"', "[1,]", '{"a":1,}', "{'a':1}", '{"a" 1}', "[1 2]", "01", "-", "1.", ".5", "1e", "+1", "NaN", "Infinity", "tru",
    "nul",
    '"\t"', '"\\x"', '"\\u12"', '"\\u٣٣٣٣"', '"\\ud800"', '"\\udc00\\ud800"', '"a', "[1]]",
    "1 1", "/**/1", '{"a":1,"a":2}', "1e999", "[" * 300, "\ufeff1", "\u00a01",
]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tokenizers")
    result = {kind: folder / f"{kind}.json" for kind in ("bert", "llama3", "sentence-piece")}
    for kind, path in result.items():
        KINDS[kind]().save(str(path))
    return result


def same(each: object, two: object) -> bool:
    if isinstance(each, float) or isinstance(two, float):
        return not isinstance(each, bool) and not isinstance(two, bool) and math.isclose(each, two, rel_tol=1e-15)
    if isinstance(each, list) and isinstance(two, list):
        return len(each) == len(two) and all(map(same, each, two))
    if isinstance(each, dict) and isinstance(two, dict):
        return each.keys() == two.keys() and all(same(each[key], two[key]) for key in each)
    return type(each) is type(two) and each == two


@FEW
@given(st.lists(st.tuples(VALUES, st.booleans(), st.sampled_from([None, 1, "\t"])), min_size=40, max_size=80))
def test_json_is_read_as_python_reads_it(classes, files, tmp_path_factory, cases):
    texts = [json.dumps(value, ensure_ascii=ascii_only, indent=indent) for value, ascii_only, indent in cases]
    answers = ask(classes, files["bert"], tmp_path_factory.mktemp("json"), ({"op": "json", "text": text} for text in texts))
    for text, answer in zip(texts, answers, strict=True):
        assert same(answer.get("value", answer), json.loads(text)), text


def test_what_is_not_json_is_refused(classes, files, tmp_path):
    answers = list(ask(classes, files["bert"], tmp_path, ({"op": "json", "text": text} for text in BROKEN)))
    assert [
        text for text, answer in zip(BROKEN, answers, strict=True) if "PackException: not JSON at character" not in answer.get("error", "")
    ] == []


@FEW
@given(st.lists(TEXT, min_size=150, max_size=250))
@pytest.mark.parametrize("kind", ["bert", "llama3", "sentence-piece"])
def test_any_text_has_the_ids_and_spans_of_the_library(classes, files, tmp_path_factory, kind, texts):
    tokenizer = Tokenizer.from_file(str(files[kind]))
    answers = ask(classes, files[kind], tmp_path_factory.mktemp("texts"), ({"op": "encode", "text": text} for text in texts))
    for text, result, answer in zip(texts, tokenizer.encode_batch(texts), answers, strict=True):
        assert (answer["ids"], list(zip(answer["starts"], answer["ends"], strict=True))) == (result.ids, result.offsets), text
