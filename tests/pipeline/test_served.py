"""The test split is scored as raw text too, through the code of a module, for every task; the report says where that differs."""

import json

import pytest
import tokenizer_kinds
from small import commands, make_model
from transformers import PreTrainedTokenizerFast

from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.tasks.common.tag_schemes import spans_of, tags_of

TEXTS = [text for text, _ in commands()["train"]][:40]
SCHEMES = {
    "iob1": ("O", "I-A", "B-A", "I-B"), "iob2": ("O", "B-A", "I-A", "B-B"), "bioes": ("O", "B-A", "I-A", "E-A", "S-A"),
    "bilou": ("O", "B-A", "I-A", "L-A", "U-A"), "bare": ("A", "B", "O"),
}  # fmt: skip


def served(tmp_path, cache, **settings):
    recipe = Recipe.read(
        {"model": str(tmp_path / "model"), "data": str(tmp_path / "data"), "student": "same", "prune_heads": 0.0, "precision": "int8"}
        | settings,
        "the test",
    )
    report = build(recipe, load_profile("raspberry-pi"), tmp_path / "pack", cache, effort=None)
    return read_manifest(tmp_path / "pack").served, report


def write(folder, lines):
    folder.mkdir()
    for split, choice in (("train", lines[:20]), ("dev", lines[20:]), ("test", lines[20:])):
        for suffix in choice[0]:
            separator = "\n\n" if suffix == "conll" else "\n"
            (folder / f"{split}.{suffix}").write_text(separator.join(each[suffix] for each in choice) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "strategy"), [("bioes", "first"), ("bare", "first"), ("iob1", "none"), ("bare", "max")])
def test_tags_of_every_scheme_are_scored_on_running_text(scheme, strategy, tmp_path, cache):
    names = SCHEMES[scheme]
    make_model(tmp_path / "model", task="token-classification", labels=names)
    rows = [text.split() for text in TEXTS]
    write(tmp_path / "data", [{"conll": "\n".join(f"{word} {names[at % len(names)]}" for at, word in enumerate(words))} for words in rows])
    result, report = served(tmp_path, cache, aggregation=strategy, words="white-space")
    assert result.score.metric == "span_f1" and result.score.rows == 20
    attempt = read_manifest(tmp_path / "pack").ladder[-1].attempts[-1]
    if strategy == "max":  # the surest token of a word decides in place of its first
        assert result.differing and result.score != result.token_score
        assert attempt.details["rows_that_raw_texts_decide_otherwise"]  # the gate scores raw texts too
        assert any(f"the pack answers {result.differing} rows differently than on token ids" in fact for fact in report.facts)
        return
    assert result.differing == 0 and result.score == result.token_score
    assert "rows_that_raw_texts_decide_otherwise" not in attempt.details
    assert any("On raw texts, as an app gives them, the pack scores the same as in the test of the build" in fact for fact in report.facts)


@pytest.mark.slow
def test_entities_that_begin_with_the_blank_before_their_word_are_those_of_their_words(tmp_path, cache):
    model = make_model(tmp_path / "model", task="token-classification", labels=("O", "B-A", "I-A", "B-B", "I-B"))
    pieces = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer_kinds.sentence_piece(), cls_token="<s>", sep_token="</s>", unk_token="<unk>", pad_token="<unk>",
        model_max_length=96,
    )  # fmt: skip
    pieces.save_pretrained(tmp_path / "model")
    model.resize_token_embeddings(len(pieces), mean_resizing=False)
    model.save_pretrained(tmp_path / "model")
    rows = ["".join(each if each.isalnum() else " " for each in text).split() for text in TEXTS]
    write(tmp_path / "data", [{"conll": "\n".join(f"{word} {SCHEMES['iob2'][at % 4]}" for at, word in enumerate(words))} for words in rows])
    result, _ = served(tmp_path, cache)
    assert result.differing == 0 and result.score == result.token_score


@pytest.mark.slow
@pytest.mark.parametrize("stated", [{"problem_type": "regression"}, {}], ids=["the logits", "the sigmoid of one logit"])
def test_numbers_are_scored_on_raw_text(tmp_path, cache, stated):
    make_model(tmp_path / "model", labels=("score",))
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | stated))
    write(tmp_path / "data", [{"jsonl": json.dumps({"text": text, "label": at / 7})} for at, text in enumerate(TEXTS)])
    result, _ = served(tmp_path, cache)
    assert result.score.metric == "spearman" and result.differing == 0 and result.score == result.token_score


@pytest.mark.slow
def test_a_model_that_writes_reads_raw_text_token_by_token(tmp_path, cache):
    make_model(tmp_path / "model", "llama", task="text-generation")
    write(tmp_path / "data", [{"txt": text} for text in TEXTS])
    result, _ = served(tmp_path, cache, precision="fp32")
    assert result.score.metric == "perplexity" and result.differing == 0
    assert result.score.value == pytest.approx(result.token_score.value, rel=1e-4)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tags_of_an_entity_are_read_as_that_entity(scheme):
    for count in (1, 2, 4):
        tags = ["O", *tags_of("A", count, scheme, False), *tags_of("A", count, scheme, True), "O"]
        each = {(at, at + 1, "A") for at in range(1, 2 * count + 1)}
        assert spans_of(tags, scheme) == (each if scheme == "bare" else {(1, count + 1, "A"), (count + 1, 2 * count + 1, "A")})
