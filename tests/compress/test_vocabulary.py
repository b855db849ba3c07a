"""A cut vocabulary: the corpus keeps its pieces text by text, the model its answers; what other texts lose is counted."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import edgepack_warm
from hypothesis import given, settings
from hypothesis import strategies as st
from small import CONFIGS, FAMILY_TASKS, make_data, make_model
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from edgepack.compress.vocabulary import cut_vocabulary
from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.corpus import read_corpus
from edgepack.model.data import load_data
from edgepack.model.material import gather
from edgepack.model.pieces import cut_to_corpus, encode, losses
from edgepack.model.structure import count_params
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build, plan_build
from edgepack.pipeline.demo.commands import commands
from edgepack.pipeline.verify import verify
from edgepack.plan.plan import GUESSED_PIECES
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import CutVocabulary
from edgepack.tasks import task_named
from edgepack.tasks.common.rows import Row

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
FROM_BYTES = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
PI = load_profile("raspberry-pi")


def lines() -> list[str]:
    commands_said = [text for text, _ in commands()["train"]][::3]
    return [*commands_said, "Ünïcödé Straße über allen Gipfeln", "включи свет на кухне", "ﬁnal café"]


def trained(model, trainer, pre_tokenizer=None, normalizer=None, decoder=None) -> dict:
    tokenizer = Tokenizer(model)
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    if decoder:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(lines(), trainer)
    return json.loads(tokenizer.to_str())


def wordpiece() -> dict:
    trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=SPECIAL)
    return trained(models.WordPiece(unk_token="[UNK]"), trainer, pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer())


def byte_level_bpe() -> dict:
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<s>", "<pad>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    return trained(models.BPE(), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False), decoder=decoders.ByteLevel())


def affix_bpe() -> dict:
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, continuing_subword_prefix="##", end_of_word_suffix="</w>")
    model = models.BPE(unk_token="[UNK]", continuing_subword_prefix="##", end_of_word_suffix="</w>")
    return trained(model, trainer, pre_tokenizers.Whitespace())


def byte_fallback_bpe() -> dict:
    """As Llama's: no words, a space is a character, bytes for characters that it does not know."""
    trainer = trainers.BpeTrainer(vocab_size=800, special_tokens=["<unk>", "<s>", "</s>", *BYTES])
    normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    spec = trained(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True), trainer, normalizer=normalizer, decoder=FROM_BYTES)
    return spec | {"added_tokens": spec["added_tokens"][:3]}


def unigram(byte_fallback: bool = False) -> dict:
    special = ["<s>", "<pad>", "</s>", "<unk>", *(BYTES if byte_fallback else [])]
    trainer = trainers.UnigramTrainer(vocab_size=900 if byte_fallback else 500, special_tokens=special, unk_token="<unk>")
    spec = trained(models.Unigram(), trainer, pre_tokenizers.Metaspace(), normalizers.NFKC(), FROM_BYTES)
    spec["model"]["byte_fallback"] = byte_fallback
    return spec | {"added_tokens": spec["added_tokens"][:4]}


SPECS = {
    "wordpiece": wordpiece(),
    "byte-level bpe": byte_level_bpe(),
    "affix bpe": affix_bpe(),
    "byte-fallback bpe": byte_fallback_bpe(),
    "unigram": unigram(),
    "byte-fallback unigram": unigram(byte_fallback=True),
}

# Texts of known words, of their parts, of letters that some tokenizers know, and of characters that none does.
WORDS = sorted({word for text in lines() for word in text.split()})
WORD = st.one_of(
    st.sampled_from(WORDS),
    st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)).map("".join),
    st.sampled_from(WORDS).map(lambda word: word[: len(word) // 2 + 1]),
    st.text("abcdeghiklnorstu äüßéвкл", min_size=1, max_size=12),
    st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=6),
    st.sampled_from(["ligh語t", "[UNK]", "</w>", "##a", "👩‍💻", "<s>", "a" * 120, "\u2581"]),
)
TEXT = st.one_of(st.lists(WORD, max_size=8).map(" ".join), st.lists(WORD.filter(str.strip), min_size=1, max_size=6).map(tuple))


