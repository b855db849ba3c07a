"""What a sentence-transformers folder or an adapter states: the same vectors as the library's own parts give, also from a checkpoint."""

import json
from importlib import import_module

import pytest
import torch
from rows_setfit import predict, setfit
from rows_sparse import folder_of, splade
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.models import Pooling as TheirPooling
from small import HIDDEN, make_model

from edgepack.compress.student_init import make_student
from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint, load_tokenizer, save_checkpoint
from edgepack.model.material import gather
from edgepack.model.prompt_tokens import tokens_of_prompts
from edgepack.model.sentence_head import SentenceHead, normalized
from edgepack.model.source import find_model
from edgepack.model.statements import (
    dense_config,
    generation_config,
    modules_json,
    pooling_config,
    sentence_bert_config,
    splade_config,
    tokenizer_config,
)
from edgepack.model.statements.cross_encoder import read_activation
from edgepack.model.statements.sentence_record import Normalize, Pooling, SentenceStatement
from edgepack.plan.recipe import Recipe
from edgepack.tasks import task_named
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.similarity import PromptTokens

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
TASK = task_named("feature-extraction")
FORCED = {"clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": True}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def sentence_folder(folder, *parts, prompts=None):
    """parts: the class and the config of each part behind the transformer."""
    make_model(folder, task=TASK.name)
    entries = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for index, (kind, config) in enumerate(parts, 1):
        path = f"{index}_{kind}"
        entries.append({"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"})
        write(folder / path / "config.json", config)
    write(folder / "modules.json", entries)
    write(folder / "config_sentence_transformers.json", {"prompts": prompts or {}, "default_prompt_name": next(iter(prompts or {}), None)})


CLS = ("Pooling", {"word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": True})


@pytest.mark.parametrize("side", ["left", "right", "both"])
@pytest.mark.parametrize("mode", MODES)
def test_padding_on_any_side_changes_no_vector_and_the_library_gives_the_same(mode, side):
    hidden = torch.randn(1, 5, HIDDEN, generator=torch.Generator().manual_seed(0))
    head = SentenceHead(SentenceStatement(parts=(Pooling(modes=(mode,)),)), HIDDEN)
    theirs = TheirPooling(HIDDEN, pooling_mode=mode)({"token_embeddings": hidden, "attention_mask": torch.ones(1, 5)})["sentence_embedding"]
    before, after = (3 if side in ("left", "both") else 0), (2 if side in ("right", "both") else 0)
    rows = torch.nn.functional.pad(hidden, (0, 0, before, after), value=7.0)
    mask = torch.nn.functional.pad(torch.ones(1, 5), (before, after))
    torch.testing.assert_close(head(rows, mask), theirs)


@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_a_token_beyond_the_256th_is_counted_where_a_training_computes_in_bf16(mode, include_prompt):
    hidden = torch.randn(1, 400, HIDDEN, generator=torch.Generator().manual_seed(0))
    statement = SentenceStatement(parts=(Pooling(modes=(mode,), include_prompt=include_prompt),))
    prompts = () if include_prompt else (PromptTokens(begin=(2, 9), count=300),)
    head = SentenceHead(statement.without_prompts(prompts), HIDDEN)
    inputs = torch.ones(1, 400, dtype=torch.long), torch.tensor([[2, 9, *[5] * 398]])
    torch.testing.assert_close(head(hidden.bfloat16(), *inputs), head(hidden, *inputs), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("mode", MODES)
def test_a_prompt_is_left_out_of_a_padded_text_as_the_library_does(mode):
    """Of two prompts that a text begins with, the longer one; of a text without a prompt nothing."""
    hidden = torch.randn(3, 7, HIDDEN, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 6 + [0]])
    ids = torch.tensor([[2, 9, 8, 5, 5, 5, 3], [2, 9, 7, 5, 3, 0, 0], [2, 5, 9, 8, 5, 3, 0]])
    prompts = (PromptTokens(begin=(2, 9), count=2), PromptTokens(begin=(2, 9, 8), count=4))
    statement = SentenceStatement(parts=(Pooling(modes=(mode,), include_prompt=False),)).without_prompts(reversed(prompts))
    theirs = TheirPooling(HIDDEN, pooling_mode=mode, include_prompt=False)
    expected = []
    for row, left_out in enumerate((4, 2, 0)):
        features = {"token_embeddings": hidden[row : row + 1], "attention_mask": mask[row : row + 1]}
        expected.append(theirs(features | ({"prompt_length": left_out} if left_out else {}))["sentence_embedding"])
    torch.testing.assert_close(SentenceHead(statement, HIDDEN)(hidden, mask, ids), torch.cat(expected))


