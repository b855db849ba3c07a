"""Weights in blocks: what is packed is what the runtime multiplies with, and searched scales and GPTQ err less than plain rounding."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgepack.quantize.blocks import Grid, find_scales, quantize_blocks, to_grid
from edgepack.quantize.gptq import quantize_by_moments

GRIDS = [Grid(bits, 32, asymmetric) for bits in (4, 8) for asymmetric in (False, True)]
RANDOM = np.random.default_rng(0)


def multiply(blocks, rows, inputs):
    """rows x matrix by the runtime's own op, with float activations."""
    grid = blocks.grid
    tensors = {"b": blocks.packed_values(), "scales": blocks.scales} | ({"zeros": blocks.packed_zeros()} if grid.asymmetric else {})
    attributes = {"K": inputs, "N": len(blocks.values), "bits": grid.bits, "block_size": grid.block}
    node = helper.make_node("MatMulNBits", ["x", *tensors], ["y"], domain="com.microsoft", **attributes)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph(
        [node], "g", values[:1], values[1:], [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": rows})[0]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("inputs", [32, 64, 172, 96])
def test_the_runtime_multiplies_with_what_was_packed(grid, inputs):
    """172 and 96 too: a last block that is not full, an odd number of blocks."""
    matrix = RANDOM.standard_normal((48, inputs)).astype(np.float32)
    blocks = quantize_blocks(matrix, grid)
    rows = RANDOM.standard_normal((5, inputs)).astype(np.float32)
    assert np.abs(multiply(blocks, rows, inputs) - rows @ blocks.matrix(inputs).T).max() < 1e-4
    assert np.abs(blocks.matrix(inputs) - matrix).max() < {4: 0.5, 8: 0.03}[grid.bits]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(GRIDS), st.floats(1e-6, 1e6))
def test_searched_scales_are_no_worse_than_the_largest_value(seed, grid, size):
    values = (np.random.default_rng(seed).standard_t(4, (3, 2, 32)) * size).astype(np.float32)
    scales, zeros = find_scales(values, grid)

    def error(scales, zeros):
        return ((values - (to_grid(values, grid, scales, zeros) - zeros[..., None]) * scales[..., None]) ** 2).sum(axis=-1)

    largest = np.take_along_axis(values, np.abs(values).argmax(axis=-1)[..., None], axis=-1)[..., 0]
    plain = error(largest / -grid.middle, np.full_like(zeros, grid.middle))
    assert (error(scales, zeros) <= plain * 1.001 + 1e-9 * size**2).all()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_zeros_and_equal_values_survive(grid):
    for value in (0.0, 3.5, -2.0):
        matrix = np.full((2, 64), value, np.float32)
        assert np.allclose(quantize_blocks(matrix, grid).matrix(64), matrix, atol=1e-5)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_scales_for_xnnpack_are_positive_and_what_the_file_and_the_kernel_hold(seed, size):
    grid = Grid(4, 32, bf16=True)
    values = (np.random.default_rng(seed).standard_t(4, (3, 2, 32)) * size).astype(np.float32)
    scales, zeros = find_scales(values, grid)
    assert (scales > 0).all() and (zeros == 8).all() and (scales.view(np.uint32) & 0xFFFF == 0).all()
    assert (scales.astype(np.float16).astype(np.float32) == scales).all()
    plain = np.abs(values).max(axis=-1) / 7
    errors = [((values - (to_grid(values, grid, each, zeros) - 8.0) * each[..., None]) ** 2).sum() for each in (scales, plain)]
    assert errors[0] <= errors[1]


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("inputs", [64, 172])
def test_gptq_errs_less_in_products_than_rounding_each_weight(asymmetric, inputs):
    grid = Grid(4, 32, asymmetric)
    matrix = RANDOM.standard_normal((40, inputs)).astype(np.float32)
    calibration, held_out = np.split(RANDOM.standard_normal((2000, 12)).astype(np.float32) @ RANDOM.standard_normal((12, inputs)), [1000])
    calibration, held_out = (part + 0.3 * RANDOM.standard_normal(part.shape) for part in (calibration, held_out))
    moments = (calibration.T @ calibration).astype(np.float32)
    errors = [
        np.square(held_out @ (blocks.matrix(inputs) - matrix).T).mean()
        for blocks in (quantize_by_moments(matrix, grid, moments), quantize_blocks(matrix, grid))
    ]
    assert errors[0] < 0.5 * errors[1]


def test_gptq_takes_inputs_that_are_never_seen():
    matrix = RANDOM.standard_normal((8, 64)).astype(np.float32)
    moments = np.zeros((64, 64), np.float32)
    moments[:32, :32] = np.eye(32)
    for given_moments in (moments, np.zeros_like(moments)):
        result = quantize_by_moments(matrix, Grid(4, 32), given_moments).matrix(64)
        assert np.isfinite(result).all() and np.abs(result - matrix).max() < 0.5
