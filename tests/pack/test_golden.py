"""Golden vectors: raw texts, long and empty ones; ids, types, masks, outputs and decisions, compared by verify and by the self-test."""

import json
import shutil

import pytest
from small import commands, make_model

from edgepack.core.errors import EdgepackError
from edgepack.pack.golden import read_golden
from edgepack.pack.manifest import read_manifest, seal
from edgepack.pipeline.build import build
from edgepack.pipeline.verify import verify
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.load import device_module


def changed(pack, copy, change):
    """A copy whose golden entries went through `change`, sealed as if it had been built so."""
    shutil.copytree(pack, copy)
    entries = read_golden(copy)
    change(entries)
    (copy / "golden.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    seal(copy, read_manifest(copy))
    return copy


@pytest.mark.parametrize("output", [["a"], [None, 1.0], [[1.0], [1.0, 2.0]], [True], [{}], ["1.0"]])
def test_outputs_that_are_no_array_of_numbers_are_refused_where_they_are_read(pack_folder, tmp_path, output):
    copy = changed(pack_folder, tmp_path / "pack", lambda entries: entries[1].update(output=output))
    with pytest.raises(EdgepackError, match=r"golden\.jsonl:2 is not a golden text"):
        verify(copy)


def self_tested(pack):
    return device_module().self_test(pack, 1, "pack.json")


def test_a_pack_of_labels_holds_empty_and_long_texts_with_ids_types_masks_and_decisions(pack_folder):
    golden = read_golden(pack_folder)
    longest = read_manifest(pack_folder).max_length
    assert any(entry["text"] == "" for entry in golden) and max(len(entry["input_ids"]) for entry in golden) == longest
    for entry in golden:
        assert entry["attention_mask"] == [1] * len(entry["input_ids"]) and len(entry["token_type_ids"]) == len(entry["input_ids"])
        scores = entry["answer"]["scores"]
        assert entry["answer"]["label"] == max(scores, key=scores.get) and entry["answer"]["chosen"] == [entry["answer"]["label"]]
    result = verify(pack_folder)
    assert result.token_ids_equal == result.decisions_equal == result.golden_texts == len(golden)
    assert self_tested(pack_folder).answers_equal == len(golden)


def other_label(entries):
    entries[2]["answer"]["label"] = "another"


def other_score(entries):
    scores = entries[2]["answer"]["scores"]
    scores[next(iter(scores))] += 0.01


def other_mask(entries):
    entries[2]["attention_mask"][-1] = 0


@pytest.mark.parametrize(
    ("change", "says"),
    [(other_label, "decision"), (other_score, "decision"), (other_mask, "masks")],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_what_differs_is_named_by_verify_and_by_the_self_test(change, says, pack_folder, tmp_path):
    pack = changed(pack_folder, tmp_path / "pack", change)
    with pytest.raises(EdgepackError, match=says):
        verify(pack)
    result = self_tested(pack)
    assert not result.ok and says in result.problem


def test_a_pack_without_decisions_and_masks_opens_as_before(pack_folder, tmp_path):
    """As an older edgepack wrote it."""

    def older(entries):
        for entry in entries:
            del entry["answer"], entry["attention_mask"]

    pack = changed(pack_folder, tmp_path / "pack", older)
    result = verify(pack)
    assert result.token_ids_equal == result.golden_texts and result.decisions_equal == 0
    assert self_tested(pack).ok


def test_a_pack_of_ids_alone_is_never_right(pack_folder, tmp_path):
    def bare(entries):
        for entry in entries:
            del entry["text"], entry["text_pair"], entry["answer"]

    pack = changed(pack_folder, tmp_path / "pack", bare)
    with pytest.raises(EdgepackError, match="could be compared as text") as refused:
        verify(pack)
    assert refused.value.fix.startswith("build the pack again: edgepack build")
    result = self_tested(pack)
    assert not result.ok and result.ids_equal == 0 and "no token ids were compared" in result.problem


def test_prompts_are_followed_by_the_tokens_that_were_certain(stories_pack, tmp_path):
    stated = [entry for entry in read_golden(stories_pack) if "answer" in entry]
    assert stated and all("text" in entry and entry["answer"]["tokens"] for entry in stated)
    assert verify(stories_pack).decisions_equal == self_tested(stories_pack).answers_equal == len(stated)

    def other(entries):
        next(entry for entry in entries if "answer" in entry)["answer"]["tokens"][0] += 1

    pack = changed(stories_pack, tmp_path / "pack", other)
    with pytest.raises(EdgepackError, match="writes other tokens than when it was built"):
        verify(pack)
    assert "tokens behind it" in self_tested(pack).problem


@pytest.mark.slow
def test_words_are_golden_as_running_text_too(tmp_path, cache):
    """With the entities that the pack finds there, in places of the text."""
    make_model(tmp_path / "model", task="token-classification", labels=("O", "B-A", "I-A"))
    texts = [text.split() for text, _ in commands()["train"]][:24]
    (tmp_path / "data").mkdir()
    for split, rows in (("train", texts[:12]), ("test", texts[12:])):
        lines = ["\n".join(f"{word} {('O', 'B-A')[at % 2]}" for at, word in enumerate(words)) for words in rows]
        (tmp_path / "data" / f"{split}.conll").write_text("\n\n".join(lines) + "\n")
    settings = {"data": str(tmp_path / "data"), "student": "same", "prune_heads": 0.0, "precision": "int8", "words": "white-space"}
    build(Recipe(model=str(tmp_path / "model"), **settings), load_profile("raspberry-pi"), tmp_path / "pack", cache, effort=None)
    golden = read_golden(tmp_path / "pack")
    assert any("words" in entry for entry in golden)
    raw = [entry for entry in golden if "text" in entry and "words" not in entry]
    assert len(raw) >= 8 and any(entry["answer"]["entities"] for entry in raw)
    for entry in raw:
        assert all(entry["text"][each["start"] : each["end"]] == each["text"] for each in entry["answer"]["entities"])
    assert verify(tmp_path / "pack").decisions_equal == len(golden)