@pytest.mark.parametrize("prompt", ["query: ", "Represent this:\n"])
def test_tokens_of_a_prompt_are_those_that_the_library_counts(tmp_path, prompt):
    """[CLS] is one of them, [SEP] is none."""
    make_model(tmp_path, task=TASK.name)
    tokenizer = load_tokenizer(tmp_path)
    stated = tokens_of_prompts(tokenizer, {"query": prompt, "none": ""}, "model")
    ids = tokenizer(prompt)["input_ids"]
    assert list(stated) == ["query"] and stated["query"].count == len(ids) - 1
    assert stated["query"].begin == tuple(ids[: len(stated["query"].begin)])


def test_a_prompt_that_grows_together_with_the_text_is_refused():
    class Letters:
        """As of a tokenizer without blanks: pairs of letters are tokens."""

        all_special_ids = ()

        def __call__(self, text, **_):
            return {"input_ids": [hash(text[at : at + 2]) for at in range(len(text) % 2, len(text), 2)]}

    with pytest.raises(EdgepackError, match="the tokens of the prompt 'query' depend on the text"):
        tokens_of_prompts(Letters(), {"query": "find: "}, "model")


@pytest.mark.parametrize(
    ("part", "known"),
    [
        ("base.modules.transformer.Transformer", sentence_bert_config._KNOWN),
        ("sentence_transformer.modules.pooling.Pooling", pooling_config._KNOWN),
        ("base.modules.dense.Dense", dense_config._KNOWN),
        ("sparse_encoder.modules.splade_pooling.SpladePooling", splade_config._KNOWN),
        ("sentence_transformer.modules.layer_norm.LayerNorm", ("dimension",)),
    ],
)
def test_every_key_that_the_installed_library_writes_is_known(part, known):
    module, _, name = part.rpartition(".")
    assert set(getattr(import_module(f"sentence_transformers.{module}"), name).config_keys) <= set(known)


def test_every_part_of_the_installed_library_is_read_or_refused_by_a_reason():
    parts = [import_module(f"sentence_transformers.{kind}.modules").__all__ for kind in ("base", "sentence_transformer", "sparse_encoder")]
    known = {*modules_json._REFUSED, *modules_json._READERS, *modules_json._TRANSFORMERS, *modules_json._TABLES, "Dropout"}
    assert {name for names in parts for name in names} - known <= {"Module", "InputModule"}


def test_vectors_that_would_overflow_fp16_are_made_1_long():
    vectors = torch.full((1, 700), 30.0, dtype=torch.float16)
    assert normalized(vectors).float().norm().item() == pytest.approx(1, abs=1e-2)


def test_fewer_dimensions_are_1_long_again_where_the_model_makes_them_so():
    hidden, mask = torch.randn(2, 4, HIDDEN), torch.ones(2, 4)
    whole = SentenceStatement(parts=(Pooling(modes=("mean",)), Normalize()))
    vectors = SentenceHead(whole, HIDDEN, 8)(hidden, mask)
    assert vectors.shape == (2, 8)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2))


