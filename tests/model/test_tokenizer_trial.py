"""A tokenizer on which its library fails is refused when its folder is read, by what is wrong with it."""

import json
from contextlib import nullcontext

import pytest
import tokenizer_kinds
from rows_static import table
from small import make_data, make_model, make_tokenizer
from tokenizers import Tokenizer

from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_tokenizer
from edgepack.model.material import gather
from edgepack.model.source import find_model
from edgepack.model.tokenizer_trial import try_tokenizer
from edgepack.plan.recipe import Recipe

BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [], "fuse_unk": False, "byte_fallback": False}
UNIGRAM = {"type": "Unigram", "vocab": [["a", -1.0], ["b", -2.0]], "byte_fallback": False}
PIECES = {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}
WHOLE = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
         "post_processor": None, "decoder": None}  # fmt: skip
LISTED = {"id": 7, "content": "[UNK]", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
WORDS = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}
CLS = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
PADDING = {"strategy": {"Fixed": 10**12}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "a"}
FAILING = {
    "no unknown word piece": ({"model": PIECES}, r"WordPiece does not have '\[UNK\]'"),
    "an added token alone": ({"model": PIECES, "added_tokens": [LISTED]}, r"WordPiece does not have '\[UNK\]'"),
    "no unknown word": ({"model": WORDS}, r"WordLevel does not have '\[UNK\]'"),
    "no unk_id": ({"model": UNIGRAM | {"unk_id": None}}, "(?s)`unk_id` is missing.*fix: set model.unk_id"),
    "no unknown character": ({"model": BPE | {"unk_token": "<unk>"}}, "(?s)`<unk>` not found.*fix: add the token"),
    "no bytes to fall back to": ({"model": BPE | {"unk_token": "<unk>", "byte_fallback": True}}, "`<unk>` not found"),
    "a template with a strange token": (
        {"model": BPE, "post_processor": {"type": "TemplateProcessing", "single": CLS, "pair": CLS, "special_tokens": {}}},
        "the tokenizers library fails on a text with its BPE",
    ),
    "a character map that ends early": (
        {"model": BPE, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAA="}},
        "index out of bounds",
    ),
    "chunks of nothing": ({"model": BPE, "pre_tokenizer": {"type": "FixedLength", "length": 0}}, "chunk size must be non-zero"),
}
FINE = {
    "every byte": lambda: Tokenizer.from_str(tokenizer_kinds.smollm().to_str()),
    "unknown characters left out": lambda: Tokenizer.from_str(json.dumps(WHOLE | {"model": BPE})),
    "an unknown piece": lambda: Tokenizer.from_str(json.dumps(WHOLE | {"model": UNIGRAM | {"unk_id": 0}})),
    "padding that no memory holds": lambda: Tokenizer.from_str(json.dumps(WHOLE | {"model": BPE, "padding": PADDING})),
}


@pytest.mark.parametrize("what", FAILING)
def test_a_tokenizer_that_fails_on_a_text_is_refused(what, tmp_path):
    content, match = FAILING[what]
    with pytest.raises(EdgepackError, match=match):
        try_tokenizer(Tokenizer.from_str(json.dumps(WHOLE | content)), tmp_path)


@pytest.mark.parametrize("what", FINE)
def test_a_tokenizer_that_reads_every_text_is_as_it_was(what, tmp_path):
    tokenizer = FINE[what]()
    before = tokenizer.to_str()
    try_tokenizer(tokenizer, tmp_path)
    assert tokenizer.to_str() == before


@pytest.mark.parametrize("kind", tokenizer_kinds.KINDS)
def test_every_kind_of_a_family_passes(kind, tmp_path):
    try_tokenizer(tokenizer_kinds.KINDS[kind](), tmp_path)


def without_unknown(folder):
    path = folder / "tokenizer.json"
    whole = json.loads(path.read_text())
    del whole["model"]["vocab"]["[UNK]"]
    path.write_text(json.dumps(whole))


def test_a_folder_of_transformers_is_refused_before_its_model_is_loaded(tmp_path):
    make_model(tmp_path / "model")
    without_unknown(tmp_path / "model")
    with pytest.raises(EdgepackError, match=r"does not have '\[UNK\]'"):
        load_tokenizer(tmp_path / "model")
    with pytest.raises(EdgepackError, match=r"does not have '\[UNK\]'"):
        gather(Recipe(model=str(tmp_path / "model"), data=str(make_data(tmp_path / "data"))))


@pytest.mark.parametrize(
    ("limit", "is_refused"), [([], True), ("96", True), (0, True), (-1, True), (9.5, True), (True, True), (96, False), (1e30, False)]
)
def test_a_limit_that_is_no_number_of_tokens_is_refused(limit, is_refused, tmp_path):
    make_tokenizer(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": limit}))
    with pytest.raises(EdgepackError, match="states model_max_length") if is_refused else nullcontext():
        load_tokenizer(tmp_path)


def test_a_table_of_vectors_is_refused_too(tmp_path):
    table(tmp_path)
    without_unknown(tmp_path)
    with pytest.raises(EdgepackError, match="does not have"):
        _ = find_model(str(tmp_path)).tokenizer


@pytest.mark.parametrize(("merges", "prefix"), [(["a é"], "#"), ([["a", "é"]], "##"), (["a éb"], "é")])
def test_merges_that_end_the_library_s_process_are_refused_before_it_reads_them(merges, prefix, tmp_path):
    make_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    model = BPE | {"vocab": {"a": 0, "é": 1, "éb": 2, "aé": 3}, "merges": merges, "continuing_subword_prefix": prefix}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": model}))
    with pytest.raises(EdgepackError, match="ends the whole process"):
        from edgepack.model.statements.tokenizer_config import check_tokenizer_statements

        check_tokenizer_statements(tmp_path, {"vocab_size": 400})
