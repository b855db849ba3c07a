"""The language of a tokenizer, and the examples that a README asks in it."""

import pytest
import small
from tokenizers import Tokenizer, models, pre_tokenizers

from edgepack.pack.examples import best_texts, question_of
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.tasks import all_tasks, task_named
from edgepack.tasks.common.languages import _ENGLISH, _TEXTS, examples_in, language_of
from edgepack.tasks.text_classification import _PAIR_EXAMPLE

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BY_CHARACTER = {"zh", "ja", "th"}


def pieces_of(*languages: str) -> set[str]:
    texts = [text for name in languages for text in (_ENGLISH if name == "en" else _TEXTS[name])]
    return {piece for text in texts for piece in (text if BY_CHARACTER & set(languages) else text.split())}


def known_language(*languages: str) -> str | None:
    """Of a tokenizer that knows whole words of these languages, and single letters beside them."""
    pieces = pieces_of(*languages)
    return language_of(pieces, lambda text: sum(1 if word in pieces else len(word) for word in text.split()))


@pytest.mark.parametrize("language", _TEXTS)
def test_a_tokenizer_of_one_language_is_recognised(language):
    assert known_language(language) == language


def test_english_and_many_languages_are_no_other_language():
    assert known_language("en") is None
    assert known_language("en", "de", "fr", "es") is None
    assert known_language("ru", "ar", "ko", "el") is None
    assert language_of([], len) is None and language_of(["12", "!"], len) is None


def test_every_example_of_every_task_has_a_translation_that_a_readme_can_show(tmp_path):
    english = {text for task in all_tasks() for _, text in task.example} | {text for _, text in _PAIR_EXAMPLE}
    assert english == set(_ENGLISH)
    for language in _TEXTS:
        for text in examples_in(language).values():
            (tmp_path / "golden.jsonl").write_text(golden_line(text), encoding="utf-8")
            assert best_texts(tmp_path, 1) == (text,), (language, text)


def golden_line(text: str) -> str:
    import json

    entry = {"text": text, "text_pair": None, "input_ids": [1], "token_type_ids": [0], "attention_mask": [1], "output": [0.0]}
    return json.dumps(entry | {"answer": {"label": "a"}}) + "\n"


def test_a_call_is_a_row_with_both_of_its_texts():
    answers = task_named("question-answering").row_of_call((("question", "Who?"), ("context", "Ada did.")))
    assert (answers.text, answers.context) == ("Who?", "Ada did.")
    pair = task_named("text-classification").row_of_call((("text", "one"), ("pair", "two")))
    assert (pair.text, pair.text_pair) == ("one", "two")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "shown"),
    [("text-classification", ("打开灯",)), ("question-answering", ("这是谁写的？", "第一个程序是艾达写的。"))],
)
def test_a_chinese_pack_without_data_is_asked_in_chinese(task, shown, tmp_path, cache):
    folder = tmp_path / "model"
    small.make_model(folder, task=task)
    characters = sorted(pieces_of("zh") | {chr(0x4E00 + index) for index in range(300)})
    vocabulary = {piece: index for index, piece in enumerate((*SPECIAL, *characters)) if index < 400}
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    around = tokenizer.post_processor
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer, tokenizer.post_processor = pre_tokenizers.BertPreTokenizer(), around
    tokenizer.normalizer = small.Tokenizer.from_str(small.word_pieces()).normalizer
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"model": str(folder), "student": "same", "prune_heads": 0.0, "precision": "fp32", "format": "onnx"}
    build(Recipe.read(settings, "the test"), load_profile("raspberry-pi"), tmp_path / "pack", cache, effort=None)
    call, _ = question_of(tmp_path / "pack", task, None, 4)
    assert tuple(text for _, text in call) == shown