def test_a_checkpoint_and_a_narrower_student_keep_what_the_folder_states(tmp_path):
    sentence_folder(tmp_path / "model", CLS, ("Normalize", {}), prompts={"query": "query: "})
    model = load_checkpoint(tmp_path / "model", TASK.name)
    batch = {"input_ids": torch.tensor([[2, 9, 11, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}
    expected = TASK.forward(model, batch)
    save_checkpoint(model, tmp_path / "again")
    again = find_model(str(tmp_path / "again"))
    torch.testing.assert_close(TASK.forward(load_checkpoint(again, TASK.name), batch), expected)
    assert again.sentence.prompts == {"query": "query: "}
    features = TASK.encode(load_tokenizer(tmp_path / "model"), [Row("", text="turn on the light")], 16)
    student = make_student(model, 2, HIDDEN // 2, features)
    vectors = TASK.forward(student, batch)
    assert vectors.shape == (1, HIDDEN // 2)
    torch.testing.assert_close(vectors, normalized(student(**batch).last_hidden_state[:, 0]))


def test_every_statement_file_changes_the_model_s_hash(tmp_path):
    sentence_folder(tmp_path, CLS)
    before = find_model(str(tmp_path)).sha256
    write(tmp_path / "1_Pooling" / "config.json", {"word_embedding_dimension": HIDDEN, "pooling_mode_max_tokens": True})
    assert find_model(str(tmp_path)).sha256 != before


def test_a_default_prompt_stands_before_texts_in_data_but_not_in_prompted_calls(tmp_path):
    record = TASK.answer_record(prompts={"query": "query: "}, default_prompt="query")
    rows = TASK.prompted([Row("", text="light", text_pair="lamp")], record)
    assert (rows[0].text, rows[0].text_pair) == ("query: light", "query: lamp")


def test_a_cased_tokenizer_lowers_where_it_is_asked_to(tmp_path):
    make_model(tmp_path)
    path = tmp_path / "tokenizer.json"
    stated = json.loads(path.read_text())
    stated["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(stated))
    plain, lowering = load_tokenizer(tmp_path), load_tokenizer(tmp_path, lower_case=True)
    assert plain("LIGHT")["input_ids"] != plain("light")["input_ids"]
    assert lowering("LIGHT")["input_ids"] == plain("light")["input_ids"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([("Pooling", {"pooling_mode": "median"})], "median"),
        ([("Pooling", {"pooling_mode": "cls", "gating": 1})], "gating"),
        ([("WordWeights", {})], "WordWeights"),
        ([CLS, ("LSTM", {})], "LSTM"),
        ([CLS, ("Dense", {"in_features": HIDDEN, "out_features": 8, "activation_function": "my.Code"})], "my.Code"),
        ([CLS, ("Dense", {"in_features": HIDDEN, "out_features": 8})], "no model.safetensors"),
        ([("Normalize", {}), CLS], "before Pooling"),
        ([CLS, ("Normalize", {"module_input_name": "token_embeddings"})], "token_embeddings"),
        ([("Pooling", {"pooling_mode": "mean", "include_prompt": "no"})], "include_prompt"),
    ],
)
def test_what_is_not_reproduced_is_refused_by_name(tmp_path, parts, message):
    sentence_folder(tmp_path, *parts, prompts={"query": "query: "})
    with pytest.raises(EdgepackError, match=message):
        find_model(str(tmp_path), with_weights=False)


def test_a_path_that_leaves_the_folder_is_refused(tmp_path):
    sentence_folder(tmp_path, CLS)
    write(tmp_path / "modules.json", [{"idx": 0, "name": "0", "path": "../other", "type": "sentence_transformers.models.Transformer"}])
    with pytest.raises(EdgepackError, match="outside of the folder"):
        find_model(str(tmp_path))


def test_a_path_that_no_file_system_takes_is_refused(tmp_path):
    sentence_folder(tmp_path, CLS)
    parts = json.loads((tmp_path / "modules.json").read_text())
    parts[1]["path"] = "x" * 300
    write(tmp_path / "modules.json", parts)
    with pytest.raises(EdgepackError, match="a path that no file system takes"):
        find_model(str(tmp_path))


def test_a_dense_whose_weights_do_not_fit_is_refused(tmp_path):
    sentence_folder(tmp_path, CLS, ("Dense", {"in_features": HIDDEN, "out_features": 8}))
    save_file({"linear.weight": torch.zeros(4, HIDDEN), "linear.bias": torch.zeros(4)}, tmp_path / "2_Dense" / "model.safetensors")
    with pytest.raises(EdgepackError, match="does not fit"):
        load_checkpoint(tmp_path, TASK.name)


@pytest.mark.parametrize("family", ["bert", "distilbert", "mobilebert"])
def test_a_sparse_vector_is_that_of_the_library_from_the_folder_and_from_a_checkpoint(family, tmp_path):
    folder_of(tmp_path / "model", splade("sum", "log1p_relu"), family)
    model = load_checkpoint(tmp_path / "model", TASK.name)
    encoded = load_tokenizer(tmp_path / "model")("turn on the light", return_tensors="pt")
    theirs = SparseEncoder(str(tmp_path / "model"), device="cpu").encode("turn on the light").to_dense()
    batch = {name: encoded[name] for name in encoded if name != "token_type_ids" or family != "distilbert"}
    ours = TASK.forward(model, batch)[0]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    source = find_model(str(tmp_path / "model"))
    assert source.shape(TASK.name).params == sum(parameter.numel() for parameter in model.parameters())
    save_checkpoint(model, tmp_path / "again")
    torch.testing.assert_close(TASK.forward(load_checkpoint(tmp_path / "again", TASK.name), batch)[0], ours)


def test_a_setfit_head_in_a_pickle_is_refused_with_the_lines_that_convert_it(tmp_path):
    sentence_folder(tmp_path, CLS)
    (tmp_path / "model_head.pkl").write_bytes(b"")
    with pytest.raises(EdgepackError, match=r"(?s)model_head.pkl.*joblib.load.*model_head.safetensors"):
        find_model(str(tmp_path))


@pytest.mark.parametrize("several", [False, True])
def test_a_setfit_folder_that_the_refusals_lines_converted_scores_as_the_regression(several, tmp_path):
    setfit(tmp_path / "model", several=several, stated={"labels": ["no", "maybe", "yes"], "normalize_embeddings": True})
    source = find_model(str(tmp_path / "model"))
    model, task = load_checkpoint(source), task_named(source.task())
    (expected,) = predict(tmp_path / "model", [("turn on the light",)])
    logits = task.forward(model, dict(load_tokenizer(tmp_path / "model")("turn on the light", return_tensors="pt")))[0]
    scores = logits.sigmoid() if several else logits.softmax(-1)
    assert dict(zip(source.labels, scores.tolist(), strict=True)) == pytest.approx(
        {each["name"]: each["score"] for each in expected["scores"]}, abs=1e-5
    )
    save_checkpoint(model, tmp_path / "again")
    again = find_model(str(tmp_path / "again"))
    assert (again.task(), again.labels, again.config["problem_type"]) == (source.task(), source.labels, source.config["problem_type"])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"labels": ["a", "b"]}, "labels.*3 classes"), ({"head": "relu"}, "head.*relu"), ({"temperature": 2}, "temperature")],
)
def test_a_setfit_statement_that_does_not_fit_its_head_is_refused_by_its_key(change, message, tmp_path):
    setfit(tmp_path)
    path = tmp_path / "config_setfit.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(EdgepackError, match=message):
        find_model(str(tmp_path), with_weights=False)


@pytest.mark.parametrize(
    ("config", "function"),
    [
        ({}, None),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, "none"),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"}, "sigmoid"),
        ({"sentence_transformers": {}, "id2label": {"0": "LABEL_0"}}, "sigmoid"),
        ({"sentence_transformers": {}, "id2label": {"0": "a", "1": "b", "2": "c"}}, "none"),
    ],
)
def test_the_function_behind_a_cross_encoder_s_logits_is_read(tmp_path, config, function):
    assert read_activation(tmp_path, config) == function


