"""Formulas as text: what they compute, and that nothing else can be said in them."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.autodiff.expression import CALLS, parse

X = np.linspace(-2.0, 2.0, 41)
GOOD = {
    "x * tanh(log(1 + exp(x)))": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "-x ** 2 + +x": lambda x: -(x**2) + x,
    "(x - 1) / (x * x + 0.5e1)": lambda x: (x - 1) / (x * x + 5),
    "where(x >= 0, x, 0.01 * x)": lambda x: np.where(x >= 0, x, 0.01 * x),
    "where(1 != x, 2, 3)": lambda x: np.where(x != 1, 2.0, 3.0),
    " maximum(x, 0) + minimum(x, abs(x)) ": lambda x: np.maximum(x, 0) + np.minimum(x, np.abs(x)),
    "add(subtract(x, 1), multiply(2, negate(x)))": lambda x: x - 1 - 2 * x,
    "9 ** 9 ** 9 ** 9 * 0 * x": lambda x: x * np.nan,
    "x / 0": lambda x: x / 0,
    "sin(pi * x) + e": lambda x: np.sin(np.pi * x) + np.e,
}


@pytest.mark.parametrize("text", GOOD)
def test_a_formula_is_what_it_says(text):
    with np.errstate(all="ignore"):
        expected = GOOD[text](X)
    np.testing.assert_allclose(parse(text)(X), expected, rtol=1e-15)
    found = fb.trace(parse(text))(X)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)
    assert np.isclose(parse(text)(0.3), parse(text)(np.array([0.3]))[0], equal_nan=True)


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"where"}))
def test_every_function_can_be_called(name):
    count = 2 if name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power") else 1
    text = f"{name}({', '.join(['x'] * count)})"
    assert np.isclose(fb.trace(parse(text))(0.7), float(CALLS[name](*[0.7] * count)), rtol=1e-14)


def test_several_names_are_arguments_in_their_order():
    F = fb.trace(parse("x / y", names=("x", "y")))
    assert F.gradient(3.0, 2.0) == (0.5, -0.75)


NAMES = ", ".join(f"`{name}`" for name in sorted(CALLS))
PARTS = "`formula` must be made of numbers, names, `+ - * / **` and calls of functions, got "
BAD = {
    "x +": "`formula` must be a formula such as `x * tanh(x)`, got `x +`",
    "": "`formula` must be a formula such as `x * tanh(x)`, got ``",
    "x = 1": "`formula` must be a formula such as `x * tanh(x)`, got `x = 1`",
    "(" * 400 + "x" + ")" * 400: "`formula` must be a formula such as `x * tanh(x)`, got `"
    + "(" * 400
    + "x"
    + ")" * 400
    + "`",
    "x" * 1001: "`formula` must have at most 1000 characters, got 1001",
    "y * 2": "`formula` must use no names but `x`, got `y`",
    "__import__": "`formula` must use no names but `x`, got `__import__`",
    "tanhh(x)": f"`formula` must be one of {NAMES}, got `tanhh`\nhint: did you mean `tanh`?",
    "exec(x)": f"`formula` must be one of {NAMES}, got `exec`",
    "x.real": PARTS + "`x.real`",
    "x[0]": PARTS + "`x[0]`",
    "x.exp()": PARTS + "`x.exp()`",
    "(lambda: x)()": PARTS + "`(lambda: x)()`",
    "[x for x in x]": PARTS + "`[x for x in x]`",
    "'a' * x": PARTS + "`'a'`",
    "True * x": PARTS + "`True`",
    "1j * x": PARTS + "`1j`",
    "x % 2": PARTS + "`x % 2`",
    "x @ x": PARTS + "`x @ x`",
    "~x": PARTS + "`~x`",
    "x and x": PARTS + "`x and x`",
    "x if x else x": PARTS + "`x if x else x`",
    "exp(x=x)": PARTS + "`exp(x=x)`",
    "(y := x)": PARTS + "`(y := x)`",
    "exp(x, x)": "`formula` must give `exp` 1 values, got 2",
    "exp(*x)": "`formula` must give `exp` 1 values, got 1",
    "where(x > 0, x)": "`formula` must give `where` 3 values, got 2",
    "where(x, 1, 2)": "`formula` must give `where` a comparison such as `x > 0` first, got `x`",
    "where(0 < x < 1, 1, 2)": "`formula` must give `where` a comparison such as `x > 0` first, got `0 < x < 1`",
    "(x > 0) * x": "`formula` must use comparisons only as the first argument of `where`, got `x > 0`",
    "-" * 250 + "x": "`formula` must be nested at most 200 deep, got more",
    "1e400 * x": "`formula` must have numbers that fit into `float64`, got a larger one",
    "inf * x": "`formula` must use no names but `x`, got `inf`",
    "1" + "0" * 400 + " * x": "`formula` must have numbers that fit into `float64`, got a larger one",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_is_no_formula_raises_one_sentence(text):
    with pytest.raises(fb.ConfigError) as info:
        parse(text, where="formula")
    assert str(info.value) == BAD[text]


def test_a_formula_must_be_text():
    with pytest.raises(fb.ConfigError) as info:
        parse(3)
    assert str(info.value) == "`expression` must be text, got `3`"


def test_long_sums_can_be_said():
    assert parse("+".join(["x"] * 190))(2.0) == 380.0


def test_a_name_of_the_formulas_own_goes_before_a_number():
    assert parse("e * pi", names=("e", "pi"))(2.0, 3.0) == 6.0
