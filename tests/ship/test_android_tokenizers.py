"""The Java tokenizers give the ids and spans that Hugging Face's own library gives, for any text."""

import json
import random
import re
from pathlib import Path

import pytest
from jvm import ask, needs_java
from parity_texts import nasty_texts, parity_texts
from tokenizer_kinds import KINDS
from tokenizers import Tokenizer, decoders

from edgepack.core.errors import EdgepackError
from edgepack.ship.jvm.characters import GRAPHEMES, TABLES, named_classes, tables
from edgepack.ship.jvm.supported import EXPRESSIONS, check_tokenizer

pytestmark = needs_java


def wanted(result: object) -> dict[str, list[int]]:
    return {
        "ids": result.ids,
        "types": result.type_ids,
        "starts": [start for start, _ in result.offsets],
        "ends": [end for _, end in result.offsets],
        "words": [-1 if word is None else word for word in result.word_ids],
        "parts": [-1 if part is None else part for part in result.sequence_ids],
    }


def check_equal(classes: Path, file: Path, folder: Path, texts: list[str]) -> None:
    """Single texts, pairs, lists of words, and decoding."""
    tokenizer = Tokenizer.from_file(str(file))
    draw = random.Random(0)
    pairs = [(draw.choice(texts), draw.choice(texts)) for _ in range(len(texts) // 5)]
    words = [text.split() for text in draw.sample(texts, len(texts) // 10)]
    questions = [{"op": "encode", "text": text} for text in texts] + [{"op": "encode", "text": each, "pair": two} for each, two in pairs]
    expected = [wanted(result) for result in tokenizer.encode_batch(texts + pairs)]
    questions += [{"op": "words", "words": some} for some in words]
    expected += [wanted(tokenizer.encode(some, is_pretokenized=True)) for some in words]
    ids = [each["ids"][: draw.randint(0, 30)] for each in expected[:: max(1, len(expected) // 500)]]
    questions += [{"op": "decode", "ids": some} for some in ids]
    expected += [{"text": tokenizer.decode(some)} for some in ids]
    answers = ask(classes, file, folder, questions)
    wrong = [
        (question, answer, right)
        for question, answer, right in zip(questions, answers, expected, strict=True)
        if {key: answer.get(key) for key in right} != right
    ]
    assert not wrong, (len(wrong), wrong[0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tokenizer_is_made_again(kind, classes, tmp_path):
    file = tmp_path / "tokenizer.json"
    tokenizer = KINDS[kind]()
    tokenizer.decoder = decoders.ByteLevel() if kind in ("roberta", "smollm", "llama3", "qwen", "gpt4o") else decoders.WordPiece("##")
    if kind in ("bert", "roberta", "albert"):
        tokenizer.enable_truncation(24)
    tokenizer.save(str(file))
    check_tokenizer(file)
    check_equal(classes, file, tmp_path, nasty_texts(700, seed=len(kind)))


@pytest.mark.parametrize("model", ["minilm-l6-sst2", "e5-masakhaner", "stories260k"])
def test_real_tokenizers_are_made_again(model, shared, classes, tmp_path):
    check_equal(classes, shared / "models" / model / "tokenizer.json", tmp_path, nasty_texts(1000, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["minilm-l6-sst2", "e5-masakhaner", "stories260k"])
def test_real_tokenizers_are_made_again_on_more_than_ten_thousand_texts(model, shared, classes, tmp_path):
    texts = parity_texts(shared / "data")
    assert len(texts) > 10_000
    check_equal(classes, shared / "models" / model / "tokenizer.json", tmp_path, texts)


def test_windows_over_a_long_context_are_those_of_the_library(classes, tmp_path):
    tokenizer, file = KINDS["bert"](), tmp_path / "tokenizer.json"
    tokenizer.save(str(file))
    draw, texts = random.Random(3), nasty_texts(300, seed=3)
    cases = [
        (draw.choice(texts)[:20], " ".join(draw.sample(texts, 3))[:400], draw.choice((64, 96)), draw.choice((8, 16))) for _ in range(150)
    ]
    questions = [dict(zip(("question", "context", "longest", "stride"), case, strict=True)) | {"op": "windows"} for case in cases]
    for (question, context, longest, stride), answer in zip(cases, ask(classes, file, tmp_path, questions), strict=True):
        tokenizer.enable_truncation(longest, stride=stride, strategy="only_second")
        first = tokenizer.encode(question, context)
        result = [{key: each[key] for key in wanted(first)} for each in answer]
        assert result == [wanted(each) for each in (first, *first.overflowing)], (question, context)


def test_a_text_that_is_cut_says_so_and_one_that_is_no_text_is_refused(classes, tmp_path):
    tokenizer, file = KINDS["bert"](), tmp_path / "tokenizer.json"
    tokenizer.enable_truncation(8)
    tokenizer.save(str(file))
    texts = ["turn on", "turn on the light in the kitchen please and now", "", "half \ud83d"]
    short, long, empty, half = ask(classes, file, tmp_path, [{"op": "encode", "text": text} for text in texts])
    assert (short["cut"], long["cut"], empty["cut"]) == (False, True, False)
    assert len(long["ids"]) == 8 and len(empty["ids"]) == 2
    assert "surrogate" in half["error"]


@pytest.mark.parametrize(
    ("place", "part", "named"),
    [
        ("normalizer", {"type": "Nmt"}, "normalizer 'Nmt'"),
        ("normalizer", {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"Regex": "a|b"}, "content": ""}]}, "'a|b'"),
        ("pre_tokenizer", {"type": "UnicodeScripts"}, "pre_tokenizer 'UnicodeScripts'"),
        ("post_processor", {"type": "Sequence", "processors": [{"type": "TemplateProcessing"}, {"type": "ByteLevel"}]}, "in the order"),
        ("decoder", {"type": "CTC"}, "decoder 'CTC'"),
        ("model", {"type": "WordLevel", "vocab": {}, "unk_token": "?"}, "model 'WordLevel'"),
        ("model", {"type": "BPE", "vocab": {}, "merges": [], "end_of_word_suffix": "</w>"}, "end_of_word_suffix"),
        ("padding", {"strategy": "BatchLongest"}, "padding"),
    ],
)
def test_what_java_does_not_know_is_refused_with_a_way_out(place, part, named, tmp_path):
    file = tmp_path / "tokenizer.json"
    KINDS["bert"]().save(str(file))
    file.write_text(json.dumps(json.loads(file.read_text()) | {place: part}))
    with pytest.raises(EdgepackError, match=re.escape(named)) as raised:
        check_tokenizer(file)
    assert "--for python" in raised.value.fix


def test_every_known_expression_has_its_classes():
    held = json.loads(TABLES.read_text(encoding="utf-8"))["classes"]
    assert {name for expression in EXPRESSIONS for name in named_classes(expression)} <= set(held)


@pytest.mark.slow
def test_the_tables_of_characters_are_those_of_the_library_that_is_installed():
    """But for those that come from elsewhere: from Python's own Unicode version, and from the package regex."""
    pytest.importorskip("regex")
    held, asked = json.loads(TABLES.read_text(encoding="utf-8")), tables()
    elsewhere = {"word", "word_blank", *GRAPHEMES}
    for each in (held, asked):
        each["classes"] = {name: runs for name, runs in each["classes"].items() if name not in elsewhere}
    assert held == asked
