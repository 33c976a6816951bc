"""Gates of numbers as JavaScript: an expression of the inputs for each."""

from __future__ import annotations

from collections.abc import Callable

from fastbp.export.in_js.text import ATOM, CHOICE, PLUS, TIMES, Expression

Formula = Callable[..., Expression]


def _call(name: str) -> Formula:
    return lambda *inputs: Expression(f"{name}({', '.join(one.text for one in inputs)})")


def _joined(sign: str, level: int) -> Formula:
    """What stands behind `-` and `/` must hold more strongly than they do."""
    right = level + 1 if sign in "-/" else level
    return lambda x, y: Expression(f"{x.within(level)} {sign} {y.within(right)}", level)


def _compared(sign: str) -> Formula:
    def formula(x: Expression, y: Expression) -> Expression:
        test = f"{x.within(PLUS)} {sign} {y.within(PLUS)}"
        return Expression(f"{test} ? 1 : 0", CHOICE, test)

    return formula


def _chosen(c: Expression, x: Expression, y: Expression) -> Expression:
    test = c.test or f"{c.within(PLUS)} !== 0"
    return Expression(f"{test} ? {x.within(PLUS)} : {y.text}", CHOICE)


# A gate that is a function in lower case is one of `functions.FUNCTIONS`.
ELEMENTWISE: dict[str, Formula] = {
    "add": _joined("+", PLUS),
    "subtract": _joined("-", PLUS),
    "multiply": _joined("*", TIMES),
    "divide": _joined("/", TIMES),
    "power": _call("Math.pow"),
    "negate": lambda x: Expression(f"-{x.within(ATOM)}", CHOICE),
    "exp": _call("Math.exp"),
    "expm1": _call("Math.expm1"),
    "log": _call("Math.log"),
    "log1p": _call("Math.log1p"),
    "sqrt": _call("Math.sqrt"),
    "sin": _call("Math.sin"),
    "cos": _call("Math.cos"),
    "arctan": _call("Math.atan"),
    "tanh": _call("Math.tanh"),
    "sigmoid": _call("sigmoid"),
    "softplus": _call("softplus"),
    "erf": _call("erf"),
    "relu": _call("relu"),
    "abs": _call("Math.abs"),
    "sign": _call("Math.sign"),
    "maximum": _call("Math.max"),
    "minimum": _call("Math.min"),
    "hypot": _call("Math.hypot"),
    "where": _chosen,
    "greater": _compared(">"),
    "greater_equal": _compared(">="),
    "less": _compared("<"),
    "less_equal": _compared("<="),
    "equal": _compared("==="),
    "not_equal": _compared("!=="),
}
