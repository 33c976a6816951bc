"""What kernels do across lanes, one lane after the other, and random operands for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.kernels import functions
from fastbp.kernels.fields import LINE
from tests.kernels.harness import Array, Machine, Panels, bits
from tests.numpy_lanes import Lanes, fused_multiply_add

NAN = float("nan")


# The twin: lines are (panels, rows, P), padded with zeros.


class Twin:
    """What kernels do across lanes, one lane after the other."""

    def tree(self, line: Array, combine: Any) -> Array:
        """(i, i + n/2) until one lane is left."""
        while line.shape[-1] > 1:
            half = line.shape[-1] // 2
            line = combine(line[..., :half], line[..., half:])
        return line[..., 0]

    def total(self, line: Array) -> Array:
        return self.tree(line, np.add)

    def largest(self, line: Array) -> Array:
        return self.tree(line, larger)

    def magnitude(self, *noted: Array) -> Array:
        """The bits of the largest magnitude among lines."""
        of_lanes = [bits(line).reshape(-1, line.shape[-1]) for line in noted]
        seen = np.concatenate(of_lanes) & (~of_lanes[0].dtype.type(0) >> 1)
        return self.tree(seen.max(axis=0), np.maximum)

    def transposed(self, x: Array) -> Array:
        return np.ascontiguousarray(x.T)


class Neighbours(Twin):
    """Wrong: adds lanes (i, i + 1)."""

    def total(self, line: Array) -> Array:
        while line.shape[-1] > 1:
            line = line[..., ::2] + line[..., 1::2]
        return line[..., 0]


class OneLost(Twin):
    """Wrong: where this is combined, the lane that holds the largest number has its neighbour's."""

    def __init__(self, combine: Any) -> None:
        self.combine = combine

    def tree(self, line: Array, combine: Any) -> Array:
        if combine is self.combine:
            line = line.copy()
            finite = np.where(np.isfinite(line), np.abs(line), 0)
            lane = finite.reshape(-1, line.shape[-1]).max(axis=0).argmax()
            line[..., lane] = line[..., lane ^ 1]
        return super().tree(line, combine)


class Repeated(Twin):
    """Wrong: the first column stands in the place of the last too."""

    def transposed(self, x: Array) -> Array:
        x = x.copy()
        x[:, -1:] = x[:, :1]
        return super().transposed(x)


def larger(a: Array, b: Array) -> Array:
    return np.where(np.isnan(a) | (a >= b), a, b)


def fma(a: Any, b: Any, c: Any) -> Array:
    """a b + c, rounded once, with the sign that IEEE 754 gives a zero."""
    kind = next(x.dtype for x in (a, b, c) if isinstance(x, np.ndarray))
    a, b, c = np.broadcast_arrays(*(np.asarray(x, kind) for x in (a, b, c)))
    out = np.asarray(fused_multiply_add(a, b, c))
    return np.where(out == 0.0, a * b + c, out)


def by_lanes(formula: Any) -> Callable[[Array], Array]:
    return lambda x: formula(Lanes(x)).array


exp, log, softplus, sigmoid = (by_lanes(getattr(functions, name)) for name in ("exp", "log", "softplus", "sigmoid"))


