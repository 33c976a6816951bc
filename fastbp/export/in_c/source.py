"""One C file being written: its constants, and each function once, where it is first needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.export.in_c import exact, library, library_columns, tables_library
from fastbp.export.in_c.terms import REALS, function_of, is_opaque, literal
from fastbp.kernels import functions

LIBRARIES = (library, library_columns, exact, tables_library)
NEEDS = {name: needs for one in LIBRARIES for name, needs in one.NEEDS.items()}
TEXTS = {name: text for one in LIBRARIES for name, text in one.TEXTS.items()}
FORMULAS = {"exp_of": functions.exp, "log_of": functions.log}
LINE = 100  # characters of a line of numbers


class Part:
    """A part of a file that can be left out as a whole.

    Attributes
    ----------
    constants, functions : list of str
        C, in order.
    bytes : int
        Of the constants.
    """

    def __init__(self) -> None:
        self.constants: list[str] = []
        self.functions: list[str] = []
        self.bytes = 0

    def text(self) -> str:
        return "\n".join([*self.constants, *self.functions])


class Source:
    """What a file has so far.

    Parameters
    ----------
    real : {"float32", "float64"}
    """

    def __init__(self, real: str) -> None:
        self.real = real
        self.parts = [Part()]
        self._made: set[str] = set()
        self._constants: dict[Any, str] = {}
        self._names: dict[str, Any] = {}  # of C -> what has it

    @property
    def part(self) -> Part:
        return self.parts[-1]

    def begin(self) -> Part:
        """Begin another part, which may use what stands before."""
        self.parts.append(Part())
        return self.part

    def need(self, name: str) -> str:
        """Have a function of the library."""
        if name not in self._made:
            self._made.add(name)
            for other in NEEDS.get(name, ()):
                self.need(other)
            formula = FORMULAS.get(name)
            self.part.functions.append(function_of(name, formula, 1, self.real) if formula else TEXTS[name])
        return name

    def elementwise(
        self, name: str, formula: Callable[..., Any], operands: int, settings: Sequence[float], results: int = 1
    ) -> str:
        """The name of a function that applies a formula to every number of rows."""
        made = self._name(name, (name, tuple(settings)))
        if made in self._made:
            return made
        self._made.add(made)
        given = "xy"[:operands]
        rows = "".join(f"const real *RESTRICT {one}, " for one in given)
        numbers = ", ".join(f"{one}[i]" for one in given)
        kept = [("ab"[i], value) for i, value in enumerate(settings) if is_opaque(value)]
        before = "".join(
            f"    const real {one} = {'-' if value < 0 else ''}{self.need('one')}();\n" for one, value in kept
        )
        numbers += "".join(f", {one}" for one, _ in kept)
        out, more = ("", "") if results == 1 else (", slopes + i", ", real *RESTRICT slopes")
        self.part.functions += [
            function_of(f"{made}_of", formula, operands, self.real, settings),
            f"static void {made}({rows}int width, real *RESTRICT z{more})\n{{\n{before}"
            f"    for (int i = 0; i < width; i++)\n        z[i] = {made}_of({numbers}{out});\n}}\n",
        ]
        return made

    def _name(self, label: str, what: Any) -> str:
        """An identifier that begins as a label does and is nothing else's."""
        plain = re.sub(r"\W+", "_", label, flags=re.ASCII).strip("_") or "numbers"
        name, number = plain, 2
        while self._names.setdefault(name, what) != what:
            name, number = f"{plain}_{number}", number + 1
        return name

    def constant(self, label: str, numbers: NDArray[Any], order: str = "") -> str:
        """The name of an array of these numbers; equal ones are there once. `order` is said where it is not by rows."""
        key = numbers.dtype.name, numbers.shape, numbers.tobytes()
        if key in self._constants:
            return self._constants[key]
        name = self._constants[key] = self._name(f"p_{label}", key)
        self.part.constants.append(array_of(name, label, numbers, order))
        self.part.bytes += numbers.nbytes
        return name

    def function(self, text: str) -> None:
        """Add a function."""
        self.part.functions.append(text)


def array_of(name: str, label: str, numbers: NDArray[Any], order: str = "") -> str:
    """An array in C, a matrix row by row."""
    of = REALS.get(numbers.dtype.name, "int")
    shape = " x ".join(map(str, numbers.shape))
    flat = listed(numbers.reshape(-1))
    return f"/* {label}, {shape}{order} */\nstatic const {of} {name}[{max(len(flat), 1)}] = {{\n{wrapped(flat)}\n}};\n"


def listed(numbers: NDArray[Any]) -> list[str]:
    """Numbers in C: whole ones, or as `literal` writes them, all at once."""
    real = numbers.dtype.name
    if real not in REALS:
        return [str(int(x)) for x in numbers]
    if not np.isfinite(numbers).all():
        return [literal(x, real) for x in numbers]
    suffix = "f" if real == "float32" else ""
    return [text + suffix for text in numbers.astype("U32").tolist()]


def wrapped(items: Sequence[str]) -> str:
    """Items of a list in C, on lines."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > LINE:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([*lines, line]).rstrip(",")


def real_names(real: str) -> str:
    """What functions of the library call their numbers and functions of math.h."""
    single = real == "float32"
    suffix, letter = ("f", "f") if single else ("", "")
    lanes = 16 if single else 8
    return f"""typedef {REALS[real]} real;
#define ZERO 0.0{letter}
#define ONE 1.0{letter}
#define FMA fma{suffix}
#define LANES {lanes}
#define BLOCK {2 * lanes}
"""
