"""Means that train nothing come before a layer is dropped: coding, 4-bit embeddings, the vocabulary. Each says why, and can be refused."""

import pytest
from shapes import MINILM
from test_plan import PI, WRITER, roomy

from edgepack.core.errors import EdgepackError
from edgepack.plan.choice_record import BrokenBudget, Choice, wider_need
from edgepack.plan.cost_model import predict
from edgepack.plan.explain import alternatives
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import CutVocabulary, Distill, Quantize

PHONE = load_profile("phone-entry")
WHOLE = {"prune_heads": 0.0, "pruned": MINILM, "student": MINILM, "prepack": True, "broken": ()}
WHOLE |= {"prediction": predict(MINILM, "fp16", PI, "onnxruntime", 32)}
NO_ROOM_TO_DECODE = {"file_mb": 20.0, "load_ms": 450.0}  # coded weights load in 600 ms there


def plan(profile=PI, teacher=MINILM, pieces=None, **recipe):
    return make_plan(profile, Recipe.read({"model": "m", "data": "d"} | recipe, "recipe"), teacher, pieces)


def step(result, kind):
    return next((step for step in result.steps if isinstance(step, kind)), None)


def test_an_entry_phone_keeps_all_layers_of_minilm():
    result = plan(PHONE)
    assert result.student.name() == "6x384" and result.predictions.file_mb <= 20 and not step(result, Distill)


def test_embeddings_take_4_bits_where_coded_weights_would_load_too_slowly():
    result = plan(budget=roomy(**NO_ROOM_TO_DECODE))
    quantize = step(result, Quantize)
    assert quantize.embedding_bits == 4 and result.coding is None and result.student.name() == "6x384"
    assert "Embeddings take 4 bits: the pack would need in 8 bits 22.9" in quantize.why and "with coded weights" in quantize.why
    assert result.predictions.file_mb == pytest.approx(17.6, abs=0.2)


def test_the_vocabulary_is_cut_before_a_layer_is_dropped_and_the_plan_says_why():
    result = plan(budget=roomy(file_mb=7.0))
    cut = step(result, CutVocabulary)
    assert cut.corpus == "data" and not step(result, Distill) and result.predictions.file_mb <= 7
    assert "Without it, 6x384 would need" in cut.why and "which is a guess until the build has counted" in cut.why
    assert "--vocabulary all" in cut.why


def test_counted_pieces_decide_whether_a_cut_is_worth_it():
    counted = plan(budget=roomy(file_mb=7.0), pieces=12_000)
    assert counted.student.vocab == 12_000 and "12,000 stay." in step(counted, CutVocabulary).why
    whole = plan(budget=roomy(file_mb=7.0), pieces=30_000)
    assert not step(whole, CutVocabulary) and step(whole, Distill)


@pytest.mark.parametrize("wish", [{"vocabulary": "all"}, {"student": "same"}, {"data": None}])
def test_nothing_is_cut_against_a_wish_or_without_texts(wish):
    try:
        result = plan(budget=roomy(file_mb=7.0), **wish)
    except EdgepackError as refused:
        assert "no plan without data" in refused.problem
        return
    assert not step(result, CutVocabulary)


def test_a_decoder_keeps_its_whole_vocabulary():
    with pytest.raises(EdgepackError, match="MB of files"):
        plan(teacher=WRITER, budget=roomy(file_mb=5.0))


def test_a_model_that_is_too_slow_gets_a_student_and_keeps_its_vocabulary():
    slow = plan(budget=roomy(latency_ms=30.0))
    assert step(slow, Distill) and not step(slow, CutVocabulary)


def test_explain_shows_each_means_and_what_undoes_it():
    def flags(**recipe):
        asked = Recipe.read({"model": "m", "data": "d"} | recipe, "recipe")
        return {row.flags: row for row in alternatives(make_plan(PI, asked, MINILM), PI, asked)}

    free = flags(budget=roomy(file_mb=24.0))
    assert {"--embedding-bits 4", "--vocabulary data", "--codec deflate"} <= set(free)
    narrow = flags(budget=roomy(**NO_ROOM_TO_DECODE))
    assert "needs 22.9" in next(row.verdict for flags, row in narrow.items() if flags.startswith("--embedding-bits 8"))
    cut = flags(budget=roomy(file_mb=7.0))
    assert "MB of files" in next(row.verdict for flags, row in cut.items() if flags.startswith("--vocabulary all"))


def test_a_refusal_says_by_what_means_the_nearest_plan_is_as_small_as_that():
    with pytest.raises(EdgepackError, match=r"the nearest one \(6x384 in int8 with embeddings in 4 bits\) is predicted to need 17\.\d+ MB"):
        plan(data=None, budget=roomy(file_mb=10.0, load_ms=450.0))


def test_only_a_wider_precision_is_named_as_the_one_that_would_need_more():
    choice = Choice(**WHOLE | {"precision": "fp16"})
    narrow, wide = (
        choice.model_copy(update={"precision": name, "broken": (BrokenBudget(name="file_mb", limit=1.0, predicted=mb),)})
        for name, mb in (("int8", 2.0), ("fp32", 9.0))
    )
    assert wider_need(choice, [narrow]) is None
    assert wider_need(choice, [wide, narrow]) == "fp32 would need 9 MB of files (budget 1)."