@settings(max_examples=60)
@given(texts=st.lists(TEXT, min_size=1, max_size=12))
@pytest.mark.parametrize("kind", SPECS)
def test_on_the_corpus_the_pieces_stay_the_same_text_by_text(kind, texts):
    cut = cut_to_corpus(SPECS[kind], texts)
    old, new = (Tokenizer.from_str(json.dumps(spec)) for spec in (SPECS[kind], cut.spec))
    assert len(cut.order) < len(SPECS[kind]["model"]["vocab"])
    for text in texts:
        before, after = (
            each.encode(list(text) if isinstance(text, tuple) else text, is_pretokenized=isinstance(text, tuple)) for each in (old, new)
        )
        assert before.tokens == after.tokens and before.offsets == after.offsets
        assert [cut.order[index] for index in after.ids] == before.ids


def left(model, texts: list[str]) -> set[str]:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    cut = cut_to_corpus(json.loads(tokenizer.to_str()), texts)
    assert not cut.changed(texts)
    return set(cut.after.get_vocab())


def test_a_piece_keeps_the_merges_that_build_it_and_no_others():
    vocab = {piece: index for index, piece in enumerate(["a", "b", "c", "d", "bc", "ab", "abc", "cd", "abcd"])}
    merges = [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc"), ("c", "d"), ("abc", "d")]
    assert left(models.BPE(vocab, merges), ["abc"]) == {"a", "b", "c", "d", "ab", "abc"}
    assert left(models.BPE(vocab, merges), ["bcd"]) == {"a", "b", "c", "d", "bc"}


def test_an_unknown_character_costs_what_it_did():
    """x is known in `xa` only. Were the worst piece gone, an unknown x would be cheaper: x|ab instead of xa|b."""
    pieces = [("<unk>", 0.0), ("xa", -30.0), ("b", -30.0), ("ab", -1.0), ("qqq", -100.0), ("zzz", -50.0)]
    assert left(models.Unigram(pieces, 0, False), ["xab", "ab"]) == {"<unk>", "xa", "b", "ab", "qqq"}


def test_a_word_that_was_unknown_stays_unknown():
    """`abc` is ab and then nothing. Were ab gone, it would become a ##bc."""
    vocab = {piece: index for index, piece in enumerate(["[UNK]", "a", "x", "##bc", "ab", "axx"])}
    assert left(models.WordPiece(vocab, unk_token="[UNK]"), ["abc", "a xbc"]) == {"[UNK]", "a", "x", "##bc", "ab"}


def test_pieces_inside_the_corpus_words_stay_for_unseen_words_of_the_language():
    pieces = ["[UNK]", "light", "lig", "##ight", "##ig", "##gh", "night", "##ghx", "ight"]
    kept = left(models.WordPiece({piece: index for index, piece in enumerate(pieces)}, unk_token="[UNK]"), ["light"])
    assert kept == {"[UNK]", "light", "lig", "##ight", "##ig", "##gh"}


@pytest.mark.parametrize("kind", SPECS)
def test_every_piece_that_stays_keeps_its_name_and_gets_the_id_of_its_row(kind):
    cut = cut_to_corpus(SPECS[kind], lines()[:20])
    old = {index: piece for piece, index in cut.before.get_vocab().items()}
    assert {index: piece for piece, index in cut.after.get_vocab().items()} == {new: old[index] for new, index in enumerate(cut.order)}
    for token in SPECS[kind]["added_tokens"]:
        assert cut.after.token_to_id(token["content"]) == cut.new_id[token["id"]]


@pytest.mark.parametrize("kind", ["byte-level bpe", "byte-fallback bpe", "byte-fallback unigram"])
def test_bytes_stay_so_that_no_unseen_text_is_unknown(kind):
    cut = cut_to_corpus(SPECS[kind], ["turn on the light"])
    assert losses(cut, ["日本語 ☂ Straße"])["unseen_unknown_share_after"] == 0
    text = "日本語 ☂ Straße"
    assert cut.after.decode(cut.after.encode(text).ids) == cut.before.decode(cut.before.encode(text).ids)


@pytest.mark.parametrize("kind", ["wordpiece", "affix bpe", "unigram"])
def test_unseen_words_of_the_corpus_script_fall_apart_into_characters_and_are_not_unknown(kind):
    cut = cut_to_corpus(SPECS[kind], ["turn on the light"])
    lost = losses(cut, [text for text in lines() if text.isascii()])
    assert lost["unseen_unknown_share_after"] == 0 == lost["unseen_unknown_share_before"]
    assert lost["unseen_changed_share"] > 0.5 and lost["unseen_tokens_per_text_after"] > lost["unseen_tokens_per_text_before"]


@pytest.mark.parametrize("kind", SPECS)
def test_the_commonest_pieces_stay_until_unseen_texts_keep_nearly_all_of_their_tokens(kind):
    corpus, unseen = ["turn on the light"], ["turn off the light in the kitchen", "what is the weather"]
    cut, without = cut_to_corpus(SPECS[kind], corpus, unseen=unseen), cut_to_corpus(SPECS[kind], corpus)
    tokens = [piece for each in cut.before.encode_batch(unseen, add_special_tokens=False) for piece in each.ids]
    assert without.common == 0 and sum(piece not in without.new_id for piece in tokens) > 0.03 * len(tokens)
    is_full = len(cut.order) >= 0.9 * len(cut.before.get_vocab())  # more would leave no cut
    assert cut.common > 0 and (is_full or sum(piece not in cut.new_id for piece in tokens) <= 0.03 * len(tokens))
    added = sorted(set(cut.order) - set(without.order))
    assert len(cut.order) < len(cut.before.get_vocab()) and not cut.changed(corpus)
    assert {piece for piece in tokens if piece < added[-1]} <= set(cut.order)  # none that is commoner than the last was passed over


def test_pieces_of_other_scripts_and_places_kept_free_are_no_common_pieces():
    spec = json.loads(json.dumps(SPECS["wordpiece"]))
    vocab = spec["model"]["vocab"]
    words = ["[unused1]", "свет", "light"]
    spec["model"]["vocab"] = {**{word: len(vocab) + at for at, word in enumerate(words)}, **vocab}
    cut = cut_to_corpus(spec, ["turn on"], unseen=["the light", "включи свет"] * 3)
    left_over = cut.after.get_vocab()
    assert "light" in left_over and "[unused1]" not in left_over and "свет" not in left_over


def test_scripts_that_the_corpus_does_not_use_are_dropped_and_what_that_loses_is_measured():
    cut = cut_to_corpus(SPECS["wordpiece"], ["turn on the light"])
    assert cut.before.token_to_id("в") is not None and cut.after.token_to_id("в") is None
    lost = losses(cut, ["включи свет на кухне"])
    assert lost["unseen_changed_share"] == 1 and lost["unseen_unknown_share_before"] == 0 and lost["unseen_unknown_share_after"] == 1
    remaining = cut_to_corpus(SPECS["wordpiece"], ["turn on the light", "свет"])
    assert remaining.after.token_to_id("в") is not None and losses(remaining, ["включи свет на кухне"])["unseen_unknown_share_after"] == 0


@pytest.mark.parametrize(
    "processor",
    [
        processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]),
        processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)),
        processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)),
        processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])]),
    ],
    ids=["template", "bert", "roberta", "sequence"],
)
def test_post_processors_padding_and_tokens_outside_the_model_follow(processor):
    tokenizer = Tokenizer.from_str(json.dumps(moved_special()))
    tokenizer.add_tokens(["<extra>"])
    spec = json.loads(tokenizer.to_str())
    at = {name: tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]", "[PAD]")}
    text = json.dumps(json.loads(type("T", (), {"s": processor_spec(processor, at)}).s))
    spec["post_processor"] = json.loads(text)
    spec["padding"] = {
        "strategy": {"Fixed": 24},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": at["[PAD]"],
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    cut = cut_to_corpus(spec, ["turn on the light"])
    old, new = (Tokenizer.from_str(json.dumps(each)).encode("turn <extra> on") for each in (spec, cut.spec))
    assert old.tokens == new.tokens and new.tokens[-1] == "[PAD]" and "[CLS]" in new.tokens and "<extra>" in new.tokens
    assert [cut.order[index] for index in new.ids] == old.ids and new.ids != old.ids


def moved_special() -> dict:
    """The WordPiece tokenizer with its special tokens behind all other pieces, so that cutting moves them."""
    spec = json.loads(json.dumps(SPECS["wordpiece"]))
    pieces = sorted(spec["model"]["vocab"], key=lambda piece: (piece in SPECIAL, spec["model"]["vocab"][piece]))
    spec["model"]["vocab"] = {piece: index for index, piece in enumerate(pieces)}
    for token in spec["added_tokens"]:
        token["id"] = spec["model"]["vocab"][token["content"]]
    return spec


def processor_spec(processor, at: dict[str, int]) -> str:
    """The processor's JSON with the ids that the tokens have in the tokenizer at hand."""
    holder = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    holder.post_processor = processor
    spec = json.loads(holder.to_str())["post_processor"]
    for part in [spec, *spec.get("processors", [])]:
        for token in part.get("special_tokens", {}).values() if part["type"] == "TemplateProcessing" else ():
            token["ids"] = [at[name] for name in token["tokens"]]
        for end in ("sep", "cls"):
            if end in part:
                part[end][1] = at[part[end][0]]
    return json.dumps(spec)


def small_corpus(folder: Path, rows: int = 60) -> Path:
    return make_data(folder, {"train": rows, "dev": 20, "test": 60})


@pytest.mark.parametrize(("family", "more"), [*((family, {}) for family in CONFIGS), ("llama", {"tie_word_embeddings": False})])
def test_a_cut_model_answers_the_corpus_as_it_did_and_its_folder_loads_like_any_other(tmp_path, family, more):
    task = dict(FAMILY_TASKS)[family]
    model = make_model(tmp_path / "whole", family, task)
    if more:
        config = type(model.config)(**(model.config.to_dict() | more))
        torch.manual_seed(1)
        type(model)(config).save_pretrained(tmp_path / "whole")
        model = load_checkpoint(tmp_path / "whole", task)
    material = gather(Recipe(model=str(tmp_path / "whole"), data=str(small_corpus(tmp_path / "data")), task=task, vocabulary="data"))
    cut_model = load_checkpoint(tmp_path / "whole", task)
    details = cut_vocabulary(cut_model, material, tmp_path / "cut")
    cut_model.save_pretrained(tmp_path / "cut")
    again, tokenizer = load_checkpoint(tmp_path / "cut", task), AutoTokenizer.from_pretrained(tmp_path / "cut")
    rows = material.vocabulary_cut.order
    assert len(tokenizer) == again.config.vocab_size == details["pieces_after"] == len(rows) < model.config.vocab_size
    tables = 2 if more else 1
    removed = (model.config.vocab_size - len(rows)) * model.get_input_embeddings().embedding_dim * tables
    assert count_params(again) == count_params(cut_model) == count_params(model) - removed
    assert again.config.pad_token_id == model.config.pad_token_id or model.config.pad_token_id is None
    for text in [row.text for row in material.rows("train")][:10]:
        old, new = (torch.tensor([each(text)["input_ids"]]) for each in (material.tokenizer, tokenizer))
        with torch.no_grad():
            before, after = model(input_ids=old).logits, again(input_ids=new).logits
        assert torch.allclose(before[..., rows] if task == "text-generation" else before, after, atol=1e-5)


def test_ids_in_the_config_follow_and_positions_that_are_counted_from_the_padding_stay(tmp_path):
    """RoBERTa's first position is the padding's id + 1, so the padding keeps its id, and what is before it stays."""
    spec = json.loads(json.dumps(SPECS["unigram"]))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spec)), pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    last = len(fast) - 1
    config = CONFIGS["roberta"](vocab_size=len(fast), pad_token_id=9, bos_token_id=0, eos_token_id=last, num_labels=4)
    from transformers import RobertaForSequenceClassification

    fast.save_pretrained(tmp_path / "whole")
    RobertaForSequenceClassification(config).save_pretrained(tmp_path / "whole")
    material = gather(
        Recipe(model=str(tmp_path / "whole"), data=str(small_corpus(tmp_path / "data", 5)), task="feature-extraction", vocabulary="data")
    )
    model = load_checkpoint(tmp_path / "whole", "feature-extraction")
    cut_vocabulary(model, material, tmp_path / "cut")
    cut = material.vocabulary_cut
    assert cut.order[:10] == list(range(10)) and model.config.pad_token_id == 9 and model.get_input_embeddings().padding_idx == 9
    assert cut.order[model.config.eos_token_id] == last != model.config.eos_token_id


