"""Formulas as text, such as `x * tanh(log(1 + exp(x)))`: parsed by a small grammar, never run as Python.

numbers, names, + - * / ** and signs     as in Python; `pi` and `e` are what they are in `math`
f(x, y)                                  the elementwise gates, by name
where(x > 0, a, b)                       the first argument is the only place for comparisons
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import numpy as np

from fastbp.autodiff import functions
from fastbp.errors import ConfigError, ConfigTypeError, brief, not_one_of

LONGEST, DEEPEST = 1000, 200
OWN = ("sigmoid", "softplus", "relu", "erf", "tanh")
CALLS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "sign", "power")},
    **{name: getattr(np, name) for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")},
    **{name: getattr(functions, name) for name in OWN},
    "abs": np.absolute,
    "negate": np.negative,
    "where": np.where,
}
COMPARISONS: dict[type, Callable[..., Any]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
NUMBERS = {"pi": math.pi, "e": math.e}
Values = dict[str, Any]
Part = Callable[[Values], Any]


class Reader:
    """Turns the parts of a formula into functions of its names.

    Parameters
    ----------
    where : str
        The name of the formula in messages.
    names : sequence of str
        The names allowed in it.
    """

    def __init__(self, where: str, names: Sequence[str]) -> None:
        self.where, self.names = where, names
        self.depth = 0

    def read(self, node: ast.expr) -> Part:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ConfigError(self.where, f"must be nested at most {DEEPEST} deep", "more")
        part = self._read(node)
        self.depth -= 1
        return part

    def _read(self, node: ast.expr) -> Part:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return self.number(number)
            case ast.Name(id=name) if name in NUMBERS and name not in self.names:
                return self.number(NUMBERS[name])
            case ast.Name(id=name):
                if name not in self.names:
                    known = ", ".join(f"`{n}`" for n in self.names)
                    raise ConfigError(self.where, f"must use no names but {known}", f"`{name}`")
                return lambda values: values[name]
            case ast.UnaryOp(op=op, operand=x) if type(op) in OPERATORS:
                apply, inner = OPERATORS[type(op)], self.read(x)
                return lambda values: apply(inner(values))
            case ast.BinOp(left=x, op=op, right=y) if type(op) in OPERATORS:
                apply, left, right = OPERATORS[type(op)], self.read(x), self.read(y)
                return lambda values: apply(left(values), right(values))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self.call(name, args)
            case ast.Compare():
                raise ConfigError(
                    self.where, "must use comparisons only as the first argument of `where`", f"`{ast.unparse(node)}`"
                )
        raise ConfigError(
            self.where, "must be made of numbers, names, `+ - * / **` and calls of functions", f"`{ast.unparse(node)}`"
        )

    def number(self, number: float) -> Part:
        try:
            value = np.float64(number)
        except OverflowError:
            value = np.float64(math.inf)
        if np.isinf(value):
            raise ConfigError(self.where, "must have numbers that fit into `float64`", "a larger one")
        return lambda values: value

    def call(self, name: str, args: list[ast.expr]) -> Part:
        if name not in CALLS:
            raise not_one_of(self.where, name, sorted(CALLS))
        function = CALLS[name]
        count = 3 if name == "where" else getattr(function, "nin", None) or len(signature(function).parameters)
        if len(args) != count or any(isinstance(a, ast.Starred) for a in args):
            raise ConfigError(self.where, f"must give `{name}` {count} values", f"{len(args)}")
        parts = [self.read(a) for a in args[1:]]
        first = self.condition(args[0]) if name == "where" else self.read(args[0])
        return lambda values: function(first(values), *(part(values) for part in parts))

    def condition(self, node: ast.expr) -> Part:
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
            compare, left, right = COMPARISONS[type(node.ops[0])], self.read(node.left), self.read(node.comparators[0])
            return lambda values: compare(left(values), right(values))
        raise ConfigError(self.where, "must give `where` a comparison such as `x > 0` first", f"`{ast.unparse(node)}`")


def shown(text: str) -> str:
    """Text in one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def parse(text: str, names: Sequence[str] = ("x",), where: str = "expression") -> Callable[..., Any]:
    """A formula as a function of its names, which takes traced values, numbers and arrays.

    Parameters
    ----------
    text : str
        At most 1000 characters.
    names : sequence of str
        The arguments, in their order.
    where : str
        The name of the formula in messages.

    Examples
    --------
    >>> from fastbp.autodiff.expression import parse
    >>> mish = parse("x * tanh(softplus(x))")
    >>> round(float(mish(1.0)), 6)
    0.865098
    """
    if not isinstance(text, str):
        raise ConfigTypeError(where, "must be text", f"`{brief(text)}`")
    if len(text) > LONGEST:
        raise ConfigError(where, f"must have at most {LONGEST} characters", f"{len(text)}")
    try:
        body = Reader(where, names).read(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, MemoryError, RecursionError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(where, "must be a formula such as `x * tanh(x)`", f"`{shown(text)}`") from None

    def function(*args: Any) -> Any:
        with np.errstate(all="ignore"):
            return body(dict(zip(names, args, strict=True)))

    function.__name__ = where
    function.__doc__ = text
    return function
