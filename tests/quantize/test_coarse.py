"""Coarse grids: fewer bits at the same error than rounding to the nearest, by one price for all matrices."""

import numpy as np
import pytest

from edgepack.core.errors import EdgepackError
from edgepack.quantize.coarse import bits_by_value, counts_of, entropy_bits, inverse_of, round_coarse, step_of
from edgepack.quantize.coarse_search import at_mean_bits, price_of
from edgepack.quantize.coarse_weights import Known, Matrix, RowWeights, beside_own_outputs, by_rows, learned

ROWS, INPUTS = 96, 160


@pytest.fixture(scope="module")
def layer():
    """A matrix, and inputs of which some move together, as activations do."""
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(2000, 24)) @ draw.normal(size=(24, INPUTS)) + 0.3 * draw.normal(size=(2000, INPUTS))
    return draw.normal(size=(ROWS, INPUTS)).astype(np.float32), (inputs.T @ inputs / len(inputs)).astype(np.float32)


def output_error(coarse, matrix, moments):
    error = coarse.values * coarse.steps[:, None] - matrix
    return float(np.einsum("ij,jk,ik->", error, moments, error))


def test_entropy_is_that_of_the_counts():
    values = np.array([[0, 0, 0, 0, 1, 1, -1, -128]], np.int8)
    assert counts_of(values)[[0, 127, 128, 129]].tolist() == [1, 1, 4, 2]
    assert entropy_bits(counts_of(values)) == pytest.approx(8 * 1.75)
    bits = bits_by_value(counts_of(values))
    assert bits[128] < bits[129] < bits[127] < bits[50] < 12


def test_rounding_by_price_and_inputs_beats_the_nearest_at_the_same_bits(layer):
    matrix, moments = layer
    inverse = inverse_of(moments)
    nearest = round_coarse(matrix, np.full(ROWS, 0.5, np.float32), 0.0, 127)
    step = 0.5
    priced = round_coarse(matrix, np.full(ROWS, step, np.float32), price_of(step) * inverse.importance, 127, inverse)
    assert priced.bits <= nearest.bits
    assert output_error(priced, matrix, moments) < 0.7 * output_error(nearest, matrix, moments)


def test_no_integer_is_larger_than_allowed_whatever_the_step():
    matrix = np.array([[1e3, -1e3, 1e-3], [0.0, 0.0, 0.0]], np.float32)
    for largest in (63, 127):
        coarse = round_coarse(matrix, np.full(2, 1e-6, np.float32), 0.0, largest)
        assert np.abs(coarse.values).max() == largest and not coarse.values[1].any()
        assert np.isfinite(coarse.steps).all() and abs(coarse.values[0, 0] * coarse.steps[0] - 1e3) < 20


def test_one_price_gives_the_mean_that_was_asked_for_and_more_bits_where_errors_weigh_more(layer):
    matrix, moments = layer
    matrices = [
        Matrix("heavy", matrix, "x", "heavy"),
        Matrix("light", matrix[::-1].copy(), "x", "light"),
        Matrix("table", matrix, None, "table"),
    ]
    heavy = {"heavy": 100.0, "light": 1.0, "table": 30.0}

    def error_of(rounded):
        ((name, values),) = rounded.items()
        exact = next(each.values for each in matrices if each.name == name)
        return heavy[name] * float(np.square(values - exact).mean())

    known = learned(matrices, {"x": moments}, error_of)
    assert known.weights["heavy"] / known.weights["light"] == pytest.approx(100, rel=0.2)
    for bits in (2.5, 4.0):
        rounded = at_mean_bits(matrices, known, bits, 127)
        assert sum(each.bits for each in rounded.values()) / (3 * matrix.size) == pytest.approx(bits, abs=0.02)
        assert rounded["heavy"].bits > rounded["light"].bits + matrix.size  # a bit a weight at least
        assert all(np.ptp(each.steps) == 0 for each in rounded.values())


def test_without_texts_each_matrix_has_the_same_step_beside_its_deviation(layer):
    matrix, _ = layer
    matrices = [Matrix("small", matrix * 0.01, None, "a"), Matrix("large", matrix * 10, None, "b")]
    small, large = at_mean_bits(matrices, Known({}, {}), 3.0, 127).values()
    assert large.steps[0] / small.steps[0] == pytest.approx(1000, rel=1e-3)


def test_beside_their_own_outputs_products_lose_equal_shares(layer):
    matrix, moments = layer
    matrices = [Matrix("a", matrix, "x", "a"), Matrix("b", matrix * 7, "x", "b")]
    rounded = at_mean_bits(matrices, beside_own_outputs(matrices, {"x": moments}), 3.0, 127)
    assert rounded["b"].steps[0] / rounded["a"].steps[0] == pytest.approx(7, rel=1e-3)


def test_rows_that_weigh_more_have_finer_steps_whatever_matrix_holds_them(layer):
    matrix, moments = layer
    rows = RowWeights()
    rows.put(matrix[:32], 16.0)
    rows.put(matrix[32:], 1.0)
    stacked = Matrix("stacked", np.concatenate([matrix[40:60], matrix[:20]]), "x", "x")
    matrices = [stacked, Matrix("table", matrix[20:50].copy(), None, "table")]
    known = by_rows(matrices, {"x": moments}, rows)
    rounded = at_mean_bits(matrices, known, 3.0, 127)
    light, heavy = np.split(rounded["stacked"].steps, 2)
    assert np.ptp(light) == np.ptp(heavy) == 0 and light[0] / heavy[0] == pytest.approx(4, rel=1e-3)
    steps = rounded["table"].steps  # each of its errors costs by itself
    assert steps[29] / steps[0] == pytest.approx(4, rel=1e-3)
    assert heavy[0] / steps[0] == pytest.approx(known.inverses["x"].importance ** -0.5, rel=1e-3)
    assert len(np.unique(steps)) == 2
    assert by_rows([Matrix("other", matrix + 1, "x", "x")], {"x": moments}, rows) is None


def test_bits_beyond_what_the_integers_hold_are_refused_with_what_is_near(layer):
    matrix, _ = layer
    with pytest.raises(EdgepackError, match=r"--bits 7\.4: no grid of this model comes to it; the nearest one has") as error:
        at_mean_bits([Matrix("a", matrix, None, "a")], Known({}, {}), 7.4, 31)
    assert "--bits" in error.value.fix


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_bits_below_the_coarsest_grid_are_refused_with_bits_that_it_comes_to(layer, share):
    matrix = np.where(np.arange(INPUTS) < share * INPUTS, 3 * layer[0], layer[0])
    with pytest.raises(EdgepackError, match=r"--bits 0\.3: no grid") as error:
        at_mean_bits([Matrix("a", matrix, None, "a")], Known({}, {}), 0.3, 127)
    named = float(error.value.fix.removeprefix("use --bits "))
    assert at_mean_bits([Matrix("a", matrix, None, "a")], Known({}, {}), named, 127)["a"].bits / matrix.size == pytest.approx(
        named, abs=0.02
    )


def test_the_step_is_where_a_finer_one_costs_what_it_saves():
    assert step_of(price_of(0.3), 1.0) == pytest.approx(0.3)
    assert step_of(1.0, 4.0) == pytest.approx(step_of(1.0, 1.0) / 2)