def test_a_file_adds_its_texts_to_the_train_split(tmp_path):
    data = load_data(str(small_corpus(tmp_path / "data")), "text-classification")
    (tmp_path / "more.txt").write_text("включи свет\n\nзажги лампу\n")
    (tmp_path / "more.jsonl").write_text('{"text": "включи свет"}\n{"text": "зажги лампу"}\n')
    alone = read_corpus("data", data, task_named("text-classification"))
    for name in ("more.txt", "more.jsonl"):
        both = read_corpus(str(tmp_path / name), data, task_named("text-classification"))
        assert set(both.texts) == set(alone.texts) | {"включи свет", "зажги лампу"} and both.sha256 != alone.sha256
    assert len(alone.texts) == 60


def test_texts_without_labels_keep_their_pieces_and_count_in_the_key(tmp_path):
    """A student learns from them, so the pack must read them as its teacher does."""
    make_model(tmp_path / "model")
    recipe = Recipe(model=str(tmp_path / "model"), data=str(small_corpus(tmp_path / "data")), vocabulary="data")
    alone = gather(recipe)
    gone = [word for word in alone.tokenizer.get_vocab() if word.isalpha() and word not in alone.vocabulary_cut.after.get_vocab()]
    text = " ".join(sorted(gone)[:8])
    (tmp_path / "more.txt").write_text(f"{text}\n")
    both = gather(recipe.model_copy(update={"unlabelled": str(tmp_path / "more.txt")}))
    before, after = (each.vocabulary_cut.after.encode(text, add_special_tokens=False).tokens for each in (alone, both))
    assert before != alone.tokenizer.tokenize(text) == after
    assert both.corpus.sha256 != alone.corpus.sha256, "the cut is another stage in the cache"