def cut(x: Array) -> Array:
    """A matrix as lines."""
    in_line = LINE // x.itemsize
    rows, width = x.shape
    padded = np.zeros((rows, -(-width // in_line) * in_line), x.dtype)
    padded[:, :width] = x
    return padded.reshape(rows, -1, in_line).transpose(1, 0, 2)


def joined(line: Array) -> Array:
    """Lines as a matrix, padding too."""
    return line.transpose(1, 0, 2).reshape(line.shape[1], -1)


def masked(line: Array, width: int, other: float = 0.0) -> Array:
    """Lines with another number where there is padding."""
    number = np.arange(line.shape[0])[:, None] * line.shape[-1] + np.arange(line.shape[-1])
    return np.where((number < width)[:, None, :], line, line.dtype.type(other))


def added(parts: Array) -> Array:
    """Σ over the first axis, in order."""
    out = np.zeros_like(parts[0])
    for part in parts:
        out = out + part
    return out


def products(a: Array, b: Array) -> Array:
    """Σ a b over the first axis, in order, every term rounded once."""
    out = np.zeros(np.broadcast(a[0], b[0]).shape, a.dtype)
    for x, y in zip(a, b, strict=True):
        out = fma(x, y, out)
    return out


def filled(number: Any) -> Array:
    """A line of one number."""
    return np.full(LINE // number.itemsize, number)


# Operands


class Draw:
    """Random operands for one case: `used` lanes of the last line are in use."""

    def __init__(self, dtype: str, used: int, *seed: int) -> None:
        self.rng = np.random.default_rng([*seed, used])
        self.dtype = np.dtype(dtype)
        self.in_line = LINE // self.dtype.itemsize
        self.width = used + self.in_line * self.below(3)
        self.rows = 1 + self.below(6)

    def below(self, limit: int) -> int:
        return int(self.rng.integers(limit))

    def numbers(self, rows: int = 0, width: int = 0) -> Array:
        """Magnitudes from 2⁻¹² to 2¹²; those of the last column are larger than all others."""
        shape = rows or self.rows, width or self.width
        exponents = self.rng.integers(-12, 12, shape)
        exponents[:, -1] = 17
        return np.ldexp(self.factors(*shape) * self.rng.choice([-1, 1], shape), exponents).astype(self.dtype)

    def factors(self, *shape: int) -> Array:
        """Numbers between 1/2 and 2: as many as columns, or of this shape."""
        return np.exp2(self.rng.uniform(-1.0, 1.0, shape or self.width)).astype(self.dtype)

    def scores(self) -> Array:
        """Numbers that exp takes, the largest of every second row in its last column."""
        x = 3.0 * self.rng.normal(size=(self.rows, self.width))
        x[::2, -1] += 6.0
        return x.astype(self.dtype)

    def scores_or_nan(self) -> Array:
        """The same, with one NaN from time to time."""
        x = self.scores()
        x[-1, self.below(self.width)] *= NAN if self.rows > 3 else 1.0
        return x

    def patterns(self, rows: int, width: int) -> Array:
        """Random bits, NaN of all kinds among them."""
        kind = f"u{self.dtype.itemsize}"
        return self.rng.integers(0, np.iinfo(kind).max, (rows, width), kind).view(self.dtype)

    def number(self) -> float:
        """A factor as float64."""
        return float(self.factors(1)[0])


Expected = Callable[[Twin], tuple[Any, ...]]
Result = tuple[tuple[Any, ...], Expected]
CASES: dict[str, Callable[[Machine, Draw], Result]] = {}


def case(*names: str) -> Any:
    """Register how a kernel is called and what its twin is; where several are named they are told their own."""

    def register(run: Any) -> Any:
        for name in names:
            CASES[name] = run if len(names) == 1 else lambda m, d, name=name: run(m, d, name)
        return run

    return register


def noted(m: Machine) -> Array:
    """The bits of the largest magnitude that op number 0 has noted."""
    return m.noted()[0]


def op(
    m: Machine, kernel: str, a: Array, y: Array | Panels | None = None, padding: float = 0.0, **values: Any
) -> Array:
    """Call a kernel from A to C, and return C; Y is what it reads beside A, or writes beside C."""
    source, target = m.given("a", a, padding), m.panels("c", *a.shape)
    if y is not None:
        values["y"] = y if isinstance(y, Panels) else m.given("y", y)
    m.op(kernel, source, target, 0, len(a), **values)
    return target.lines()


def saved_by(m: Machine, d: Draw) -> Panels:
    """A matrix for the Y that a call writes."""
    out = m.panels("y", d.rows, d.width)
    m.writes(out, 0, d.rows)
    return out


def line_of(m: Machine, values: Array) -> int:
    return m.line_numbers("line", values).address
