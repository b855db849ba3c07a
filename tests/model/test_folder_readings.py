"""Which files of a model folder are read, as its library reads them, and what is said of those that are not."""

import json

import pytest
import torch
import transformers
from rows_generation import ending, stated
from small import CONFIGS, make_model
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from edgepack.compress.student_init import make_student
from edgepack.core.errors import EdgepackError
from edgepack.export.decoders import stop_ids
from edgepack.model.adapter_base import TOKENIZERS
from edgepack.model.checkpoint import load_checkpoint, load_tokenizer, save_checkpoint
from edgepack.model.source import find_model
from edgepack.model.statements.generation_config import read_generation
from edgepack.tasks.common.task import Features

ENDS = [356, 44]


@pytest.mark.parametrize("family", CONFIGS)
def test_every_file_that_a_family_s_tokenizer_is_read_from_is_known(family):
    name = TOKENIZER_MAPPING_NAMES.get(CONFIGS[family]().model_type)
    files = getattr(getattr(transformers, name or "", None), "vocab_files_names", {})
    assert {file for key, file in files.items() if key in ("vocab_file", "tokenizer_file")} <= set(TOKENIZERS)


def test_the_ends_of_a_text_stay_those_of_generation_config_behind_every_stage(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    stated(first, eos_token_id=ENDS, bos_token_id=7)
    path = first / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": 9}))
    save_checkpoint(load_checkpoint(first), second)
    again = load_checkpoint(second)
    assert (stop_ids(again), again.generation_config.bos_token_id) == (tuple(ENDS), 7)
    narrow = make_student(again, 2, 32, [Features(torch.randint(5, 300, (12,)).tolist(), [0] * 12, row) for row in range(4)])
    assert stop_ids(narrow) == tuple(ENDS)


def test_a_generation_config_without_an_end_has_none_whatever_config_says(tmp_path):
    ending(tmp_path)
    assert stop_ids(load_checkpoint(tmp_path)) == ()
    (tmp_path / "generation_config.json").unlink()
    assert stop_ids(load_checkpoint(tmp_path)) == (356, 44, 383, 146, 320)


@pytest.mark.parametrize("decay", [[3, 1.2], "3", [], [None, 2], 5])
def test_an_end_that_grows_while_it_is_forbidden_is_refused_and_nothing_stumbles_over_a_wrong_value(decay, tmp_path):
    settings = {"exponential_decay_length_penalty": decay, "min_new_tokens": 4}
    (tmp_path / "generation_config.json").write_text(json.dumps(settings))
    read_generation(tmp_path, {}, "model")
    (tmp_path / "generation_config.json").write_text(json.dumps(settings | {"min_new_tokens": 5}))
    if decay == [3, 1.2]:
        with pytest.raises(EdgepackError, match=r"exponential_decay_length_penalty = .*no number"):
            read_generation(tmp_path, {}, "model")


def test_statements_that_the_library_passes_over_are_said(tmp_path):
    make_model(tmp_path, task="feature-extraction")
    (tmp_path / "config_sentence_transformers.json").write_text('{"prompts": {"query": "q: "}, "default_prompt_name": "query"}')
    source = find_model(str(tmp_path))
    assert source.sentence is None
    assert source.check_tokenizer()[-1].endswith("only beside modules.json: config_sentence_transformers.json")


def test_code_beside_a_model_that_transformers_knows_by_itself_has_two_ways_out(tmp_path):
    make_model(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoModel": "modeling_x.X"}}))
    with pytest.raises(EdgepackError) as refused:
        find_model(str(tmp_path))
    assert "--trust-remote-code; or remove auto_map from config.json" in refused.value.fix


def test_code_of_a_family_that_nobody_knows_is_not_asked_for_as_it_would_not_help(tmp_path):
    make_model(tmp_path)
    path = tmp_path / "config.json"
    stated = {"auto_map": {"AutoModel": "modeling_x.X"}, "model_type": "nomic_bert"}
    path.write_text(json.dumps(json.loads(path.read_text()) | stated))
    with pytest.raises(EdgepackError, match="unknown model family in .*'nomic_bert'"):
        find_model(str(tmp_path))


def test_a_tokenizer_without_a_fast_version_is_named_by_its_class(tmp_path):
    make_model(tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").unlink()
    (tmp_path / "model" / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}')
    with pytest.raises(EdgepackError, match="ByT5Tokenizer, which transformers computes in Python alone"):
        load_tokenizer(tmp_path / "model")