def test_a_tokenizer_that_the_library_stumbles_over_is_named(tmp_path):
    make_model(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(EdgepackError, match="no tokenizer in .*KeyError"):
        load_tokenizer(tmp_path)


def test_every_key_of_the_installed_generation_config_is_reproduced_refused_or_without_effect():
    from transformers import GenerationConfig

    stated = {key for key in vars(GenerationConfig()) if not key.startswith("_")}
    assert stated <= {*generation_config.REPRODUCED, *generation_config.REFUSED, *generation_config.WITHOUT_EFFECT}


@pytest.mark.parametrize(("kind", "more", "is_refused"), [("BPE", {}, False), ("Unigram", {}, True), ("BPE", FORCED, True)])
def test_blanks_that_the_library_takes_out_of_a_written_text_are_refused(tmp_path, kind, more, is_refused):
    write(tmp_path / "tokenizer_config.json", {"clean_up_tokenization_spaces": True} | more)
    write(tmp_path / "tokenizer.json", {"model": {"type": kind}})
    if is_refused:
        with pytest.raises(EdgepackError, match="clean_up_tokenization_spaces = True"):
            tokenizer_config.check_written_text(tmp_path)
    else:
        tokenizer_config.check_written_text(tmp_path)


@pytest.mark.parametrize("family", ["qwen3", "gemma3_text"])
def test_a_decoder_that_the_library_saved_keeps_what_an_export_reads(family, tmp_path):
    """The library states that no cache is used, and the export of such a model fails."""
    make_model(tmp_path / "theirs", family, TASK.name)
    SentenceTransformer(str(tmp_path / "theirs"), device="cpu").save_pretrained(str(tmp_path / "saved"))
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["use_cache"] is False
    assert load_checkpoint(tmp_path / "saved", TASK.name).config.use_cache


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("stated", [True, False])
def test_a_decoders_head_for_classes_needs_a_padding_token(family, stated, tmp_path):
    """Its last token that is no padding decides. A plan refuses what config.json states, a build what the library makes of it too."""
    make_model(tmp_path, family)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"pad_token_id": 0}))
    assert find_model(str(tmp_path)).shape("text-classification").labels == 4
    assert gather(Recipe(model=str(tmp_path))).labels == {}
    config.pop("pad_token_id", None)
    path.write_text(json.dumps(config | ({"pad_token_id": None} if stated else {})))
    with pytest.raises(EdgepackError, match="config.json states pad_token_id = None"):
        gather(Recipe(model=str(tmp_path)))
    if stated:
        with pytest.raises(EdgepackError, match="pad_token_id = None"):
            find_model(str(tmp_path)).shape("text-classification")
    for task in ("text-generation", "feature-extraction", "token-classification"):  # they look for no last token
        assert find_model(str(tmp_path)).shape(task).task == task
