"""Several gates as one formula: compiled it has the bits of the gates one by one."""

import numba
import numpy as np
import pytest

import fastbp as fb
from fastbp.autodiff.expression import parse
from fastbp.autodiff.function import Traces
from fastbp.autodiff.fuse import fused
from fastbp.autodiff.graph import Graph
from fastbp.autodiff.tracer import Tracer
from fastbp.autodiff.walk import pull
from fastbp.kernels.flags import OPTIONS
from fastbp.kernels.memory import load, store
from fastbp.kernels.vector import LINE, vector_function

FORMULAS = {
    "mish": "x * tanh(softplus(x))",
    "mish spelt out": "x * tanh(log(1 + exp(x)))",
    "swish": "x / (1 + exp(-x))",
    "pieces": "where(x > 1, x ** 3, where(x < -1, -2.5, sin(x) * cos(x)))",
    "roots": "sqrt(abs(x)) + maximum(x, 0.5) - minimum(x, 0.1) + sign(x) + erf(x)",
    "powers": "x ** 2 + x ** -1 + (abs(x) + 1) ** 0.3 + 2 ** x",
    "constant": "x * 0 + 3",
}


def traced(formula, dtype="float64"):
    g = Graph(dtype)
    x = g.argument(())
    return g, x, parse(formula)(Tracer(g, x)).number


def run(formula, *arrays):
    """A formula over V, compiled and applied to arrays."""
    function = vector_function(formula)

    def one(a, c, count, z):
        for o in range(0, count * LINE, LINE):
            store(c + o, function(load(a + o, z)))

    def two(a, b, c, count, z):
        for o in range(0, count * LINE, LINE):
            store(c + o, function(load(a + o, z), load(b + o, z)))

    size, dtype = arrays[0].size, arrays[0].dtype
    lines = -(-size * dtype.itemsize // LINE)
    padded = [np.zeros(lines * LINE // dtype.itemsize, dtype) for _ in range(len(arrays) + 1)]
    for target, source in zip(padded, arrays, strict=False):
        target[:size] = source
    loop = numba.njit(**OPTIONS)(one if len(arrays) == 1 else two)
    loop(*(p.ctypes.data for p in padded), lines, dtype.type(0))
    return padded[-1][:size]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMULAS)
def test_a_fused_formula_and_its_vjp_have_the_bits_of_the_gates(name, dtype):
    rng = np.random.default_rng(0)
    x, u = rng.normal(size=(2, 100)).astype(dtype) * 2
    F = fb.trace(parse(FORMULAS[name]), dtype=dtype)
    g, argument, output = traced(FORMULAS[name], dtype)
    forward = fused(g, [argument], [output]).formula
    np.testing.assert_array_equal(run(lambda x: forward(x), x), F(x))
    seed = g.argument(())
    backward = fused(g, [argument, seed], pull(g, [(output, seed)], [argument])).formula
    np.testing.assert_array_equal(run(lambda x, u: backward(x, u), x, u), F.vjp((x,), u)[0])


def test_equal_formulas_have_equal_texts():
    texts = {}
    for key, formula in {"a": "x * 2 + 1", "b": "1 + 2 * x", "c": "x * 2 + 1.5"}.items():
        g = Graph()
        x = g.argument(())
        g.gate("exp", x)  # dead
        texts[key] = fused(g, [x], [parse(formula)(Tracer(g, x)).number])
    assert texts["a"].text.splitlines()[0] == "0 argument"
    assert texts["a"].digest != texts["c"].digest
    assert len(texts["a"].digest) == 16
    again, x, output = traced("x * 2 + 1")
    assert fused(again, [x], [output]).digest == texts["a"].digest


def test_several_outputs_are_a_tuple():
    g, x, output = traced("x * 2 + 1")
    formula = fused(g, [x], [output, x]).formula
    first, second = run(lambda x: formula(x)[0], np.arange(4.0)), run(lambda x: formula(x)[1], np.arange(4.0))
    np.testing.assert_array_equal([first, second], [[1.0, 3.0, 5.0, 7.0], [0.0, 1.0, 2.0, 3.0]])


def test_arrays_are_refused():
    g = Graph()
    x = g.argument((3,))
    with pytest.raises(fb.ShapeError) as info:
        fused(g, [x], [g.gate("exp", x)])
    assert str(info.value) == "an elementwise formula must have no arrays, got shape `(3,)` of `argument`"
    assert Traces(g, [x], [x], True).shapes == [(3,)]
