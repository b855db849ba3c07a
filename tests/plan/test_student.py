"""A size means a student: within the size, sensible in shape, and as much of its teacher as the latency budget allows."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import GEMMA, MINILM

from edgepack.core.errors import EdgepackError
from edgepack.plan.cost_model import predict
from edgepack.plan.profile import Budget, load_profile
from edgepack.plan.shape import LayerShape
from edgepack.plan.student import candidate_students, choose_student, likeness, shrink, student_layers
from edgepack.plan.student_size import parse_student

PI = load_profile("raspberry-pi")


def choose(text, teacher=MINILM, full=MINILM, **limits):
    return choose_student(teacher, full, parse_student(text), PI, "onnxruntime", "int8", 128, Budget(**limits))


@pytest.mark.parametrize(
    ("text", "name"), [("same", "6x384"), ("3x384", "3x384"), ("2x256", "2x256"), ("17M", "6x320"), ("22.7M", "6x384"), ("100%", "6x384")]
)
def test_a_size_means_a_shape(text, name):
    assert choose(text).name() == name


@pytest.mark.parametrize(("text", "name"), [("9x640", "9x640"), ("15x640", "15x640"), ("9x512", "9x512"), ("90%", "13x640")])
def test_a_student_may_have_its_teachers_width_where_heads_do_not_divide_that(text, name):
    assert choose(text, GEMMA, GEMMA).name() == name


def test_widths_that_a_student_can_have_are_named_with_its_teachers():
    with pytest.raises(EdgepackError) as error:
        choose("9x600", GEMMA, GEMMA)
    assert error.value.fix == "choose one of 256, 512, 640"
    assert {shape.hidden for shape in candidate_students(GEMMA)} == {256, 512, 640}


def test_depth_counts_more_than_as_much_width_where_layers_are_fitted():
    """ALBERT's layers share their weights: a narrower one learns anew how its dimensions belong together."""
    narrow, shallow = shrink(MINILM, 5, 256), shrink(MINILM, 2, 384)
    assert likeness(narrow, MINILM) > 1.5 * likeness(shallow, MINILM)
    albert = MINILM.model_copy(update={"model_type": "albert"})
    assert likeness(shrink(albert, 6, 256), albert) < 0.6


def test_pruned_heads_count_towards_the_size():
    pruned = MINILM.resized((LayerShape(heads=9, ffn=1536),) * 6, 384)
    student = choose("17M", pruned)
    assert (student.name(), student.layers[0].heads) == ("6x320", 8)
    assert round(student.params / 1e6) == 17


@given(st.integers(6, 22))
def test_a_student_rounds_to_its_size_and_is_the_likest_that_does(millions):
    try:
        student = choose(f"{millions}M")
    except EdgepackError as error:
        assert "the nearest are" in error.fix
        return
    assert millions * 0.95 <= student.params / 1e6 <= millions + 0.5
    rivals = [s for s in candidate_students(MINILM) if millions * 0.95 <= s.params / 1e6 <= millions + 0.5]
    assert likeness(student, MINILM) == max(likeness(rival, MINILM) for rival in rivals)


def latency_ms(shape):
    return predict(shape, "int8", PI, "onnxruntime", 128).latency_ms


def test_spare_latency_is_spent_on_depth_and_a_tight_budget_is_kept():
    deep = choose("50%", latency_ms=50.0)
    assert len(deep.layers) >= 4 and latency_ms(deep) <= 50
    tight = choose("50%", latency_ms=latency_ms(deep) - 1)
    assert latency_ms(tight) < latency_ms(deep) and likeness(tight, MINILM) < likeness(deep, MINILM)
    impossible = choose("50%", latency_ms=0.1)
    assert likeness(impossible, MINILM) / latency_ms(impossible) >= likeness(tight, MINILM) / latency_ms(tight)


def test_latency_is_not_bought_with_most_of_what_the_size_can_keep():
    deep = MINILM.resized(MINILM.layers * 2, MINILM.hidden).model_copy(update={"vocab": 18_500})
    student = choose_student(deep, deep, parse_student("50%"), PI, "onnxruntime", "int8", 128, Budget(latency_ms=57.0))
    shallow = shrink(deep, 4, 384)
    assert latency_ms(shallow) < 57.0 < latency_ms(student) and likeness(student, deep) > 2 * likeness(shallow, deep)


@pytest.mark.parametrize("percent", [25, 40, 50, 75])
def test_a_share_of_its_teacher_is_never_exceeded(percent):
    student = choose(f"{percent}%")
    assert 0.88 * percent <= 100 * student.params / MINILM.params <= percent


@given(st.integers(1, 24), st.integers(1, 24))
def test_a_students_layers_are_spread_over_its_teachers(count, teacher_layers):
    count = min(count, teacher_layers)
    picked = student_layers(count, teacher_layers)
    assert picked == sorted(set(picked)) and len(picked) == count
    assert picked[0] == 0 and picked[-1] < teacher_layers
    gaps = [b - a for a, b in itertools.pairwise(picked)]
    assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(("text", "hidden"), [("10%", 64), ("15%", 96), ("24%", 128)])
def test_a_share_that_no_wide_shape_reaches_is_met_from_below_by_a_narrower_one(text, hidden):
    student = choose(text)
    assert student.hidden == hidden
    assert 0.75 * float(text[:-1]) <= 100 * student.params / MINILM.params <= float(text[:-1])


def test_a_share_is_of_the_model_as_it_came_whatever_was_cut_of_its_vocabulary():
    cut = MINILM.model_copy(update={"vocab": 8000})
    wide, narrow = choose("25%", cut), choose("25%")
    assert wide.hidden > narrow.hidden and 0.2 <= wide.params / MINILM.params <= 0.25
    assert choose("70%", cut) == cut  # the cut alone is enough


def test_a_size_in_parameters_counts_the_tokens_that_a_cut_leaves():
    cut = MINILM.model_copy(update={"vocab": 14_217})
    assert choose("16M", cut) == cut and round(cut.params / 1e6) == 16  # the cut alone is enough
    assert round(choose("13M", cut).params / 1e6) == 13 and choose("13M", cut).hidden > choose("13M").hidden
    heads = MINILM.resized((LayerShape(heads=9, ffn=1536),) * 6, 384)
    with pytest.raises(EdgepackError) as error:
        choose("17M", heads.model_copy(update={"vocab": 14_217}), latency_ms=50.0)
    assert "larger than what the cut vocabulary leaves of its teacher (15.6M)" in error.value.problem and "14,217" in error.value.problem
    shape = choose("17M", heads, latency_ms=50.0)
    assert f"--student {shape.name()}, the shape that has 17M with every token" in error.value.fix
    assert choose(shape.name(), heads.model_copy(update={"vocab": 14_217}), latency_ms=50.0).name() == shape.name() == "4x352"


@pytest.mark.parametrize(
    ("text", "says", "fix"),
    [
        ("30M", "larger than its teacher (22.7M)", "choose a smaller one"),
        ("8x384", "larger than its teacher (6x384)", "1 to 6 layers"),
        ("3x512", "larger than its teacher", "up to 384"),
        ("3x100", "not a multiple of the head size 32", "96, 128"),
        ("0x384", "has no layer", "1 to 6"),
        ("2M", "no student of 2M has a sensible shape", "the nearest are 2x128"),
        ("7%", "no student of 7% has a sensible shape", "the nearest are 2x64"),
    ],
)
def test_an_impossible_student_is_refused_with_what_is_possible(text, says, fix):
    with pytest.raises(EdgepackError) as error:
        choose(text)
    assert says in error.value.problem
    assert fix in error.value.fix
