"""Keys of tokenizer_config.json, one a row: a pack's tokenizer gives the ids of transformers', whether the key changes them or not."""

import inspect
import json
import re
from importlib import import_module
from types import SimpleNamespace

import pytest
import tokenizer_kinds
import transformers
from small import word_pieces
from tokenizers import Tokenizer
from transformers import AutoTokenizer
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.tokenization_utils_tokenizers import TokenizersBackend

from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_tokenizer
from edgepack.model.statements.tokenizer_config import check_tokenizer_statements
from edgepack.pipeline.pack_texts import write_tokenizer
from edgepack.plan.architectures import FAMILIES
from edgepack.ship.load import device_module

TEXTS = (
    "Turn ON the light", "naïve café Zoë — now", "北京 light", "a <s> b[MASK]c  [SEP] d <new> JAZZ jazz", "!!! ??? ...",
    "tabs\tand\nlines", "x" * 40, "set the heating to 21 degrees " * 12,
)  # fmt: skip
CALLS = (*((text,) for text in TEXTS), TEXTS[:2])
_LONGEST = 64
BERT = {"tokenizer_class": "BertTokenizer", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
FAST = BERT | {"tokenizer_class": "PreTrainedTokenizerFast"}
ROBERTA = {"tokenizer_class": "RobertaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
GPT2 = ROBERTA | {"tokenizer_class": "GPT2Tokenizer"}
UNIGRAM = ROBERTA | {"tokenizer_class": "PreTrainedTokenizerFast"}
AROUND = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<unk>", "mask_token": "<mask>"}
KINDS = {
    "word pieces": (lambda: Tokenizer.from_str(word_pieces()), FAST),
    "BertTokenizer": (lambda: Tokenizer.from_str(word_pieces()), BERT),
    "RobertaTokenizer": (tokenizer_kinds.roberta, ROBERTA),
    "GPT2Tokenizer": (tokenizer_kinds.smollm, GPT2),
    "LLaMA": (tokenizer_kinds.llama3, UNIGRAM),
    "Unigram": (tokenizer_kinds.sentence_piece, UNIGRAM),
    "AlbertTokenizer": (tokenizer_kinds.albert, ROBERTA | AROUND | {"tokenizer_class": "AlbertTokenizer"}),
    "XLMRobertaTokenizer": (tokenizer_kinds.sentence_piece, ROBERTA | AROUND | {"tokenizer_class": "XLMRobertaTokenizer"}),
    "LlamaTokenizer": (tokenizer_kinds.llama2, ROBERTA | {"tokenizer_class": "LlamaTokenizer"}),
    "Qwen2Tokenizer": (tokenizer_kinds.KINDS["qwen"], ROBERTA | {"tokenizer_class": "Qwen2Tokenizer"}),
    "DebertaV2Tokenizer": (tokenizer_kinds.albert, ROBERTA | {"tokenizer_class": "DebertaV2Tokenizer"}),
}
NEW = {"content": "<new>", "single_word": False, "lstrip": True, "rstrip": False, "normalized": False, "special": True}
# (kind, key, value): another value than the files of the kind state.
CHANGES_IDS = [
    ("BertTokenizer", "do_lower_case", False),
    ("BertTokenizer", "strip_accents", False),
    ("BertTokenizer", "tokenize_chinese_chars", False),
    ("BertTokenizer", "sep_token", "[MASK]"),
    ("BertTokenizer", "cls_token", "[MASK]"),
    ("BertTokenizer", "unk_token", "[PAD]"),
    ("word pieces", "model_max_length", 9),
    ("word pieces", "max_len", 9),
    ("word pieces", "truncation_side", "left"),
    ("RobertaTokenizer", "cls_token", "<mask>"),
    ("GPT2Tokenizer", "add_prefix_space", True),
    ("AlbertTokenizer", "do_lower_case", False),
    ("AlbertTokenizer", "keep_accents", True),
    ("XLMRobertaTokenizer", "add_prefix_space", False),
    ("LlamaTokenizer", "add_prefix_space", False),
    ("Qwen2Tokenizer", "add_prefix_space", True),
    ("DebertaV2Tokenizer", "split_by_punct", True),
    ("DebertaV2Tokenizer", "do_lower_case", True),
]
CHANGES_NONE = [
    ("word pieces", "do_lower_case", False),
    ("BertTokenizer", "strip_accents", True),
    ("BertTokenizer", "never_split", ["light"]),
    ("BertTokenizer", "do_basic_tokenize", False),
    ("BertTokenizer", "mask_token", "light"),
    ("BertTokenizer", "pad_token", "[SEP]"),
    ("word pieces", "sep_token", "[MASK]"),
    ("word pieces", "mask_token", "light"),
    ("word pieces", "bos_token", "light"),
    ("word pieces", "eos_token", "<|endoftext|>"),
    ("word pieces", "extra_special_tokens", ["light"]),
    ("word pieces", "extra_special_tokens", {"image_token": "light"}),
    ("word pieces", "additional_special_tokens", ["the"]),
    ("word pieces", "model_specific_special_tokens", {"image_token": "light"}),
    ("word pieces", "chat_control_tokens", ["light"]),
    ("word pieces", "added_tokens_decoder", {"5": NEW | {"content": "<|endoftext|>"}}),
    ("word pieces", "max_length", 9),
    ("word pieces", "stride", 3),
    ("word pieces", "truncation_strategy", "only_first"),
    ("word pieces", "padding_side", "left"),
    ("word pieces", "pad_to_multiple_of", 8),
    ("word pieces", "pad_token_type_id", 1),
    ("word pieces", "model_input_names", ["input_ids", "attention_mask"]),
    ("word pieces", "clean_up_tokenization_spaces", True),
    ("word pieces", "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", True),
    ("word pieces", "sanitize_control_tokens", True),
    ("word pieces", "chat_template", "{{ messages }}"),
    ("word pieces", "response_schema", {"type": "object"}),
    ("word pieces", "response_template", "light"),
    ("word pieces", "name_or_path", "some/model"),
    ("word pieces", "processor_class", "SomeProcessor"),
    ("word pieces", "backend", "tokenizers"),
    ("word pieces", "verbose", False),
    ("word pieces", "files_loaded", ["light"]),
    ("word pieces", "is_local", True),
    ("word pieces", "legacy", False),
    ("word pieces", "use_default_system_prompt", True),
    ("word pieces", "sp_model_kwargs", {}),
    ("word pieces", "spaces_between_special_tokens", False),
    ("word pieces", "tokenizer_file", "/nowhere/tokenizer.json"),
    ("word pieces", "vocab_file", "/nowhere/vocab.txt"),
    ("word pieces", "special_tokens_map_file", "/nowhere/special_tokens_map.json"),
    ("word pieces", "from_slow", False),
    ("word pieces", "use_source_tokenizer", True),
    ("word pieces", "gguf_file", "model.gguf"),
    ("word pieces", "unk_id", 4),
    ("LLaMA", "add_bos_token", True),
    ("LLaMA", "add_bos_token", False),
    ("LLaMA", "add_eos_token", True),
    ("LLaMA", "fix_mistral_regex", True),
    ("LLaMA", "add_prefix_space", True),
    ("Unigram", "add_prefix_space", False),
    ("RobertaTokenizer", "add_prefix_space", False),
    ("RobertaTokenizer", "trim_offsets", False),
    ("RobertaTokenizer", "errors", "strict"),
    ("GPT2Tokenizer", "errors", "strict"),
    ("GPT2Tokenizer", "add_bos_token", True),
    ("AlbertTokenizer", "remove_space", False),
    ("LlamaTokenizer", "add_bos_token", True),
    ("LlamaTokenizer", "add_bos_token", False),
    ("LlamaTokenizer", "add_eos_token", True),
    ("LlamaTokenizer", "legacy", False),
    ("LlamaTokenizer", "bos_token", "</s>"),
    ("Qwen2Tokenizer", "add_bos_token", True),
    ("DebertaV2Tokenizer", "unk_id", 4),
]
# What the library's code hands over by itself, and what is no key of a folder's file.
_OF_CODE = {
    "_commit_hash", "_json_padding", "_json_truncation", "_spm_precompiled_charsmap", "args", "commit_message", "kwargs", "merges",
    "merges_file", "post_processor", "repo_id", "self", "token", "tokenizer", "tokenizer_object", "tokenizer_padding",
    "tokenizer_truncation", "vocab",
}  # fmt: skip
_ELSEWHERE = {"split_special_tokens"}  # refused: below


def folder_of(folder, kind, **keys):
    make, stated = KINDS[kind]
    folder.mkdir()
    make().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(stated | keys))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return folder


def ids_of_transformers(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = {"truncation": True, "max_length": min(_LONGEST, tokenizer.model_max_length)}
    return [tokenizer(*texts, **asked)["input_ids"] for texts in CALLS]


def ids_of_a_pack(folder, place):
    """As a module's code reads the tokenizer that a build writes."""
    assert check_tokenizer_statements(folder, {"vocab_size": 10_000}) is not None
    tokenizer = load_tokenizer(folder)
    longest = min(_LONGEST, tokenizer.model_max_length)
    place.mkdir()
    write_tokenizer(SimpleNamespace(tokenizer=tokenizer), longest, place)
    texts = import_module(f"{device_module().__name__}.texts").Texts(place, {"max_length": longest, "task": "text-classification"})
    return [texts.text(*each).ids for each in CALLS]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The ids of each kind whose files state nothing more."""
    place = tmp_path_factory.mktemp("plain")
    return {kind: ids_of_transformers(folder_of(place / kind, kind)) for kind in KINDS}


@pytest.mark.parametrize(("kind", "key", "value"), CHANGES_IDS + CHANGES_NONE)
def test_a_pack_gives_the_ids_of_transformers(kind, key, value, plain, tmp_path):
    stated = folder_of(tmp_path / "model", kind, **{key: value})
    expected = ids_of_transformers(stated)
    assert ids_of_a_pack(stated, tmp_path / "pack") == expected
    assert (expected != plain[kind]) == ((kind, key, value) in CHANGES_IDS), "the table says whether the key changes anything"


def test_special_tokens_that_are_split_are_refused(tmp_path):
    with pytest.raises(EdgepackError, match="split_special_tokens = True"):
        check_tokenizer_statements(folder_of(tmp_path / "model", "word pieces", split_special_tokens=True), {})


def test_every_key_that_the_installed_library_reads_has_a_row():
    read = r'kwargs\.(?:pop|get|setdefault)\(\s*"(\w+)"'
    keys = set(re.findall(read, inspect.getsource(PreTrainedTokenizerBase.__init__) + inspect.getsource(TokenizersBackend)))
    for name in filter(None, map(TOKENIZER_MAPPING_NAMES.get, FAMILIES)):
        keys |= set(inspect.signature(getattr(transformers, name).__init__).parameters)
    tried = {key for _, key, _ in CHANGES_IDS + CHANGES_NONE}
    assert keys - tried - _OF_CODE == _ELSEWHERE
