"""A folder that begins with StaticEmbedding: its vectors are the library's, also from a checkpoint; what is odd is refused before work."""

import pytest
import rows_setfit
import rows_static
import torch
from rows_static import as_model2vec, table
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from small import HIDDEN

from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_checkpoint, save_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.material import gather
from edgepack.model.sentence_head import SentenceHead
from edgepack.model.source import find_model
from edgepack.model.statements.sentence_record import SentenceStatement, TokenMean
from edgepack.model.structure import count_params
from edgepack.pipeline.build import plan_build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.tasks import task_named

TASK = task_named("feature-extraction")
TEXTS = ["turn on the light in the kitchen", "call Zoë", "[CLS] !!!"]
PI = load_profile("raspberry-pi")


def vectors_of(model, source, texts=TEXTS):
    rows = [TASK.row_of_text(text) for text in texts]
    return torch.tensor(run_model(model, TASK, TASK.encode(source.tokenizer, rows, 1000), ""))


def test_padding_changes_no_mean_and_a_text_without_tokens_is_zeros_as_in_the_library():
    tokenizer = rows_static.word_pieces()
    rows = rows_static.rows_of(tokenizer)
    theirs = StaticEmbedding(tokenizer, rows)
    expected = theirs(theirs.preprocess(["turn on", ""]))["sentence_embedding"]
    ids = tokenizer.encode("turn on", add_special_tokens=False).ids
    hidden = torch.stack([rows[[*ids, 0, 0]], rows[[7] * (len(ids) + 2)]])
    mask = torch.tensor([[1] * len(ids) + [0, 0], [0] * (len(ids) + 2)])
    head = SentenceHead(SentenceStatement(parts=(TokenMean(),)), HIDDEN)
    torch.testing.assert_close(head(hidden, mask), expected)


@pytest.mark.parametrize("stored", ["embedding.weight", "model2vec"])
def test_a_folder_gives_the_librarys_vectors_and_a_checkpoint_of_it_too(stored, tmp_path):
    table(tmp_path / "model", [rows_static.NORMALIZE], **({"weights": as_model2vec} if stored == "model2vec" else {}))
    source = find_model(str(tmp_path / "model"))
    model = load_checkpoint(source)
    expected = torch.tensor(SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(TEXTS))
    torch.testing.assert_close(vectors_of(model, source), expected)
    assert source.shape(TASK.name).params == count_params(model)
    save_checkpoint(model, tmp_path / "again")
    torch.testing.assert_close(vectors_of(load_checkpoint(tmp_path / "again"), source), expected)
    assert find_model(str(tmp_path / "again")).shape(TASK.name).layers == ()


def test_fewer_dimensions_cut_the_table_and_give_the_same_vectors(tmp_path):
    table(tmp_path, [rows_static.NORMALIZE])
    source = find_model(str(tmp_path))
    cut = load_checkpoint(source, dimensions=12)
    library = SentenceTransformer(str(tmp_path), device="cpu", truncate_dim=12)
    torch.testing.assert_close(vectors_of(cut, source), torch.tensor(library.encode(TEXTS, normalize_embeddings=True)))
    assert count_params(cut) * HIDDEN == count_params(load_checkpoint(source)) * 12


def test_dense_reads_all_columns_whatever_the_dimensions(tmp_path):
    table(tmp_path, [rows_static.dense(HIDDEN, 16)])
    source = find_model(str(tmp_path))
    assert not source.shape(TASK.name).cut_by_dimensions
    assert vectors_of(load_checkpoint(source, dimensions=12), source).shape == (3, 12)


@pytest.mark.parametrize("situation", rows_static.REFUSED, ids=str)
def test_what_is_refused_is_refused_before_a_model_is_loaded(situation, tmp_path):
    situation.make(tmp_path)
    recipe = Recipe.read({"model": str(tmp_path)} | situation.recipe | ({"data": "d"} if "student" in situation.recipe else {}), "a test")
    with pytest.raises(EdgepackError, match=situation.refused):
        plan_build(recipe, PI)
        gather(recipe)


def test_files_that_the_library_does_not_read_are_named(tmp_path):
    table(tmp_path, after=rows_static.beside("tokenizer_config.json", model_max_length=8))
    source = find_model(str(tmp_path))
    assert any("tokenizer_config.json" in line for line in source.check_tokenizer())
    assert len(source.tokenizer("light " * 20)["input_ids"]) >= 20


def test_a_tensor_that_the_library_does_not_read_is_named(tmp_path):
    table(tmp_path, weights=lambda rows: {"embedding.weight": rows, "other": torch.ones(2)})
    assert load_checkpoint(tmp_path).unread_weights == ("other",)


def test_a_special_token_without_a_row_is_said_and_not_refused(tmp_path):
    def with_one_more():
        tokenizer = rows_static.word_pieces()
        tokenizer.add_special_tokens(["<more>"])
        return tokenizer

    table(tmp_path, tokenizer=with_one_more, weights=lambda rows: {"embedding.weight": rows[:-1].contiguous()})
    assert any("<more>" in line for line in find_model(str(tmp_path)).check_tokenizer())


def test_a_setfit_head_on_a_table_scores_as_the_regression(tmp_path):
    rows_setfit.setfit(tmp_path / "model", parts=[], stated={"labels": ["no", "maybe", "yes"]}, body=table)
    source = find_model(str(tmp_path / "model"))
    task = task_named(source.task())
    assert task.name == "text-classification" and not source.shape(task.name).cut_by_dimensions
    model = load_checkpoint(source)
    (expected,) = rows_setfit.predict(tmp_path / "model", [(TEXTS[0],)])
    logits = task.forward(model, dict(source.tokenizer(TEXTS[0], return_tensors="pt", return_token_type_ids=False)))[0]
    scores = dict(zip(source.labels, logits.softmax(-1).tolist(), strict=True))
    assert {each["name"]: each["score"] for each in expected["scores"]} == pytest.approx(scores, abs=1e-5)


def test_a_header_that_lies_about_the_bytes_is_refused(tmp_path):
    table(tmp_path)
    path = tmp_path / "model.safetensors"
    content = path.read_bytes()
    rows = rows_static.word_pieces().get_vocab_size()
    path.write_bytes(content.replace(f"[{rows},{HIDDEN}]".encode(), f"[{rows},{HIDDEN - 1}]".encode()))
    with pytest.raises(EdgepackError, match="cannot be read"):
        gather(Recipe(model=str(tmp_path)))


def test_the_plan_of_a_hub_table_fetches_its_weights_which_alone_tell_its_shape(tmp_path, monkeypatch):
    home = tmp_path / "hub" / "models--somebody--table"
    (home / "snapshots" / ("a" * 40)).mkdir(parents=True)
    table(home / "snapshots" / ("a" * 40))
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    plan = plan_build(Recipe(model="somebody/table"), PI)
    assert plan.teacher.hidden == HIDDEN and plan.teacher.layers == ()