def test_texts_are_what_the_tasks_encode():
    rows = [Row("", words=("Ann", "ran")), Row("", text="a", text_pair="b"), Row("", text="q", context="c"), Row("", text=" ")]
    assert task_named("token-classification").texts(rows) == [("Ann", "ran"), "a", "b", "q", "c"]
    assert task_named("text-generation").texts([Row("", text="a"), Row("", text="b")]) == ["a\nb"]


@pytest.fixture
def folders(tmp_path):
    make_model(tmp_path / "model")
    return str(tmp_path / "model"), str(small_corpus(tmp_path / "data"))


@pytest.mark.parametrize(
    ("prepare", "vocabulary", "problem", "fix"),
    [
        (lambda model, path: None, "missing.txt", "corpus was not found", "train split"),
        (lambda model, path: (path / "blank.txt").write_text("\n  \n"), "blank.txt", "blank.txt is empty", "one row"),
        (lambda model, path: make_word_level(model), "data", "WordLevel tokenizer cannot be cut", "WordPiece, BPE, Unigram"),
        (lambda model, path: make_slow(model), "data", "tokenizer", "fast version|beside the model"),
        (lambda model, path: write_all(path / "all.txt"), "all.txt", "needs [0-9]+ of the vocabulary's 400", "leave --vocabulary out"),
    ],
    ids=["missing", "empty", "unknown kind", "slow", "nearly everything"],
)
def test_bad_input_is_an_error_with_a_way_out_before_the_model_is_loaded(folders, tmp_path, prepare, vocabulary, problem, fix):
    model, data = folders
    prepare(Path(model), tmp_path)
    wish = vocabulary if vocabulary == "data" else str(tmp_path / vocabulary)
    with pytest.raises(EdgepackError, match=problem) as caught:
        gather(Recipe(model=model, data=data, vocabulary=wish))
    assert any(part in caught.value.fix for part in fix.split("|"))


