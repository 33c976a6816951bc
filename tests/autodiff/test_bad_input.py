"""What cannot be traced or computed raises one sentence, before anything runs."""

import math
import operator

import numpy as np
import pytest

import fastbp as fb
from fastbp.autodiff.numpy_names import FUNCTIONS, UFUNCS, listed

BRANCH = (
    "a traced function is run once, so what it does may not depend on values\n"
    "hint: use `np.where(x > 0, a, b)` or `np.maximum(a, b)` instead of `if`"
)
NUMBERS = (
    "a traced function is run once, so what it does may not depend on values\n"
    "hint: use `np.sin(x)` instead of `math.sin(x)`, and `np.stack` instead of `out[0] = x`"
)
NO_ARRAY = (
    "a traced value must not be made into an array: NumPy's functions take it as it is\n"
    "hint: use `np.stack([a, b])` instead of `np.array([a, b])` or a list of traced values"
)
TRACED = "cannot be traced\nhint: docs/ops.md lists the functions that can"
NO_SIGN = "is not supported for traced values; supported are `+`, `-`, `*`, `/`, `**`, `@` and comparisons"


def assign(x):
    x[0] = 1.0
    return x


def fill(x):
    out = np.zeros(3)
    out[0] = x
    return out


def add_into(x):
    out = np.zeros(3)
    out += x
    return out


