"""Activations where they bend: relu at zero and NaN, tanh and sigmoid where they are flat."""

import numpy as np
import pytest

from tests.kernels import calls
from tests.kernels.harness import DTYPES, Machine

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
INF, NAN = np.inf, np.nan


def run(kernel, dtype, a, y=None):
    row = np.array([a], dtype)
    saved = None if y is None else np.array([y], dtype)
    return calls.elementwise(Machine(dtype), kernel, row, saved).read()[0]


@every_dtype
def test_relu_is_positive_zero_up_to_zero_and_lets_nan_travel(dtype):
    tiny = np.finfo(dtype).tiny
    y = run("relu_forward", dtype, [0.0, -0.0, -tiny, -INF, NAN, -NAN, tiny, INF, 1e4, -1e4])
    np.testing.assert_array_equal(y, np.array([0.0, 0.0, 0.0, 0.0, NAN, NAN, tiny, INF, 1e4, 0.0], dtype))
    assert not np.signbit(y[[0, 1, 2, 3, 9]]).any()


@every_dtype
def test_relu_pulls_back_where_its_output_is_above_zero(dtype):
    tiny = np.finfo(dtype).tiny
    dy = [3.0, 3.0, 3.0, NAN, NAN, INF, INF]
    y = [0.0, tiny, INF, 1.0, 0.0, 1.0, 0.0]
    np.testing.assert_array_equal(run("relu_vjp", dtype, dy, y), [0.0, 3.0, 3.0, NAN, 0.0, INF, 0.0])


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
@every_dtype
def test_a_saturated_output_pulls_back_nothing(name, dtype):
    low = {"tanh": -1.0, "sigmoid": 0.0}[name]
    y = run(f"{name}_forward", dtype, [1e4, -1e4, INF, -INF, NAN])
    np.testing.assert_array_equal(y, [1.0, low, 1.0, low, NAN])
    np.testing.assert_array_equal(run(f"{name}_vjp", dtype, [7.0] * 5, y), [0.0, 0.0, 0.0, 0.0, NAN])


@every_dtype
def test_the_slope_at_zero_is_the_steepest(dtype):
    np.testing.assert_array_equal(
        run("tanh_vjp", dtype, [8.0, -8.0], run("tanh_forward", dtype, [0.0, -0.0])), [8.0, -8.0]
    )
    np.testing.assert_array_equal(run("sigmoid_vjp", dtype, [8.0], run("sigmoid_forward", dtype, [0.0])), [2.0])