def make_word_level(folder: Path) -> None:
    words = {word: index for index, word in enumerate(["[UNK]", "[PAD]", *WORDS[:200]])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)


def write_all(path: Path) -> None:
    path.write_text("\n".join(text for text, _ in commands()["train"]))


def make_slow(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("a\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}))


def test_an_empty_train_split_is_an_empty_corpus(tmp_path):
    (tmp_path / "test.csv").write_text("text,label\nhi,a\nho,b\n")
    data = load_data(str(tmp_path), "text-classification")
    with pytest.raises(EdgepackError, match="corpus is empty"):
        read_corpus("data", data, task_named("text-classification"))


def test_a_plan_guesses_what_is_left_and_says_so(folders):
    model, data = folders
    plan = plan_build(Recipe(model=model, data=data, vocabulary="data", student="same"), PI)
    assert isinstance(plan.steps[0], CutVocabulary) and "guess" in plan.steps[0].why and plan.student.vocab == 400 < GUESSED_PIECES
    with pytest.raises(EdgepackError, match="--vocabulary data has no data"):
        plan_build(Recipe(model=model, vocabulary="data"), PI)


@pytest.mark.slow
def test_a_build_cuts_first_and_everything_after_it_speaks_the_new_ids(teacher_folder, tmp_path, cache):
    data = small_corpus(tmp_path / "data", 400)
    command = ["build", str(teacher_folder), "--data", str(data), "--vocabulary", "data", "--student", "2x64", "--prune-heads", "25%"]
    flags = ["--precision", "int8", "--epochs", "2", "--profile", "raspberry-pi", "--measure", "off", "--cache", str(cache)]
    done = edgepack_warm(*command, *flags, "--out", tmp_path / "pack")
    assert done.returncode in (0, 2), done.stderr
    manifest = read_manifest(tmp_path / "pack")
    teacher, cut, *_ = manifest.ladder
    assert [row.stage for row in manifest.ladder] == ["teacher", "cut_vocabulary", "prune_heads", "distill", "export", "quantize"]
    assert cut.params < teacher.params and cut.details["pieces_after"] < cut.details["pieces_before"] == 400
    assert cut.details["corpus_texts_changed"] == 0 and cut.details["unseen_texts"] == 60
    assert manifest.source.name == teacher_folder.name
    assert len(json.loads((tmp_path / "pack" / "tokenizer.json").read_text())["model"]["vocab"]) == cut.details["pieces_after"]
    assert verify(tmp_path / "pack").token_ids_equal > 0
    assert "cut_vocabulary: corpus texts" in (tmp_path / "pack" / "report.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["token-classification", "question-answering", "text-generation"])
def test_other_tasks_are_cut_and_compared_with_their_teacher_by_word_and_place(tmp_path, cache, task):
    family = "llama" if task == "text-generation" else "bert"
    make_model(tmp_path / "model", family, task, labels=("O", "B-X", "I-X"))
    data = {"token-classification": conll, "question-answering": squad, "text-generation": prose}[task](tmp_path / "data")
    precision = "fp32" if task == "text-generation" else "int8"
    recipe = Recipe(model=str(tmp_path / "model"), data=str(data), vocabulary="data", student="same", prune_heads=0.0, precision=precision)
    report = build(recipe, PI, tmp_path / "pack", cache, None)
    cut = report.ladder[1]
    assert cut.stage == "cut_vocabulary" and cut.details["corpus_texts_changed"] == 0 and cut.details["unseen_changed_share"] > 0
    if task == "text-generation":
        assert cut.flip_share is None  # its tokens are others
    else:
        assert 0 <= cut.flip_share < 1


def conll(folder: Path) -> Path:
    folder.mkdir()
    texts = lines()[:40], lines()[60:90]
    for split, result in zip(("train", "test"), texts, strict=True):
        (folder / f"{split}.conll").write_text("\n\n".join("\n".join(f"{word} O" for word in text.split()) for text in result) + "\n")
    return folder


def squad(folder: Path) -> Path:
    folder.mkdir()
    for split, result in zip(("train", "test"), (lines()[:40], lines()[60:90]), strict=True):
        entries = [
            {
                "context": text,
                "qas": [
                    {"id": str(i), "question": "what?", "answers": [{"text": text.split()[0], "answer_start": text.index(text.split()[0])}]}
                ],
            }
            for i, text in enumerate(result)
        ]
        (folder / f"{split}.json").write_text(json.dumps({"data": [{"paragraphs": entries}]}))
    return folder


def prose(folder: Path) -> Path:
    folder.mkdir()
    (folder / "train.txt").write_text("\n".join(lines()[:40]))
    (folder / "test.txt").write_text("\n".join(lines()[60:120]))
    return folder


@pytest.mark.parametrize("task", ["token-classification", "question-answering"])
def test_aligned_outputs_make_the_decisions_that_the_teacher_made(tmp_path, task):
    make_model(tmp_path / "model", "bert", task)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    cut = cut_to_corpus(json.loads(tokenizer.backend_tokenizer.to_str()), ["turn on the light"])
    other = PreTrainedTokenizerFast(tokenizer_object=cut.after, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    texts = [text for text in lines() if len(text.split()) > 2][:40]
    rows = [Row("", text="what?", context=text, words=tuple(text.split())) for text in texts]
    if task == "token-classification":
        rows = [Row("", words=row.words) for row in rows]
    old, new = (task_named(task).encode(each, rows, 96) for each in (tokenizer, other))
    draw = np.random.default_rng(0)
    outputs = [draw.normal(size=(len(item.ids), 2)).astype(np.float32) for item in old]
    aligned = task_named(task).aligned(outputs, old, new, cut.new_id)
    assert any(len(entry.ids) != len(two.ids) for entry, two in zip(old, new, strict=True))
    assert [len(output) for output in aligned] == [len(item.ids) for item in new]
    if task == "token-classification":
        assert task_named(task).decide(aligned, new, rows) == task_named(task).decide(outputs, old, rows)
    else:
        same = [
            entry == two
            for entry, two in zip(task_named(task).decide(aligned, new, rows), task_named(task).decide(outputs, old, rows), strict=True)
        ]
        assert np.mean(same) > 0.9  # an answer of thirty tokens may be longer than thirty of the smaller ones


def test_encode_keeps_the_order_of_words_and_strings():
    cut = cut_to_corpus(SPECS["wordpiece"], ["turn on", ("the", "light"), "off"])
    result = [encoding.tokens for encoding in encode(cut.after, ["turn on", ("the", "light"), "off"])]
    assert result == [cut.before.encode(text).tokens for text in ("turn on", "the light", "off")]