V, M = np.ones(3), np.ones((2, 3))
TRACING = [
    (lambda x: 1.0 if x > 0 else x, 1.0, fb.ConfigError, f"`bool` of a traced value is not known: {BRANCH}"),
    (lambda x: float(x), 1.0, fb.ConfigError, f"`float` of a traced value is not known: {NUMBERS}"),
    (lambda x: math.sin(x[0]), V, fb.ConfigError, f"`float` of a traced value is not known: {NUMBERS}"),
    (lambda x: int(x), 1.0, fb.ConfigError, f"`int` of a traced value is not known: {BRANCH}"),
    (lambda x: [1, 2][x], 1.0, fb.ConfigError, f"`int` of a traced value is not known: {BRANCH}"),
    (lambda x: complex(x), 1.0, fb.ConfigError, f"`complex` of a traced value is not known: {BRANCH}"),
    (fill, 1.0, fb.ConfigError, f"`float` of a traced value is not known: {NUMBERS}"),
    (lambda x: sum(v for v in x), 1.0, fb.ConfigError, "a traced number must not be iterated over"),
    (
        assign,
        V,
        fb.ConfigError,
        "a traced value must not be assigned to in place; use `np.where`, `np.stack` or `np.concatenate`",
    ),
    (add_into, V, fb.ConfigError, "`np.add` of a traced value must have no `out`"),
    (lambda x: np.array(x), V, fb.ConfigError, NO_ARRAY),
    (lambda x: np.array([x[0], x[1]]), V, fb.ConfigError, NO_ARRAY),
    (lambda x: np.sum([x[0], x[1]]), V, fb.ConfigError, NO_ARRAY),
    (np.arccosh, V, fb.ConfigError, f"`np.arccosh` {TRACED}"),
    (np.sort, V, fb.ConfigError, f"`np.sort` {TRACED}"),
    (np.linalg.det, M, fb.ConfigError, f"`np.linalg.det` {TRACED}"),
    (np.add.reduce, V, fb.ConfigError, f"`np.add.reduce` {TRACED}"),
    (lambda x: x % 2, V, fb.ConfigError, f"`%` {NO_SIGN}"),
    (lambda x: 2 // x, V, fb.ConfigError, f"`//` {NO_SIGN}"),
    (lambda x: ~x, V, fb.ConfigError, "`~` must be of comparisons such as `x > 0`, got another traced value"),
    (
        lambda x: (x > 0) & x,
        V,
        fb.ConfigError,
        "`&` must be of comparisons such as `x > 0`, got another traced value",
    ),
    (lambda x: np.sum(x, dtype=np.float32), V, fb.ConfigError, "`np.sum` of a traced value must have no `dtype`"),
    (lambda x: x.sum(dtype=float), V, fb.ConfigError, "`x.sum` of a traced value must have no `dtype`"),
    (lambda x: np.max(x, out=np.ones(3)), V, fb.ConfigError, "`np.max` of a traced value must have no `out`"),
    (
        lambda x: np.where(x > 0),
        V,
        fb.ConfigError,
        "`np.where` of a traced value must be given `condition`, `x`, `y`, got 1 values",
    ),
    (lambda x: x.reshape(3, order="F"), V, fb.ConfigError, "`x.reshape` of a traced value must have no `order`"),
    (lambda x: x.ravel("F"), V, fb.ConfigError, "`x.ravel` of a traced value must be given `a`, got 2 values"),
    (lambda x: round(x[0]), V, fb.ConfigError, f"`round` of a traced value is not known: {NUMBERS}"),
    (
        lambda x: x.trace(0, 1),
        M,
        fb.ConfigError,
        "`x.trace` of a traced value must be given `a`, got 3 values",
    ),
    (
        lambda x: np.transpose(x, (0, 0)),
        M,
        fb.ShapeError,
        "`axes` must be every axis of shape `(2, 3)` once, got `(0, 0)`",
    ),
    (
        lambda x: np.roll(x, 1.5),
        V,
        fb.ConfigError,
        "`np.roll` of a traced value takes traced values and numbers, got `Tracer`, `float`",
    ),
    (lambda x: x.sum(axis=(0, 0)), M, fb.ShapeError, "`axis` must have distinct axes, got `(0, 0)`"),
    (lambda x: x.sum(axis=(0, -2)), M, fb.ShapeError, "`axis` must have distinct axes, got `(0, -2)`"),
    (
        lambda x: np.squeeze(x, axis=0),
        M,
        fb.ShapeError,
        "`squeeze` must be of axes of length 1, got `0` of shape `(2, 3)`",
    ),
    (
        lambda x: np.linalg.norm(x, ord="nuc"),
        M,
        fb.ConfigError,
        "`ord` must be `None` or `fro` of a matrix, got `nuc`",
    ),
    (
        lambda x: x[np.array([True, False])],
        V,
        fb.ShapeError,
        "a mask must have the shape of the axes it indexes, `(3,)`, got `(2,)`",
    ),
    (lambda x: x[[0, 3]], V, fb.ShapeError, "an index must be within axis 0 of length 3, got `3`"),
    (
        lambda x: x[x > 5],
        V,
        fb.ConfigError,
        "an index of a traced value must be whole numbers, slices or constant lists, got `Tracer(greater, shape=(3,))`",
    ),
    (lambda x: x.argmax(), V, AttributeError, "a traced value has no attribute `argmax`"),
    (lambda x: len(x), 1.0, fb.ConfigError, "a traced number has no `len`"),
    (lambda x: x + np.ones(4), V, fb.ShapeError, "`add` must have inputs whose shapes fit, got `(3,)` and `(4,)`"),
    (lambda x: x @ np.ones(4), V, fb.ShapeError, "`matmul` must have shapes that fit, got `(3,)` and `(4,)`"),
    (lambda x: x @ np.ones((2, 3)), M, fb.ShapeError, "`matmul` must have shapes that fit, got `(2, 3)` and `(2, 3)`"),
    (
        lambda x: x @ 2.0,
        V,
        fb.ShapeError,
        "`matmul` must have vectors or matrices, got shapes `(3,)` and `()`",
    ),
    (
        lambda x: x.reshape(2, 2),
        V,
        fb.ShapeError,
        "`reshape` must keep the number of elements, got `(3,)` to `(2, 2)`",
    ),
    (
        lambda x: x.reshape(1, 1, 3),
        V,
        fb.ShapeError,
        "`reshape` must have at most two axes, got shape `(1, 1, 3)`",
    ),
    (
        lambda x: x + np.ones((2, 2, 3)),
        V,
        fb.ShapeError,
        "`constant` must have at most two axes, got shape `(2, 2, 3)`",
    ),
    (lambda x: x[:, None], M, fb.ShapeError, "`index` must have at most two axes, got shape `(2, 1, 3)`"),
    (lambda x: x[3], V, fb.ShapeError, "an index must be within axis 0 of length 3, got `3`"),
    (lambda x: x[0, 0], V, fb.ShapeError, "an index must be of at most 1 axes, got `(0, 0)`"),
    (
        lambda x: x[3:],
        V,
        fb.ShapeError,
        "an index must pick at least one element, got `slice(3, None, None)` of axis 0 of length 3",
    ),
    (
        lambda x: x[[0.5, 1]],
        V,
        fb.ConfigError,
        "an index list must hold whole numbers or booleans, got `[0.5, 1]`",
    ),
    (lambda x: x.sum(axis=2), M, fb.ShapeError, "`axis` must be one of shape `(2, 3)`, got `2`"),
    (
        lambda x: np.sum(x, axis="rows"),
        M,
        fb.ConfigError,
        "`axis` must be a whole number, a tuple of them or None, got `'rows'`",
    ),
    (
        lambda x: np.stack([x, x[:2]]),
        V,
        fb.ShapeError,
        "`stack` must have arrays of one shape, got `(3,)`, `(2,)`",
    ),
    (
        lambda x: np.concatenate([x, np.ones((2, 2))], axis=0),
        M,
        fb.ShapeError,
        "`concatenate` must have arrays that agree but for axis 0, got `(2, 3)`, `(2, 2)`",
    ),
    (
        lambda x: np.broadcast_to(x, (2, 4)),
        V,
        fb.ShapeError,
        "`broadcast_to` must have a shape that `(3,)` broadcasts to, got `(2, 4)`",
    ),
    (
        lambda x: x * "a",
        V,
        fb.ConfigError,
        "a constant in a traced function must be real numbers, got dtype `<U1`",
    ),
    (
        lambda x: None,
        V,
        fb.ConfigError,
        "a traced function must return numbers, arrays or a tuple of them, got a `NoneType`",
    ),
    (
        lambda x: (x, {"a": x}),
        V,
        fb.ConfigError,
        "a traced function must return numbers, arrays or a tuple of them, got a tuple with a `dict`",
    ),
]


@pytest.mark.parametrize(("function", "given", "kind", "message"), TRACING, ids=range(len(TRACING)))
def test_what_cannot_be_traced_raises_one_sentence(function, given, kind, message):
    with pytest.raises(kind) as info:
        fb.trace(function)(given)
    assert str(info.value) == message


def outside():
    kept = []
    fb.trace(lambda x: (kept.append(x), x)[1])(1.0)
    return fb.trace(lambda x: x + kept[0])(1.0)


F, G = fb.trace(lambda x, y: x * y), fb.trace(lambda x: x * 2.0)
BY_NAME = "values of a traced function must be given by position, got `y` by name"
CALLS = [
    (lambda: F(1.0), fb.ConfigError, "the traced function must be given `x`, `y`, got 1 arguments"),
    (lambda: fb.trace(np.sin)(1.0, 2.0), fb.ConfigError, "the traced function must be given 1 arguments, got 2"),
    (lambda: F("a", 1.0), fb.DataError, "`argument 0` must be real numbers, got dtype `<U1`"),
    (lambda: F(10**400, 1.0), fb.DataError, "`argument 0` must fit into `float64`"),
    (lambda: F(1.0, 1j), fb.DataError, "`argument 1` must be real numbers, got dtype `complex128`"),
    (
        lambda: F([[1.0], [1.0, 2.0]], 1.0),
        fb.DataError,
        "`argument 0` must be a number or an array, got a `list`",
    ),
    (
        lambda: G(np.ones((2, 2, 2))),
        fb.ShapeError,
        "`argument 0` must have at most two axes, got shape `(2, 2, 2)`",
    ),
    (lambda: G(np.ones((0, 2))), fb.ShapeError, "`argument 0` must have no axis of length 0, got shape `(0, 2)`"),
    (
        lambda: G(np.ma.masked_array([1.0, 2.0], [True, False])),
        fb.DataError,
        "`argument 0` must have no masked values, got 1",
    ),
    (
        lambda: G.gradient(V),
        fb.ShapeError,
        "`gradient` needs a function whose result is one number, got shape `(3,)`",
    ),
    (
        lambda: G.hessian(V),
        fb.ShapeError,
        "`hessian` needs a function whose result is one number, got shape `(3,)`",
    ),
    (lambda: G.vjp((V,), M), fb.ShapeError, "`u` must have shape `(3,)`, got `(2, 3)`"),
    (lambda: G.vjp(V, V), fb.ConfigError, "`args` must be a tuple, one value per argument, got a `ndarray`"),
    (lambda: F.jvp((1.0, V), (V, V)), fb.ShapeError, "`tangents` must have shapes `()`, `(3,)`, got `(3,)`, `(3,)`"),
    (lambda: F.jvp((1.0, V), (1.0,)), fb.ConfigError, "`tangents` must be a tuple of 2 values, got 1"),
    (lambda: F.jvp((1.0, V), V), fb.ConfigError, "`tangents` must be a tuple of 2 values, got a `ndarray`"),
    (lambda: F.jvp((1.0, V), 3.0), fb.ConfigError, "`tangents` must be a tuple of 2 values, got a `float`"),
    (lambda: F.vjp(3.0, 3.0), fb.ConfigError, "`args` must be a tuple, one value per argument, got a `float`"),
    (
        lambda: G.jacobian(V, mode="fast"),
        fb.ConfigError,
        "`mode` must be one of `auto`, `forward`, `reverse`, got `fast`",
    ),
    (lambda: fb.trace(3), fb.ConfigError, "`trace` must be given a function, got `3`"),
    (
        lambda: fb.trace(abs, dtype="float16"),
        fb.ConfigError,
        "`dtype` must be one of `float64`, `float32`, got `float16`\nhint: did you mean `float64`?",
    ),
    (lambda: F(1.0, y=2.0), fb.ConfigError, BY_NAME),
    (lambda: F.gradient(1.0, y=2.0), fb.ConfigError, BY_NAME),
    (lambda: F.hessian(1.0, y=2.0), fb.ConfigError, BY_NAME),
    (lambda: F.jacobian(1.0, y=2.0), fb.ConfigError, BY_NAME),
    (
        lambda: fb.trace(abs, dtype=np.float16),
        fb.ConfigError,
        "`dtype` must be one of `float64`, `float32`, got `float16`\nhint: did you mean `float64`?",
    ),
    (outside, fb.ConfigError, "traced values must be of the same function"),
    (lambda: F.explain(x=1.0, z=2.0), fb.ConfigError, "values must be given for `x`, `y`, got `x`, `z`"),
    (
        lambda: G.draw(V),
        fb.ShapeError,
        "the result must be one number to be shown, got shape `(3,)`",
    ),
    (lambda: fb.sigmoid("a"), fb.ConfigError, "`sigmoid` must be given real numbers, got dtype `<U1`"),
]


@pytest.mark.parametrize(("call", "kind", "message"), CALLS, ids=range(len(CALLS)))
def test_a_call_that_cannot_be_raises_one_sentence(call, kind, message):
    with pytest.raises(kind) as info:
        call()
    assert str(info.value) == message


def test_a_function_that_failed_can_be_called_again():
    with pytest.raises(fb.ShapeError):
        F(V, np.ones(4))
    np.testing.assert_array_equal(F(V, V), V)


def test_nan_is_let_through():
    assert np.isnan(F(np.nan, 1.0))
    assert np.isnan(F.gradient(1.0, np.nan)[0])


def test_scipys_functions_are_named_by_their_own_name():
    special = pytest.importorskip("scipy.special")
    with pytest.raises(fb.ConfigError) as info:
        fb.trace(special.gamma)(V)
    assert str(info.value) == f"`gamma` {TRACED}"
    np.testing.assert_allclose(fb.trace(special.expit)(V), special.expit(V), rtol=1e-15)
    np.testing.assert_allclose(fb.trace(special.erf)(V), special.erf(V), rtol=1e-15)


def test_what_is_listed_is_numpys():
    assert all(callable(operator.attrgetter(name)(np)) for name in (*UFUNCS, *FUNCTIONS))
    assert "`place`" not in listed()
