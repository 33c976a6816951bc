"""The kernels' formulas as C: a `Term` has the arithmetic of `fastbp.kernels.vector.V`, and writes it down.

So exp, tanh and the derivatives of activations are said once: whoever changes a formula changes its C, and each
operation is the same one, rounded in the same place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

REALS = {"float32": "float", "float64": "double"}
INTEGERS = {"float32": "uint32_t", "float64": "uint64_t"}
NAME = re.compile(r"\bt\d+\b")  # of a constant in a function
REAL, INTEGER, MASK = "real", "integer", "mask"


def literal(number: float, real: str) -> str:
    """A number of this type in C: the shortest decimal that is read as it."""
    value = np.dtype(real).type(number)
    if not np.isfinite(value):
        name = "NAN" if np.isnan(value) else "INFINITY"  # which are floats
        return "-" * bool(value < 0) + (f"({REALS[real]}){name}" if real == "float64" else name)
    text = np.format_float_scientific(value, trim="0") if value and not 1e-3 <= abs(value) < 1e6 else repr(float(value))
    if real == "float32" and value and 1e-3 <= abs(value) < 1e6:
        text = np.format_float_positional(value, trim="0")
    return text + ("f" if real == "float32" else "")


class Body:
    """The statements of one function.

    Attributes
    ----------
    real : {"float32", "float64"}
    """

    def __init__(self, real: str) -> None:
        self.real = real
        self.lines: list[str] = []

    def let(self, kind: str, text: str) -> Term:
        """A new constant of this kind."""
        of = {REAL: REALS[self.real], INTEGER: INTEGERS[self.real], MASK: "int"}[kind]
        name = f"t{len(self.lines)}"
        self.lines.append(f"const {of} {name} = {text};")
        return Term(self, name, kind)

    def used(self, results: Sequence[str]) -> list[str]:
        """The statements that these results need."""
        wanted, found = set(results), []
        for line in reversed(self.lines):
            name = line.split(" = ")[0].split()[-1]
            if name in wanted:
                wanted.update(NAME.findall(line))
                found.append(line)
        return found[::-1]

    def call(self, function: str) -> str:
        """The name in math.h of a function of this type."""
        return function + ("f" if self.real == "float32" else "")


class Term:
    """A number in the making; see `V`, whose methods these are."""

    def __init__(self, body: Body, text: str, kind: str = REAL) -> None:
        self.body, self.text, self.kind = body, text, kind

    @property
    def is_float32(self) -> bool:
        return self.body.real == "float32"

    def new(self, text: str) -> Term:
        return Term(self.body, text, self.kind)

    def like(self, other: Any) -> str:
        """A number as one of this kind, or another term."""
        if isinstance(other, Term):
            return other.text
        if self.kind == REAL:
            text = literal(float(other), self.body.real)
            return f"({text})" if text.startswith("-") else text
        bits = 32 if self.is_float32 else 64
        return f"{int(other) % (1 << bits):#x}" + ("u" if self.is_float32 else "ull")

    def _let(self, text: str, kind: str = "") -> Term:
        return self.body.let(kind or self.kind, text)

    def _of_two(self, sign: str, other: Any) -> Term:
        return self._let(f"{self.text} {sign} {self.like(other)}")

    def __add__(self, other: Any) -> Term:
        return self._of_two("+", other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Term:
        return self._of_two("-", other)

    def __rsub__(self, other: Any) -> Term:
        return self.new(self.like(other)) - self

    def __mul__(self, other: Any) -> Term:
        if not isinstance(other, Term) and abs(other) == 1.0 and self.kind == REAL:
            return self if other > 0 else -self  # as LLVM does, which matters where subnormals are flushed
        return self._of_two("*", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Term:
        if not isinstance(other, Term) and other == 1.0:
            return self
        return self._of_two("/", other)

    def __rtruediv__(self, other: Any) -> Term:
        return self.new(self.like(other)) / self

    def __neg__(self) -> Term:
        return self._let(f"-{self.text}")

    def __and__(self, other: Any) -> Term:
        return self._of_two("&", other)

    def __or__(self, other: Any) -> Term:
        return self._of_two("|", other)

    def __xor__(self, other: Any) -> Term:
        return self._of_two("^", other)

    def _shift(self, sign: str, other: Any) -> Term:
        return self._let(f"{self.text} {sign} {other.text if isinstance(other, Term) else int(other)}")

    def __lshift__(self, other: Any) -> Term:
        return self._shift("<<", other)

    def __rshift__(self, other: Any) -> Term:
        return self._shift(">>", other)

    def _math(self, function: str, *others: Any) -> Term:
        given = ", ".join([self.text, *(self.like(one) for one in others)])
        return self._let(f"{self.body.call(function)}({given})")

    def fma(self, factor: Any, addend: Any) -> Term:
        return self._math("fma", factor, addend)

    def rint(self) -> Term:
        return self._math("rint")

    def abs(self) -> Term:
        return self._math("fabs")

    def sqrt(self) -> Term:
        return self._math("sqrt")

    def copysign(self, sign: Any) -> Term:
        return self._math("copysign", sign)

    def _compare(self, sign: str, other: Any) -> Term:
        return self._let(f"{self.text} {sign} {self.like(other)}", MASK)

    def lt(self, other: Any) -> Term:
        return self._compare("<", other)

    def le(self, other: Any) -> Term:
        return self._compare("<=", other)

    def gt(self, other: Any) -> Term:
        return self._compare(">", other)

    def ge(self, other: Any) -> Term:
        return self._compare(">=", other)

    def isnan(self) -> Term:
        return self._let(f"{self.text} != {self.text}", MASK)

    def select(self, yes: Any, no: Any) -> Term:
        known = yes if isinstance(yes, Term) else no
        return known._let(f"{self.text} ? {known.like(yes)} : {known.like(no)}")

    def bits(self) -> Term:
        return self._let(f"bits_of({self.text})", INTEGER)

    def as_real(self) -> Term:
        return self._let(f"real_of({self.text})", REAL)


def is_opaque(setting: float) -> bool:
    """Whether a compiler must not know a setting, since it leaves products with it away, which flush subnormals."""
    return abs(setting) == 1.0


def function_of(
    name: str, formula: Callable[..., Any], operands: int, real: str, settings: Sequence[float] = ()
) -> str:
    """A C function of numbers by a formula, whose last operands are settings; of two results the second by address."""
    body = Body(real)
    number = REALS[real]
    given = [Term(body, "xyz"[i]) for i in range(operands)]
    fixed = [
        Term(body, "ab"[i] if is_opaque(value) else f"({literal(value, real)})") for i, value in enumerate(settings)
    ]
    found = formula(*given, *fixed)
    results = found if isinstance(found, tuple) else (found,)
    taken = [f"{number} {term.text}" for term in given]
    taken += [f"{number} {'ab'[i]}" for i, value in enumerate(settings) if is_opaque(value)]
    statements = body.used([result.text for result in results])
    if len(results) == 2:
        taken.append(f"{number} *slope")
        statements.append(f"*slope = {results[1].text};")
    lines = "".join(f"    {line}\n" for line in statements)
    return f"static inline {number} {name}({', '.join(taken)})\n{{\n{lines}    return {results[0].text};\n}}\n"
