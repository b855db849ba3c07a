"""Metrics, intervals and calibration against values worked out by hand, and against what must hold for any outputs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.model.quality import flip_share, judge_outputs
from edgepack.tasks import task_named
from edgepack.tasks.common.calibration import adaptive_calibration_error, calibrate, expected_calibration_error
from edgepack.tasks.common.metrics import spearman
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.scores import Score
from edgepack.tasks.common.task import Features
from edgepack.tasks.feature_extraction import VectorAnswers
from edgepack.tasks.text_classification import LabelAnswers
from edgepack.tasks.token_classification import TagAnswers

TAGS = {"O": 0, "B-PER": 1, "I-PER": 2, "B-LOC": 3, "I-LOC": 4}
CLASSES, NLI = task_named("text-classification"), ("entailment", "neutral", "contradiction")
SEEDS = st.integers(0, 2**32 - 1)


def log(probabilities):
    return np.log(np.array(probabilities))


def classify(probabilities, labels, teacher=None, groups=None):
    """Quality of one row a probability vector; classes are named by their number."""
    rows = [Row("", text="x", label=str(label), group=group) for label, group in zip(labels, groups or [None] * len(labels), strict=True)]
    features = [Features([1], [0], index) for index in range(len(rows))]
    ids = {str(index): index for index in range(len(probabilities[0]))}
    theirs = None if teacher is None else list(log(teacher))
    return judge_outputs(task_named("text-classification"), list(log(probabilities)), features, rows, ids, theirs)


def tag(decided, expected, groups=None):
    """Quality of one-token words that are given these tags, sentence by sentence."""
    outputs = [np.eye(len(TAGS))[[TAGS[name] for name in names]] * 9.0 for names in decided]
    rows = [
        Row("", words=("w",) * len(names), tags=tuple(names), group=group)
        for names, group in zip(expected, groups or [None] * len(expected), strict=True)
    ]
    features = [Features([1] * len(n), [0] * len(n), i, words=tuple(range(len(n)))) for i, n in enumerate(expected)]
    return judge_outputs(task_named("token-classification"), outputs, features, rows, TAGS, outputs)


def test_accuracy_and_macro_f1_by_hand():
    """Decided 0 0 1 1 2 for 0 0 0 1 1: F1 is 4/5 for class 0, 1/2 for class 1, and 0 for class 2, which no row has."""
    sure = np.full((3, 3), 0.05) + np.eye(3) * 0.85
    quality = classify(sure[[0, 0, 1, 1, 2]], [0, 0, 0, 1, 1])
    assert (quality.score.metric, quality.score.value) == ("accuracy", 0.6)
    assert (quality.second.metric, quality.second.value) == ("macro_f1", pytest.approx((0.8 + 0.5 + 0) / 3, abs=1e-6))
    assert [(group.name, group.value, group.rows) for group in quality.groups] == [("1", 0.5, 2), ("0", 0.8, 3)]


def test_span_f1_word_accuracy_and_the_worst_type_by_hand():
    """PER: one of two found and one wrong. LOC: one of one. 5 of 7 words are right."""
    decided = [["B-PER", "I-PER", "O"], ["B-LOC", "O", "O", "B-PER"]]
    expected = [["B-PER", "I-PER", "O"], ["B-LOC", "O", "B-PER", "O"]]
    quality = tag(decided, expected)
    assert (quality.score.metric, quality.score.value) == ("span_f1", pytest.approx(2 * 2 / (3 + 3), abs=1e-6))
    assert (quality.second.metric, quality.second.value) == ("word_accuracy", pytest.approx(5 / 7, abs=1e-6))
    assert [(group.kind, group.name, group.value, group.rows) for group in quality.groups] == [
        ("entity type", "PER", 0.5, 2),
        ("entity type", "LOC", 1.0, 1),
    ]
    assert (quality.calibration.unit, quality.calibration.rows) == ("words", 7)


def test_words_that_were_cut_off_are_wrong_and_have_no_confidence():
    outputs = [np.eye(len(TAGS))[[1]] * 9.0]
    rows = [Row("", words=("a", "b"), tags=("B-PER", "O"))]
    quality = judge_outputs(task_named("token-classification"), outputs, [Features([1], [0], 0, words=(0,))], rows, TAGS, outputs)
    assert quality.second.value == 0.5 and quality.calibration.rows == 1


@pytest.mark.parametrize(
    ("answer", "given", "f1", "exact"),
    [
        ("the quick", ["Quick"], 1.0, 1.0),  # articles, case and punctuation do not count
        ("quick brown", ["brown fox"], 0.5, 0.0),
        ("quick brown", ["dog", "Quick Brown!"], 1.0, 1.0),  # the best of several
        ("quick", [], 0.0, 0.0),  # nothing was asked for
    ],
)
def test_answers_by_hand(answer, given, f1, exact):
    context = "the quick brown fox"
    words = [(0, 3), (4, 9), (10, 15), (16, 19)]
    logits = np.zeros((4, 2))
    start = context.index(answer)
    logits[[a for a, _ in words].index(start), 0] = logits[[b for _, b in words].index(start + len(answer)), 1] = 9
    rows = [Row("", text="q", context=context, answers=tuple((text, 0) for text in given))]
    quality = judge_outputs(
        task_named("question-answering"), [logits], [Features([1] * 4, [0] * 4, 0, offsets=tuple(words))], rows, {}, [logits]
    )
    assert (quality.score.value, quality.second.metric, quality.second.value) == (f1, "exact_match", exact)
    assert quality.calibration is None and quality.groups == ()


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 1000], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 1 - 6 * 4 / (5 * 24)),
        ([1, 2, 2, 3], [1, 2, 3, 4], 4.5 / np.sqrt(4.5 * 5)),  # ranks 1, 2.5, 2.5, 4
    ],
)
def test_spearman_by_hand(x, y, expected):
    assert spearman(np.array(x, float), np.array(y, float))(np.ones((1, len(x))))[0] == pytest.approx(expected)


@settings(max_examples=50)
@given(SEEDS)
def test_spearman_of_a_resample_is_that_of_its_rows_drawn_and_sorted(seed):
    random = np.random.default_rng(seed)
    x, y = random.integers(0, 5, 12).astype(float), random.normal(size=12)
    draw = random.integers(0, 12, 12)
    weights = np.bincount(draw, minlength=12)[None].astype(float)
    ranks = [np.array([np.sum(v < each) + (np.sum(v == each) + 1) / 2 for each in v]) for v in (x[draw], y[draw])]
    if min(side.std() for side in ranks) > 0:
        assert spearman(x, y)(weights)[0] == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_embeddings_are_compared_with_the_teachers_and_with_the_datas_own_scores():
    random = np.random.default_rng(0)
    outputs = list(random.normal(size=(40, 8)))
    features = [Features([1], [0], index // 2) for index in range(40)]
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(outputs[::2], outputs[1::2], strict=True)]
    rows = [Row("", text="a", text_pair="b", gold=float(np.exp(cosine))) for cosine in cosines]
    quality = judge_outputs(task_named("feature-extraction"), outputs, features, rows, {}, [2 * vector for vector in outputs])
    assert (quality.score.metric, quality.score.value, quality.score.rows) == ("spearman", 1.0, 20)
    assert (quality.second.metric, quality.second.value) == ("cosine_to_teacher", 1.0)
    by_dot = task_named("feature-extraction").restored(task_named("feature-extraction"), VectorAnswers(similarity="dot"))
    dots = [Row("", text="a", text_pair="b", gold=float(a @ b)) for a, b in zip(outputs[::2], outputs[1::2], strict=True)]
    assert judge_outputs(by_dot, outputs, features, dots, {}, None).score.value == 1.0
    assert judge_outputs(task_named("feature-extraction"), outputs, features, dots, {}, None).score.value < 1.0
    singles = [Row("", text="a")] * 40
    alone = [Features([1], [0], index) for index in range(40)]
    noisy = [vector + random.normal(size=8) * 0.3 for vector in outputs]
    quality = judge_outputs(task_named("feature-extraction"), noisy, alone, singles, {}, outputs)
    assert quality.second.metric == "spearman_to_teacher" and 0.7 < quality.second.low < quality.second.value < 1
    assert quality.calibration is None and quality.flip_share is None
    without_teacher = judge_outputs(task_named("feature-extraction"), noisy, alone, singles, {}, None)
    assert without_teacher.score is None and without_teacher.second is None


def test_embeddings_of_another_width_are_judged_by_which_texts_they_find_alike():
    task, draw = task_named("feature-extraction"), np.random.default_rng(0)
    teacher = draw.normal(size=(60, 8)).astype(np.float32)
    features = [Features([1], [0], index) for index in range(60)]
    rows = [Row("", text="a")] * 60
    narrower = list(teacher @ np.linalg.qr(draw.normal(size=(8, 6)))[0].astype(np.float32))
    quality = judge_outputs(task, narrower, features, rows, {}, list(teacher))
    assert quality.score.metric == "spearman_to_teacher" and 0.5 < quality.score.value < 1
    assert quality.second is None


def test_no_metric_of_a_task_is_dropped():
    task = task_named("text-classification")
    both = task.metrics

    def three(answers):
        return (*both(answers), replace(both(answers)[0], name="a_third"))

    features = [Features([1], [0], index) for index in range(8)]
    rows = [Row("", text="a", label=str(index % 2)) for index in range(8)]
    outputs = list(np.eye(2)[[0, 1, 1, 1, 0, 0, 0, 1]])
    quality = judge_outputs(replace(task, metrics=three), outputs, features, rows, {"0": 0, "1": 1}, None)
    assert quality.second.metric == "macro_f1"
    assert [(score.metric, score.value) for score in quality.further] == [("a_third", quality.score.value)]


def test_texts_of_a_pair_are_embedded_apart(teacher_folder):
    from transformers import AutoTokenizer

    rows = [Row("", text="turn on the light", text_pair="call mum"), Row("", text="play music")]
    features = task_named("feature-extraction").encode(AutoTokenizer.from_pretrained(teacher_folder), rows, 96)
    assert [item.row for item in features] == [0, 0, 1]
    assert all(set(item.type_ids) == {0} for item in features)


def test_the_true_tokens_likelihood_is_what_running_text_can_tell():
    outputs = [np.array([[np.log(2), 5], [np.log(4), 6]])]
    quality = judge_outputs(task_named("text-generation"), outputs, [], [Row("", text="x", group="en")], {}, outputs)
    assert quality.score.value == pytest.approx(np.sqrt(8), abs=1e-6) and quality.second is None and quality.groups == ()
    assert quality.calibration.true_class == pytest.approx(3 / 8) and quality.calibration.rows == 2
    assert quality.calibration.ece is None and quality.calibration.by_teacher is None


def test_calibration_errors_by_hand():
    """Two rows at 0.95, one right; two at 0.62, both right: gaps 0.45 and 0.38, each with half of the rows."""
    assert expected_calibration_error(np.array([0.95, 0.95, 0.62, 0.62]), np.array([1, 0, 1, 1])) == pytest.approx(0.415)
    # fewer rows than bins: each row is its own bin, and its gap is that of one probability from 0 or 1
    assert adaptive_calibration_error(np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 0])) == pytest.approx((0.2 + 0.6) / 2)
    many = np.tile([[0.7, 0.3]], (30, 1))  # bins of two rows, one of class 0 and one of class 1 in each
    assert adaptive_calibration_error(many, np.arange(30) % 2) == pytest.approx(0.2)


def test_confidence_in_the_true_class_by_the_teachers_confidence_by_hand():
    teacher = [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]]
    student = [[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1]]
    result = calibrate(log(student), np.array([0, 1, 1, 1]), log(teacher))
    assert result.true_class == pytest.approx((0.7 + 0.4 + 0.8 + 0.1) / 4)
    assert [(b.teacher, b.true_class, b.accuracy, b.flip_share, b.rows) for b in result.by_teacher] == [
        (0.6, 0.4, 0.0, 1.0, 1), (0.7, 0.8, 1.0, 0.0, 1), (0.8, 0.1, 0.0, 0.0, 1), (0.9, 0.7, 1.0, 0.0, 1),
    ]  # fmt: skip
    by_hand = np.mean([sum(t * np.log(t / o) for t, o in zip(*pair, strict=True)) for pair in zip(teacher, student, strict=True)])
    assert result.teacher_kl == pytest.approx(by_hand, abs=1e-6)
    alone = calibrate(log(student), np.array([0, 1, 1, 1]), None)
    assert alone.by_teacher is None and alone.teacher_kl is None and alone.ece == result.ece


@settings(max_examples=50)
@given(SEEDS, st.integers(1, 200), st.integers(2, 12))
def test_calibration_stays_in_its_bounds_and_does_not_see_the_order_of_rows(seed, count, classes):
    random = np.random.default_rng(seed)
    student, teacher = (np.log(random.dirichlet(np.full(classes, 0.5), count) + 1e-12) for _ in range(2))
    expected = random.integers(0, classes, count)
    result = calibrate(student, expected, teacher)
    assert 0 <= result.ece <= 1 and 0 <= result.ace <= 1 and 0 <= result.true_class <= 1 and result.teacher_kl >= -1e-6
    for bins in (result.reliability, result.by_teacher):
        assert sum(each.rows for each in bins) == count
    assert len(result.by_teacher) == min(10, count) and max(b.rows for b in result.by_teacher) - min(b.rows for b in result.by_teacher) <= 1
    order = random.permutation(count)
    shuffled = calibrate(student[order], expected[order], teacher[order])
    for key in ("ece", "ace", "true_class", "teacher_kl"):
        assert getattr(shuffled, key) == pytest.approx(getattr(result, key), abs=2e-6)


def test_a_model_that_means_its_confidence_has_a_small_error_and_a_boaster_a_large_one():
    random = np.random.default_rng(0)
    honest = random.dirichlet([1, 1, 1], 20_000)
    expected = (honest.cumsum(axis=1) < random.random((20_000, 1))).sum(axis=1)
    boasting = honest**4 / (honest**4).sum(axis=1, keepdims=True)
    assert (result := calibrate(np.log(honest), expected, None)).ece < 0.01 and result.ace < 0.015
    assert (worse := calibrate(np.log(boasting), expected, None)).ece > 0.15 and worse.ace > 0.1


def test_outputs_that_are_no_numbers_have_no_calibration():
    assert calibrate(np.full((3, 2), np.nan), np.array([0, 1, 0]), None) is None


def test_languages_come_before_classes_and_the_worst_first():
    sure = np.full((2, 2), 0.1) + np.eye(2) * 0.8
    quality = classify(sure[[0, 1, 0, 1]], [0, 1, 0, 0], groups=["swa", "swa", "hau", "hau"])
    assert [(g.kind, g.name, g.metric, g.value, g.rows) for g in quality.groups] == [
        ("group", "hau", "accuracy", 0.5, 2),
        ("group", "swa", "accuracy", 1.0, 2),
    ]
    quality = tag([["B-PER"], ["O"]], [["B-PER"], ["B-LOC"]], groups=["swa", "hau"])
    assert [(g.name, g.metric, g.value) for g in quality.groups] == [("hau", "span_f1", 0.0), ("swa", "span_f1", 1.0)]


def test_flips_are_counted_by_row_or_by_word():
    assert flip_share([0, 1, 2], [0, 1, 1]) == pytest.approx(1 / 3)
    assert flip_share([(0, 1), (2,)], [(0, 0), (2,)]) == pytest.approx(1 / 3)
    assert flip_share([None], [None]) is None
    assert flip_share([(), ()], [(), ()]) is None


def test_a_block_of_a_single_token_has_no_next_token_to_judge():
    """Of a tokenizer without a token that opens a text."""
    task = task_named("text-generation")
    reduced = task.reduced([7], torch.randn(1, 20))
    assert reduced.shape == (0, 2)
    alone, rows = [Features([7], [0], 0)], [Row("", text="a")]
    quality = judge_outputs(task, [reduced], alone, rows, {}, [reduced])
    assert quality.score is None and quality.flip_share is None and quality.calibration is None


@pytest.mark.parametrize(
    ("task", "shipped"),
    [
        (CLASSES, "LABEL_1"),  # nobody has stated the model's names
        (CLASSES.restored(CLASSES, None, NLI), "neutral"),
        (CLASSES.restored(CLASSES, LabelAnswers(function="softmax", multi_label=False), NLI), "neutral"),
    ],
)
def test_a_decision_for_a_label_that_the_data_lacks_has_the_models_name(task, shipped):
    rows = [Row("", text="x", label="entailment"), Row("", text="y", label="contradiction")]
    features = [Features([1], [0], index) for index in range(2)]
    sure = np.eye(3) * 9.0
    ours, theirs = list(sure[[0, 1]]), list(sure[[0, 2]])
    quality = judge_outputs(task, ours, features, rows, {"entailment": 0, "contradiction": 2}, theirs)
    assert [(flip.truth, flip.shipped) for flip in quality.flips] == [("contradiction", shipped)]
    assert [(confusion.truth, confusion.decided) for confusion in quality.confusions] == [("contradiction", shipped)]


def test_tags_and_labels_that_the_data_lacks_are_decided_for_and_counted_as_wrong():
    tags = task_named("token-classification")
    stated = TagAnswers(strategy="simple", scheme="iob2", words="white-space", subword_prefix=True, unk_id=1, ignore=("O",))
    tags = tags.restored(tags, stated, tuple(TAGS))
    rows, features = [Row("", words=("w", "v"), tags=("B-PER", "O"))], [Features([1, 1], [0, 0], 0, words=(0, 1))]
    outputs = [np.eye(len(TAGS))[[1, 3]] * 9.0]  # B-LOC for O
    quality = judge_outputs(tags, outputs, features, rows, {"O": 0, "B-PER": 1}, outputs)
    assert (quality.score.value, quality.second.value) == (pytest.approx(2 / 3, abs=1e-6), 0.5)
    several = CLASSES.restored(CLASSES, LabelAnswers(function="sigmoid", multi_label=True, thresholds=(0.5,) * 3), NLI)
    outputs = [np.array([9.0, 9.0, -9.0])]
    quality = judge_outputs(
        several, outputs, [Features([1], [0], 0)], [Row("", text="x", labels=("entailment",))], {"entailment": 0}, outputs
    )
    assert quality.score.value == pytest.approx(2 / 3, abs=1e-6)


def test_an_interval_is_about_that_of_the_binomial():
    random = np.random.default_rng(1)
    sure = np.full((2, 2), 0.1) + np.eye(2) * 0.8
    expected = random.integers(0, 2, 1000)
    decided = np.where(random.random(1000) < 0.9, expected, 1 - expected)
    score = classify(sure[decided], expected, teacher=sure[expected]).score
    width = 2 * 1.96 * np.sqrt(score.value * (1 - score.value) / 1000)
    assert score.high - score.low == pytest.approx(width, rel=0.1) and score.low < score.value < score.high


def test_perplexity_drops_in_per_cent_and_others_in_points():
    def score(metric, value):
        return Score(metric=metric, value=value, low=value, high=value, rows=1)

    assert score("perplexity", 11.0).drop_from(score("perplexity", 10.0)) == pytest.approx(10)
    assert score("accuracy", 0.8).drop_from(score("accuracy", 0.9)) == pytest.approx(10)
