"""Traced functions are pickled and copied as Python's functions are."""

import concurrent.futures
import copy
import multiprocessing
import pickle
import re

import numpy as np
import pytest

import fastbp as fb
from tests.autodiff import pickled_functions as those

X, Y = np.linspace(-1.0, 1.0, 5), np.arange(5.0)


def again(value):
    return pickle.loads(pickle.dumps(value))


def numbers(function):
    """The value and gradient of a traced function of (x, y)."""
    value, gradient = function.value_and_gradient(X.astype(function.dtype), Y.astype(function.dtype))
    return np.concatenate([[value], *gradient])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_traced_function_is_pickled_by_its_name_with_its_precision(dtype):
    traced = fb.trace(those.plain, dtype=dtype)
    numbers(traced)  # its programs stay behind
    found = again(traced)
    assert found.function is those.plain
    assert found.dtype == dtype
    assert np.array_equal(numbers(found), numbers(traced))


def test_a_decorated_function_is_the_one_of_that_name():
    assert again(those.decorated) is those.decorated
    assert pickle.loads(pickle.dumps([those.decorated, fb.trace(those.plain)]))[0] is those.decorated


def test_a_name_that_has_become_another_function_is_said(monkeypatch):
    content = pickle.dumps(those.replaced)
    monkeypatch.setattr(those, "replaced", len)
    with pytest.raises(fb.ConfigError) as info:
        pickle.loads(content)
    assert str(info.value) == (
        "`tests.autodiff.pickled_functions.replaced` must be the traced function that was pickled,"
        " got `<built-in function len>`"
    )


@pytest.mark.parametrize("through", [again, copy.deepcopy])
def test_a_traced_method_goes_along_with_its_object(through):
    scaled = those.Scaled(3.0)
    expected = numbers(scaled.of)
    method = through(scaled.of)
    assert method.function.__self__ is not scaled
    assert np.array_equal(numbers(method), expected)
    one, of = through([scaled, scaled.of])
    assert one is not scaled
    one.factor = 6.0  # a method has its object's state at its first call
    assert np.array_equal(numbers(of), 2.0 * expected)
    assert np.array_equal(numbers(one.of), 2.0 * expected)


def test_a_lambda_is_refused_as_pickle_refuses_one():
    function = lambda x: x  # noqa: E731
    with pytest.raises((AttributeError, pickle.PicklingError)) as plain:
        pickle.dumps(function)
    with pytest.raises((AttributeError, pickle.PicklingError)) as traced:
        pickle.dumps(fb.trace(function))
    assert str(traced.value).splitlines()[0] == str(plain.value)


@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy])
def test_a_traced_lambda_is_copied_and_traced_anew(through):
    factor = 2.0
    traced = fb.trace(lambda x, y: (x * y * factor).sum())
    first = numbers(traced)
    factor = 4.0
    assert np.array_equal(numbers(traced), first)  # what was captured is that of the first call
    assert np.array_equal(numbers(through(traced)), 2.0 * first)


def test_a_process_that_starts_anew_runs_them():
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        for traced in (those.decorated, fb.trace(those.plain), those.Scaled(3.0).of):
            assert np.array_equal(pool.submit(numbers, traced).result(timeout=100), numbers(traced))


def test_a_plan_says_that_it_is_not_pickled():
    plan = fb.mlp([2, 1]).plan("predict")
    for through in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="^" + re.escape(SENTENCE) + "$"):
            through(plan)


SENTENCE = "a plan cannot be pickled or copied, since it holds addresses in this process's memory"
