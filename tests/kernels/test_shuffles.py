"""Every kernel that moves numbers between lanes, bit for bit against the order of operations that its module documents.

Compilers have mixed lanes up before. Here each kernel whose code shuffles a line, or masks a part of one, is called at
every number of lanes in use of the last line, on random operands: numbers of very different magnitudes for sums, so
that another order is rounded to other bits, and random bits where they only travel. A twin in NumPy does the same one
lane after the other. What is called is the optimised code itself, whatever the self-test thinks of it.

`python -m tests.kernels.test_shuffles` checks this process's level and prints JSON; the tests run it at every level of
the machine. Whatever is compiled already is checked at each of them; the other pairs of kernel and dtype are dealt out
to the levels, since it takes long to compile them. `FASTBP_SHUFFLES=5` takes all pairs at all levels, with five seeds.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
import pytest

from fastbp.engine import compiler
from fastbp.engine.machine_code import FAST, Loader, object_of
from fastbp.kernels import functions, levels, lines, losses, weights
from fastbp.kernels import layout as at
from fastbp.kernels.flags import KERNELS
from fastbp.kernels.vector import LINE
from tests.kernels import branch_calls, calls, gate_calls, harness
from tests.kernels.harness import DTYPES, Array, Machine, Panels, bits, double, same_bits
from tests.numpy_lanes import Lanes, fused_multiply_add

ROOT = Path(__file__).parents[2]
SEED = 180338
ROUNDS = int(os.environ.get("FASTBP_SHUFFLES", "0"))
NAN = float("nan")
LANES = sorted({level.lanes for level in levels.runnable()})


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
    return m.worker[at.MAGNITUDES : at.MAGNITUDES + 1].astype(f"u{m.dtype.itemsize}")[0]


def op(m: Machine, kernel: str, a: Array, y: Array | Panels | None = None, padding: float = 0.0, **words: int) -> Array:
    """Call a kernel from A to C, and return C; Y is what it reads beside A, or writes beside C."""
    source, target = m.given("a", a, padding), m.panels("c", *a.shape)
    if y is not None:
        saved = y if isinstance(y, Panels) else m.given("y", y)
        words |= {"y": saved.address, "y_stride": saved.stride}
    m.op(kernel, source, target, 0, len(a), **words)
    return target.lines()


def saved_by(m: Machine, d: Draw) -> Panels:
    """A matrix for the Y that a call writes."""
    out = m.panels("y", d.rows, d.width)
    m.writes(out, 0, d.rows)
    return out


def line_of(m: Machine, values: Array) -> int:
    return m.line_numbers("line", values).address


# Number by number, with the largest magnitude noted

OF_TWO = {
    "branch_add": lambda x, y: x + y,
    "branch_subtract": lambda x, y: x - y,
    "branch_product": lambda x, y: x * y,
    "branch_divide": lambda x, y: x / y,
    "branch_minus_product": lambda x, y: -(x * y),
}
OF_ONE = {
    "branch_affine": fma,
    "branch_times": lambda x, a, b: x * a,
    "branch_over": lambda x, a, b: a / x,
    "branch_over_slope": lambda x, a, b: -(a / x / x),
}


@case(*OF_TWO, *OF_ONE)
def branch(m: Machine, d: Draw, name: str) -> Result:
    x, y, a, b = d.numbers(), d.factors(d.rows, d.width), *d.factors(2)
    x = d.dtype.type(1.0) / x if "over" in name else x
    other, words = (y, {}) if name in OF_TWO else (None, {"setting_1": double(a), "setting_2": double(b)})
    out = op(m, name, x, other, NAN, **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        z = OF_TWO[name](cut(x), cut(y)) if name in OF_TWO else OF_ONE[name](cut(x), a, b)
        z = masked(z, d.width)
        return joined(z), twin.magnitude(z)

    return (out, noted(m)), expected


@case("branch_copy")
def branch_copy(m: Machine, d: Draw) -> Result:
    x, to = d.numbers(), d.below(20)
    first = d.below(d.width)
    count = d.width - first
    out = branch_calls.copy(m, x, first, to, count, to + count + d.below(9)).lines()[:, to : to + count]
    return (out, noted(m)), lambda twin: (x[:, first:], twin.magnitude(cut(x[:, first:])))


@case("branch_repeat")
def branch_repeat(m: Machine, d: Draw) -> Result:
    x, factor = d.numbers(width=1), d.factors(1)[0]
    width = d.width if d.rows % 2 else 1  # a lane that is lost is not missed where all of them hold the same
    out = branch_calls.repeat(m, x, width, factor).lines()

    def expected(twin: Twin) -> tuple[Any, ...]:
        z = cut(np.repeat(x * factor, width, axis=1))
        return joined(z), twin.magnitude(z)

    return (out, noted(m)), expected


@case("scale", "prelu")
def gains(m: Machine, d: Draw, name: str) -> Result:
    x, y, gain, shared = d.numbers(), d.numbers(), d.factors(), d.below(2)
    words = {"gain": line_of(m, gain[:1] if shared else gain), "shared": shared}
    out = op(m, name, x, y if name == "prelu" else None, **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        factor = gain[0] if shared else cut(gain[None])
        z = cut(x) * factor
        z = np.where(cut(y) > 0.0, cut(x), z) if name == "prelu" else z
        return joined(z), twin.magnitude(z)

    return (out, noted(m)), expected


@case("batch_norm_forward", "batch_norm_slope", "batch_norm_vjp")
def batch_norm(m: Machine, d: Draw, name: str) -> Result:
    x, n = d.numbers(), d.numbers()
    mean, variance, gain, shifts, sum_d, sum_dx = (d.factors() for _ in range(6))
    given = {"mean": mean, "variance": variance, "gain": gain, "shifts": shifts, "sum_d": sum_d, "sum_dx": sum_dx}
    words = {key: line_of(m, values) for key, values in given.items()} | {"setting_1": double(1e-3)}
    m.set(m.head, rows=7)
    saved = saved_by(m, d) if name == "batch_norm_forward" else m.given("y", n)
    out = op(m, name, x, saved, **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        r = 1.0 / np.sqrt(cut(variance[None]) + d.dtype.type(1e-3))
        slope, g, b = r * cut(gain[None]), cut(gain[None]), cut(shifts[None])
        if name == "batch_norm_forward":
            new = (cut(x) - cut(mean[None])) * r
            z = fma(new, g, b)
            return joined(z), joined(new), twin.magnitude(cut(variance[None]), new, z)
        z = cut(x) * slope
        if name == "batch_norm_vjp":
            inner = fma(cut(n), cut(sum_dx[None]), cut(sum_d[None]))
            z = slope * fma(inner, -d.dtype.type(1.0 / 7), cut(x))
        return joined(z), joined(cut(n)), twin.magnitude(z)

    return (out, saved.lines(), noted(m)), expected


@case("embedding_forward")
def embedding_forward(m: Machine, d: Draw) -> Result:
    width, codes = 1 + d.width // 2, d.rng.integers(0, 5, d.rows)
    x, table = d.numbers(width=d.width), d.numbers(5, width)
    x[:, 0] = codes
    held = m.given("table", table)
    columns = m.record(at.COLUMN_WORDS * d.width).reshape(d.width, -1)
    columns[0, :] = [0, d.width - 1, held.address, held.stride, 5, width, 0, 0]
    columns[1:, 0], columns[1:, 1] = np.arange(1, d.width), np.arange(d.width - 1)
    source, target = m.given("a", x, NAN), m.panels("c", d.rows, d.width - 1 + width)
    m.op("embedding_forward", source, target, 0, d.rows, tables=m.address_of(columns), table_count=d.width)

    def expected(twin: Twin) -> tuple[Any, ...]:
        z = cut(np.hstack([x[:, 1:], table[codes]]))
        return joined(z), twin.magnitude(z)

    return (target.lines(), noted(m)), expected


@case("scan_reals")
def scan_reals(m: Machine, d: Draw) -> Result:
    width = d.width + d.in_line * d.below(2)
    places = range(min(width, 2 * d.in_line))  # where the largest stands: every lane of the two lines that are gathered
    x = np.stack([np.roll(d.numbers(1, width)[0], 1 + i) for i in places])
    found = np.zeros(len(x), d.dtype)
    for i, row in enumerate(x):
        m.buffers.clear()
        found[i] = calls.scan_reals(m, row)
    return (bits(found),), lambda twin: (np.array([twin.magnitude(cut(row[None])) for row in x]),)


# Sums across a line


@case("gate_sum_columns", "gate_sum_all", "branch_row_sum")
def row_sums(m: Machine, d: Draw, name: str) -> Result:
    x, factor = d.numbers(), d.factors(1)[0]
    if name == "branch_row_sum":
        out = branch_calls.row_sum(m, x, factor).lines()
    else:
        out = gate_calls.sum_all(m, x).lines() if name == "gate_sum_all" else gate_calls.sum_columns(m, x).read()

    def expected(twin: Twin) -> tuple[Any, ...]:
        if name == "gate_sum_all":
            return filled(twin.total(added(cut(x).reshape(-1, d.in_line))))[None], noted(m)
        sums = twin.total(added(cut(x)))
        if name == "gate_sum_columns":
            return sums[None], noted(m)
        z = cut((sums * factor)[:, None])
        return joined(z), twin.magnitude(z)

    return (out, noted(m)), expected


@case("norm")
def norm(m: Machine, d: Draw) -> Result:
    g = cut(d.numbers()).reshape(-1, d.in_line)
    sums = m.user_output("norms", 1, np.float64)
    m.writes(sums, 0, 1)
    m.set(m.head, gradients=line_of(m, g) - LINE, norms=sums.address)
    task = m.record(at.TILE_WORDS, piece_from=LINE, piece_lines=len(g))
    m.call("norm", m.address_of(task), 0, 0)
    return (sums.numbers(),), lambda twin: (twin.total(products(g, g))[None].astype(np.float64),)


@case("softmax_forward", "log_softmax_forward")
def softmax_forward(m: Machine, d: Draw, name: str) -> Result:
    x = d.scores_or_nan()
    out = op(m, name, x, padding=NAN)

    def expected(twin: Twin) -> tuple[Any, ...]:
        top, e, s = exponentials(twin, x)
        if name == "softmax_forward":
            return (joined(e * (d.dtype.type(1.0) / s)[:, None]),)
        return (joined(masked(cut(x) - top - log(s)[:, None], d.width)),)

    return (out,), expected


def exponentials(twin: Twin, x: Array) -> tuple[Array, Array, Array]:
    """The largest number of each row (as a column), lines of exp(x - top), and their sums."""
    of_lanes = np.full((len(x), LINE // x.itemsize), -np.inf, x.dtype)
    for line in masked(cut(x), x.shape[1], -np.inf):
        of_lanes = larger(of_lanes, line)
    top = twin.largest(of_lanes)[:, None]
    e = masked(exp(cut(x) - top), x.shape[1])
    return top, e, twin.total(added(e))


@case("softmax_vjp", "log_softmax_vjp", "log_softmax_jvp")
def softmax_pulled(m: Machine, d: Draw, name: str) -> Result:
    x, y = d.numbers(), -np.abs(d.scores())
    out = op(m, name, x, y, NAN)

    def expected(twin: Twin) -> tuple[Any, ...]:
        t, u = cut(x), cut(y)
        if name == "log_softmax_vjp":
            z = fma(-exp(u), twin.total(added(t))[:, None], t)
        elif name == "softmax_vjp":
            z = u * (t - twin.total(products(t, u))[:, None])
        else:
            z = t - twin.total(products(exp(u), t))[:, None]
        return (joined(masked(z, d.width)),)

    return (out,), expected


def affine(n: Array, gain: Array | None, shifts: Array | None) -> Array:
    if gain is not None:
        return n * cut(gain[None]) if shifts is None else fma(n, cut(gain[None]), cut(shifts[None]))
    return n if shifts is None else n + cut(shifts[None])


@case("layer_norm_forward", "rms_norm_forward")
def norm_forward(m: Machine, d: Draw, name: str) -> Result:
    x, eps = d.numbers(), d.number()
    gain, shifts = (d.factors() if d.below(2) else None for _ in range(2))
    saved, sigma = saved_by(m, d), m.user_output("sums", d.rows)
    words = {"gain": line_of(m, gain)} if gain is not None else {}
    words |= {"shifts": line_of(m, shifts)} if shifts is not None else {}
    out = op(m, name, x, saved, NAN, sums=sigma.address, setting_1=double(eps), **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        mean = np.zeros((d.rows, 1), d.dtype)
        if name == "layer_norm_forward":
            mean = (twin.total(added(cut(x))) * d.dtype.type(1.0 / d.width))[:, None]
        rest = masked(cut(x) - mean, d.width)
        variance = twin.total(products(rest, rest)).astype(np.float64) / d.width + eps
        r = (1.0 / np.sqrt(variance)).astype(d.dtype)
        n = masked((cut(x) - mean) * r[:, None], d.width)
        z = affine(n, gain, shifts)
        return joined(z), joined(n), r, twin.magnitude(n, z)

    return (out, saved.lines(), sigma.numbers(), noted(m)), expected


@case("layer_norm_vjp", "layer_norm_jvp", "rms_norm_vjp", "rms_norm_jvp")
def norm_pulled(m: Machine, d: Draw, name: str) -> Result:
    x, n, r, gain = d.numbers(), d.numbers(), d.factors(d.rows), d.factors() if d.below(2) else None
    words = {"gain": line_of(m, gain)} if gain is not None else {}
    out = op(m, name, x, n, NAN, sums=line_of(m, r), **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        inverse = d.dtype.type(1.0 / d.width)
        u = affine(cut(x), gain, None) if name.endswith("vjp") else cut(x)
        mean = twin.total(added(u)) * inverse if name.startswith("layer") else np.zeros(d.rows, d.dtype)
        part = twin.total(products(u, cut(n))) * inverse
        z = fma(-cut(n), part[:, None], u - mean[:, None]) * r[:, None]
        z = masked(affine(z, gain, None) if name.endswith("jvp") else z, d.width)
        return joined(z), twin.magnitude(z)

    return (out, noted(m)), expected


@case("orthonormalise")
def orthonormalise(m: Machine, d: Draw) -> Result:
    rows = min(d.width, 19 if d.width % d.in_line == 0 else d.rows)
    x = d.numbers(rows)
    out = calls.orthonormalise(m, x)

    def expected(twin: Twin) -> tuple[Any, ...]:
        a = cut(x).copy()  # (lines, rows, P)
        for first in range(0, rows, 16):
            last = min(first + 16, rows)
            for _ in range(2):
                for i in range(0, first, 4):
                    block = a[:, first:last]
                    parts = [twin.total(products(block, a[:, k : k + 1])) for k in range(i, i + 4)]
                    for k, part in enumerate(parts):
                        a[:, first:last] = fma(-part[:, None], a[:, i + k : i + k + 1], a[:, first:last])
                for j in range(first, last):
                    for i in range(first, j):
                        a[:, j] = fma(-twin.total(products(a[:, j], a[:, i])), a[:, i], a[:, j])
                    a[:, j] = a[:, j] / np.sqrt(twin.total(products(a[:, j], a[:, j])))
        return (joined(a),)

    return (out,), expected


# Losses


def call_loss(m: Machine, d: Draw, kernel: str, z: Array, targets: Array, **words: int) -> tuple[Any, ...]:
    """Call a loss on rows in another order; dz, the losses and the magnitude, then the weights and the scale."""
    rows, index = len(z), d.rng.permutation(len(z))
    weight, scale = d.factors(rows).astype(np.float64), d.number()
    placed, order = np.empty_like(targets), np.empty_like(weight)
    placed[index], order[index] = targets, weight
    given = m.user("targets", placed)
    calls.point(m, index, 0)
    held = [m.whole(name, m.memory.lines(1), m.in_line, output=True) for name in ("row loss", "sums")]
    for buffer in held:
        buffer.must[:] = False
    held[0].must[:rows] = True
    m.set(m.head, row_loss=held[0].address, loss_scale=double(scale), weights=m.user("weights", order).address)
    stride = placed.strides[0] if placed.ndim == 2 else 0
    out = op(m, kernel, z, None, NAN, targets=given.address, targets_stride=stride, sums=held[1].address, **words)
    return out, held[0].numbers()[:rows], noted(m), weight, scale


def sign(e: Array, above: Any, below: Any) -> Array:
    return np.where(e > 0.0, above, np.where(e < 0.0, below, e)).astype(e.dtype)


def huber(z: Array, t: Array, a: Array) -> tuple[Array, Array]:
    e = z - t
    far = a * fma(a, -0.5, np.abs(e))
    return np.where(np.abs(e) > a, far, e * e * 0.5), np.where(e > a, a, np.where(e < -a, -a, e))


def quantile(z: Array, t: Array, a: Array) -> tuple[Array, Array]:
    slope = sign(z - t, 1.0 - a, -a)
    return (z - t) * slope, slope


def binary_cross_entropy(z: Array, t: Array, a: Array) -> tuple[Array, Array]:
    weight = fma(a - 1.0, t, 1.0)
    return fma(1.0 - t, z, weight * softplus(-z)), fma(-weight, sigmoid(-z), 1.0 - t)


def by_formula(formula: Any) -> Any:
    return lambda z, t, a: tuple(out.array for out in formula(Lanes(z), Lanes(t), Lanes(a)))


NUMBER_LOSSES = {
    "dot": lambda z, t, a: (z * t, t),
    "mse": lambda z, t, a: ((z - t) * (z - t), z - t),
    "half_mse": lambda z, t, a: ((z - t) * (z - t), z - t),
    "mae": lambda z, t, a: (np.abs(z - t), sign(z - t, 1.0, -1.0)),
    "huber": huber,
    "quantile": quantile,
    "log_cosh": by_formula(losses.log_cosh),
    "poisson": by_formula(losses.poisson),
    "binary_cross_entropy": binary_cross_entropy,
}


@case(*NUMBER_LOSSES)
def number_loss(m: Machine, d: Draw, name: str) -> Result:
    z, t, gain = d.scores(), d.scores(), d.factors()
    words = {"gain": line_of(m, gain), "setting_1": double(0.7), "setting_2": double(1.3)}
    *actual, weight, scale = call_loss(m, d, name, z, t, **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        value, slope = NUMBER_LOSSES[name](cut(z), cut(t), np.broadcast_to(cut(gain[None]), cut(z).shape))
        dz = masked(slope * (0.7 * scale * weight).astype(d.dtype)[:, None], d.width)
        sums = twin.total(added(masked(value, d.width)))
        return joined(dz), sums * (1.3 * weight).astype(d.dtype), twin.magnitude(dz)

    return tuple(actual), expected


@case("gaussian_nll")
def gaussian_nll(m: Machine, d: Draw) -> Result:
    means, logs, t = d.scores(), d.scores(), d.scores()
    words = {"setting_1": double(0.7), "setting_2": double(1.3)}
    *actual, weight, scale = call_loss(m, d, "gaussian_nll", np.hstack([means, logs]), t, **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        s, e = cut(logs), cut(means) - cut(t)
        precision, factor = exp(-s), (0.7 * scale * weight).astype(d.dtype)[:, None]
        square = e * e * precision
        value = masked((s + square) * 0.5, d.width)
        dm = masked(e * precision * factor, d.width)
        ds = masked((1.0 - square) * 0.5 * factor, d.width)
        dz = np.hstack([joined(dm)[:, : d.width], joined(ds)[:, : d.width]])
        row = twin.total(added(value)) * (1.3 * weight).astype(d.dtype)
        return joined(cut(dz)), row, twin.magnitude(dm, ds)

    return tuple(actual), expected


@case("cross_entropy", "cross_entropy_smoothed", "cross_entropy_probabilities")
def cross_entropy(m: Machine, d: Draw, name: str) -> Result:
    z, t, gain, shifts = d.scores_or_nan(), d.scores(), d.factors(), d.numbers(1)[0] % 8
    # targets that nearly cancel, since Σ q is noted as a magnitude too
    t, shifts = (t - t.mean(axis=1, keepdims=True)) / gain, shifts - shifts.mean()
    labels, row = d.rng.integers(0, d.width, d.rows), np.arange(d.rows)
    words = {"gain": line_of(m, gain), "shifts": line_of(m, shifts)}
    *actual, weight, scale = call_loss(m, d, name, z, t if name.endswith("probabilities") else labels, **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        top, e, s = exponentials(twin, z)
        part, own = (scale * weight).astype(d.dtype), weight.astype(d.dtype)
        if name == "cross_entropy":
            dz = e * (part / s)[:, None]
            seen = twin.magnitude(dz, *(filled(number) for number in part))
            dz = joined(dz)
            dz[row, labels] -= part
            return dz, (log(s) + (top[:, 0] - z[row, labels])) * own, seen
        q = np.broadcast_to(cut(shifts[None]), e.shape)
        if name == "cross_entropy_probabilities":
            q = fma(cut(t), cut(gain[None]), q)
        all_q = twin.total(added(q))
        product = twin.total(products(q, masked(cut(z) - top, d.width)))
        if name == "cross_entropy_smoothed":
            all_q = all_q + gain[labels]
            product = product + gain[labels] * (z[row, labels] - top[:, 0])
        inverse = (d.dtype.type(1.0) / s)[:, None]
        dz = fma(e * inverse, all_q[:, None], -q) * part[:, None]
        seen = twin.magnitude(dz, *(filled(number) for number in all_q * part))
        dz = joined(dz)
        if name == "cross_entropy_smoothed":
            dz[row, labels] -= gain[labels] * part
        return dz, (all_q * log(s) - product) * own, seen

    return tuple(actual), expected


@case("multi_margin")
def multi_margin(m: Machine, d: Draw) -> Result:
    z, labels, row, square = d.scores(), d.rng.integers(0, d.width, d.rows), np.arange(d.rows), d.below(2)
    margin = d.number()
    words = {"setting_1": double(margin), "setting_2": double(square)}
    *actual, weight, scale = call_loss(m, d, "multi_margin", z, labels, **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        least = z[row, labels] - d.dtype.type(margin)
        rivals = z.copy()
        rivals[row, labels] = least
        over = cut(rivals) - least[:, None]
        over = np.where(over <= 0.0, d.dtype.type(0.0), over)
        slope = np.where(over > 0.0, over + over if square else d.dtype.type(1.0), over)
        dz = masked(slope * (scale * weight / d.width).astype(d.dtype)[:, None], d.width)
        value = masked(over * over if square else over, d.width)
        slopes = twin.total(added(dz))
        dz = joined(dz)
        dz[row, labels] = -slopes
        seen = twin.magnitude(*(filled(number) for number in slopes))
        return dz, twin.total(added(value)) * (weight / d.width).astype(d.dtype), seen

    return tuple(actual), expected


# Parameters: gradients go to GRADIENTS, and the largest decides whether they are finite times the rate


def rates(*noted: Array) -> list[float]:
    """One that makes the largest of these numbers overflow, and one that just does not."""
    top = float(max(np.abs(line).max() for line in noted)) or 1.0
    return [float(np.finfo(noted[0].dtype).max) / top * part for part in (1.5, 0.75)]


def bad(twin: Twin, rates: list[float], *noted: Array) -> list[int]:
    """What BAD_LAYER becomes of layer 0 with each rate."""
    kind = noted[0].dtype
    top = twin.magnitude(*noted)[None].view(kind)[0]
    return [int(not np.isfinite(top * kind.type(max(1.0, rate)))) for rate in rates]


def sweep(m: Machine, kernel: str, rates: list[float], own: Array, rows: int, **words: int) -> tuple[list[int], Array]:
    """Call a kernel of parameters: BAD_LAYER where it only looks, then the lines of gradients that it keeps.

    `own` says of each line whether the kernel writes it.
    """
    gradients = m.whole("gradients", m.memory.lines(own.size), own.size * m.in_line, output=True)
    gradients.must[:] = gradients.may[:] = False
    m.set(m.head, optimizer=harness.kernel_address("keep_gradients", m.real), gradients=gradients.address)
    m.set(m.head, group_scale=double(1.0), checking=1)
    m.set(m.worker, scratch=m.memory.lines(own.size))
    layer = m.record(at.LAYER_WORDS, **{f"layer_{key}": value for key, value in words.items()})
    task = m.record(at.TILE_WORDS, tile_layer=m.address_of(layer), tile_p1=words["panels"])
    found = []
    for rate in rates:
        m.set(m.head, rate=double(rate))
        m.set(m.worker, bad_layer=0)
        m.call(kernel, m.address_of(task), 0, rows)
        found.append(int(m.worker[at.BAD_LAYER]))
        assert m.overrun() == []
    m.set(m.head, checking=0)
    gradients.must[:] = gradients.may[:] = np.repeat(own.ravel(), m.in_line)
    m.call(kernel, m.address_of(task), 0, rows)
    return found, gradients.numbers().reshape(*own.shape, m.in_line)[own]


def operands(m: Machine, x: Array, dy: Array) -> dict[str, int]:
    given, cotangent = m.given("x", x), m.given("d", dy)
    words = {"x": given.address, "x_stride": given.stride}
    return words | {"d": cotangent.address, "d_stride": cotangent.stride, "panels": cotangent.count}


@case("columns", "prelu_columns")
def columns(m: Machine, d: Draw, name: str) -> Result:
    x, dy, shared, biased = d.numbers(), d.numbers(), int(d.below(5) > 0), name == "columns"
    factor = x if biased else np.where(x > 0.0, d.dtype.type(0.0), x)
    summed = products(cut(dy).transpose(1, 0, 2), cut(factor).transpose(1, 0, 2))  # (panels, P)
    biases = [added(cut(dy).transpose(1, 0, 2))] if biased else []

    def gains(twin: Twin) -> Array:
        return masked(filled(twin.total(added(summed)))[None, None], 1)[0] if shared else summed

    limits = rates(summed, gains(Twin()), *biases)
    places = {"offset": 0, "shared": shared, "bias": len(gains(Twin())) * LINE if biased else -1}
    own = np.ones(len(gains(Twin())) + len(summed) * biased, bool)
    actual = sweep(m, name, limits, own, d.rows, **operands(m, x, dy), **places)

    def expected(twin: Twin) -> tuple[Any, ...]:
        return bad(twin, limits, summed, gains(twin), *biases), np.concatenate([gains(twin), *biases])

    return actual, expected


@case("batch_norm_columns")
def batch_norm_columns(m: Machine, d: Draw) -> Result:
    sum_dx, sum_d, variance, mean, *old = (cut(d.numbers(1))[:, 0] for _ in range(6))
    part, rows, two = d.factors(1)[0], 2 + d.below(3), d.dtype.type(2.0)
    limits = rates(sum_dx, sum_d, two * variance)
    held = [m.line_numbers("running", a) for a in old]
    for buffer in held:
        m.writes(buffer, 0, old[0].size, over=True)
    given = {"sum_dx": sum_dx, "sum_d": sum_d, "variance": variance, "mean": mean}
    words = {key: line_of(m, a) for key, a in given.items()} | {"momentum": double(float(part))}
    words |= {"running_mean": held[0].address, "running_variance": held[1].address}
    words |= {"bias": len(mean) * LINE, "panels": len(mean)}
    actual = sweep(m, "batch_norm_columns", limits, np.ones(2 * len(mean), bool), rows, **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        new = fma(mean, 1.0, -old[0]), fma(variance, d.dtype.type(rows / (rows - 1.0)), -old[1])
        running = [fma(move, part, start).ravel() for move, start in zip(new, old, strict=True)]
        return bad(twin, limits, sum_dx, sum_d, two * variance), np.concatenate([sum_dx, sum_d]), *running

    return (*actual, *(buffer.numbers() for buffer in held)), expected


@case("embedding_rows")
def embedding_rows(m: Machine, d: Draw) -> Result:
    codes = d.rng.permutation(4)[:3][d.rng.integers(0, 3, d.rows)]
    dy, in_batch = d.numbers(), np.unique(codes)
    sums = np.zeros((4, d.width), d.dtype)
    for code, row in zip(codes, dy, strict=True):
        sums[code] += row
    limits = rates(sums)
    table = m.panels("sums", 4, d.width)
    m.writes(table, 0, 4, over=True)
    seen = m.record(at.LIST_WORDS, list_stamps=m.memory.lines(1), list_rows=m.memory.lines(1))
    words = {"sums": table.address, "stride": table.stride, "batch_list": m.address_of(seen)}
    own = np.zeros((table.count, table.stride // LINE), bool)
    own[:, in_batch] = True
    words |= {"width": d.width, "inputs": 4} | operands(m, codes[:, None].astype(d.dtype), dy)
    actual = sweep(m, "embedding_rows", limits, own, d.rows, **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        return bad(twin, limits, cut(sums)), cut(sums)[:, in_batch].reshape(-1, d.in_line)

    return actual, expected


@case("product", "gate_outer")
def product(m: Machine, d: Draw, name: str) -> Result:
    terms = 1 + d.below(20)
    x, w, b = d.numbers(width=terms), d.numbers(terms), d.factors()
    if name == "product":
        out = calls.product(m, x, w, b, epilogue=at.EPILOGUE_RELU).lines()
    else:
        out = gate_calls.outer(m, np.ascontiguousarray(x.T), w).lines()

    def expected(twin: Twin) -> tuple[Any, ...]:
        z = joined(cut(np.broadcast_to(b if name == "product" else b * 0.0, (d.rows, d.width))))
        for column, line in zip(x.T, joined(cut(w)), strict=True):
            z = fma(column[:, None], line, z)
        shown = np.where(z <= 0.0, d.dtype.type(0.0), z) if name == "product" else z
        return shown, twin.magnitude(cut(z))

    return (out, noted(m)), expected


@case("weights")
def sweep_weights(m: Machine, d: Draw) -> Result:
    inputs = 1 + d.below(2 * d.in_line)
    x, dz, w, b = d.numbers(width=inputs), d.numbers(), d.patterns(inputs, d.width), d.factors()
    lines_of_dz = joined(cut(dz))
    dw, db = np.zeros((inputs, lines_of_dz.shape[1]), d.dtype), added(lines_of_dz)
    for row, line in zip(x, lines_of_dz, strict=True):
        dw = fma(row[:, None], line, dw)
    limits = rates(dw, db)
    looking = [Machine(m.real, rate=double(rate)) for rate in limits]
    for each in looking:
        calls.sweep_weights(each, x, dz, w, b, checking=True)
    swept = calls.sweep_weights(m, x, dz, w, b)
    found = [int(each.worker[at.BAD_LAYER]) for each in looking]
    actual = *swept.written["gradients"], swept.transposed.read()[: d.width], found
    return actual, lambda twin: (dw, db, twin.transposed(w), bad(twin, limits, cut(dw), cut(db[None])))


# Numbers that travel


@case("transpose_weights", "gate_transpose")
def transpose(m: Machine, d: Draw, name: str) -> Result:
    x = d.patterns(1 + d.below(3 * d.in_line), d.width)
    out = (gate_calls if name == "gate_transpose" else calls).transpose(m, x).read()[: d.width]
    return (out,), lambda twin: (twin.transposed(x),)


@case("gather", "scatter", "gather_repeated")
def rows_of_users(m: Machine, d: Draw, name: str) -> Result:
    x, index, shift = d.patterns(9, d.width), d.rng.integers(0, 9, d.rows + 2), d.below(3)
    if name == "gather":
        target = calls.gather(m, x, index, d.rows, shift)
        rows = x[index[shift : shift + d.rows]]
    elif name == "scatter":
        return (calls.scatter(m, x, shift)[shift:],), lambda twin: (x,)
    else:
        target = branch_calls.gather_repeated(m, x, 2, d.rows, shift)
        rows = x[(np.arange(d.rows) + shift) // 2]
    return (target.lines(),), lambda twin: (joined(cut(rows)),)


@case("update")
def update(m: Machine, d: Draw) -> Result:
    """One tile: gradients are scaled and kept again, and the parameters transposed as they are."""
    inputs = 1 + d.below(2 * d.in_line)
    w, g, scale = d.patterns(inputs, d.width), d.numbers(inputs), d.factors(1)[0]
    place = calls.Layer(inputs, d.width, m.in_line, False)
    gradients = m.line_numbers("gradients", place.flat(g, None))
    gradients.may = place.written()
    transposed = m.panels("transposed", place.panels * m.in_line, inputs)
    m.writes(transposed, 0, transposed.rows)
    m.set(m.head, parameters=line_of(m, place.flat(w, None)), gradients=gradients.address)
    m.set(m.head, update=harness.kernel_address("keep_gradients", m.real))
    m.set(m.head, clip_scale=double(float(scale)), group_scale=double(1.0))
    m.set(m.worker, scratch=m.memory.lines(inputs))
    words = {"stride": place.lines * LINE, "bias": -1, "transposed": transposed.address}
    words |= {"transposed_stride": transposed.stride}
    layer = m.record(at.LAYER_WORDS, **{f"layer_{key}": value for key, value in words.items()})
    task = m.record(at.TILE_WORDS, tile_layer=m.address_of(layer), tile_i1=inputs, tile_p1=place.panels)
    m.call("update", m.address_of(task), 0, 0)
    kept = place.natural(gradients.numbers())[0][:, : d.width].copy()
    return (transposed.read()[: d.width], kept), lambda twin: (twin.transposed(w), g * scale)


# The checker

EVEN = ("cross_entropy", "mae", "multi_margin")  # the largest magnitude stands in all lanes: none can be missed
MASKED = ("gather", "scatter", "gather_repeated")  # lanes stay where they are; behind the last one nothing is touched
# What moves lanes, and the wrong twins that must not pass for it.
SHUFFLES = {
    lines.total: {"neighbours": Neighbours(), "a lane of a sum lost": OneLost(np.add)},
    lines.largest: {"a lane of a maximum lost": OneLost(larger)},
    lines.largest_lane: {"a lane of a magnitude lost": OneLost(np.maximum)},
    weights.transpose_block: {"a column repeated": Repeated()},
}


class Checked(NamedTuple):
    """One kernel in one dtype: what was wrong, and which wrong twins passed in every case."""

    kernel: str
    dtype: str
    cases: int
    wrong: list[str]
    unseen: list[str]


@cache
def optimised(kernel: str, dtype: str) -> int:
    """Where the code of a kernel stands that the self-test is not asked about."""
    return loader().address(compiler._object(kernel, dtype, FAST), compiler._symbol(kernel, dtype))


@cache
def loader() -> Loader:
    return Loader()


def differences(actual: tuple[Any, ...], expected: tuple[Any, ...]) -> list[int]:
    """Which results have other bits."""
    pairs = zip(map(np.asarray, actual), map(np.asarray, expected), strict=True)
    return [i for i, pair in enumerate(pairs) if not same_bits(*pair)]


def check(kernel: str, dtype: str) -> Checked:
    """Call a kernel once for every number of lanes in use and every seed."""
    cases, wrong = 0, []
    moved = [one for one in moved_by(kernel) if kernel not in EVEN or one is not lines.largest_lane]
    unseen = {name: twin for one in moved for name, twin in SHUFFLES[one].items()}
    for seed in range(SEED, SEED + max(ROUNDS, 1)):
        for used in range(1, LINE // np.dtype(dtype).itemsize + 1):
            d, m = Draw(dtype, used, seed, zlib.crc32(kernel.encode())), Machine(dtype)
            with np.errstate(all="ignore"):
                actual, expected = CASES[kernel](m, d)
                found = differences(actual, expected(Twin()))
                unseen = {name: twin for name, twin in unseen.items() if not differences(actual, expected(twin))}
            if found or m.unwritten() or m.overrun():
                what = f"results {found}, unwritten {m.unwritten()}, overrun {m.overrun()}"
                wrong.append(f"{kernel} {dtype} {d.rows}x{d.width} seed {seed}: {what}")
            cases += 1
    return Checked(kernel, dtype, cases, wrong, list(unseen))


def reached(function: Any) -> list[Any]:
    """Everything of `kernels/` that this function calls, directly or not."""
    out: list[Any] = []
    waiting = [function]
    while waiting:
        code = waiting.pop()
        held = [cell.cell_contents for cell in code.__closure__ or ()]
        for found in [*held, *(code.__globals__.get(name) for name in code.__code__.co_names)]:
            if callable(found) and all(found is not known for known in out):
                out.append(found)
                waiting += [found.py_func] if hasattr(found, "py_func") else []
    return out


def moved_by(kernel: str) -> list[Any]:
    """What moves lanes in a kernel."""
    return [one for one in reached(compiler._kernels()[kernel]) if any(one is known for known in SHUFFLES)]


def shuffling() -> set[str]:
    """The kernels in which lanes are moved; not those of formulas in other tests."""
    return {kernel for kernel in compiler._kernels() if "custom_" not in kernel and moved_by(kernel)}


def pairs() -> list[tuple[str, str]]:
    """The kernels and dtypes that this process checks: all whose code is at hand, and its share of the others."""
    every = [(kernel, dtype) for kernel in sorted(CASES) for dtype in DTYPES]
    own = every[LANES.index(levels.level().lanes) :: len(LANES)]
    return [pair for pair in every if ROUNDS or pair in own or compiler.is_kept(*pair)]


# The tests

at_every_level = pytest.mark.parametrize("lanes", LANES)


@pytest.fixture(scope="module")
def checked():
    """What processes at all levels have found, by their lanes."""
    command = [sys.executable, "-m", "tests.kernels.test_shuffles"]
    running = []
    for lanes in LANES:
        environment = os.environ | {"FASTBP_QUIET": "1", "FASTBP_LANES": str(lanes)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, cwd=ROOT, env=environment, **pipes))
    printed = [process.communicate() for process in running]
    assert [problem for process, (_, problem) in zip(running, printed, strict=True) if process.returncode] == []
    found = [json.loads(out) for out, _ in printed]
    return {each["lanes"]: [Checked(*one) for one in each["checked"]] for each in found}


@at_every_level
def test_every_result_has_the_bits_of_its_twin(checked, lanes):
    assert [line for each in checked[lanes] for line in each.wrong] == []


@at_every_level
def test_a_twin_that_takes_the_wrong_lanes_is_seen(checked, lanes):
    assert [each for each in checked[lanes] if each.unseen] == []


def test_every_kernel_is_called_at_every_number_of_lanes(checked):
    lanes = {"float32": 16, "float64": 8}
    done = {each[:3] for level in checked.values() for each in level}
    assert done == {(kernel, dtype, max(ROUNDS, 1) * lanes[dtype]) for kernel in CASES for dtype in DTYPES}


def test_every_kernel_that_shuffles_has_a_case():
    assert shuffling() == set(CASES) - set(MASKED)


def test_a_kernel_that_shuffles_without_a_case_is_found(monkeypatch):
    monkeypatch.setitem(KERNELS, "another", compiler._kernels()["norm"])
    assert shuffling() - set(CASES) == {"another"}


def test_nothing_else_moves_lanes():
    written = {file.name: file.read_text() for file in (ROOT / "fastbp" / "kernels").glob("*.py")}
    moving = {name: len(re.findall(r"shuffle_vector\(|\.reduce\(", text)) for name, text in written.items()}
    # a splat and `reduce`; three uses of that; the transposition
    assert {name: count for name, count in moving.items() if count} == {"vector.py": 2, "lines.py": 3, "weights.py": 1}


SHUFFLE = re.compile(r"(shufflevector [^\n]* <i32 )(\d+)(, i32 )(\d+)")  # but not of equal lanes, which is no list


def losing_a_lane(kernel: str, dtype: str) -> list[bytes]:
    """The code of a kernel in which one shuffle takes a lane twice, for some of its shuffles."""
    module, name = compiler._lowered(kernel, dtype)
    text, out = str(module), []
    places = list(SHUFFLE.finditer(text))
    for place in places[:: 1 + len(places) // 5]:
        changed = text[: place.start()] + SHUFFLE.sub(r"\1\4\3\4", place[0]) + text[place.end() :]
        out.append(object_of(llvm.parse_assembly(changed), name, compiler._symbol(kernel, dtype)))
    return out


@pytest.mark.parametrize(
    ("kernel", "dtype"),
    [
        ("gate_sum_columns", "float32"),
        ("softmax_forward", "float64"),
        ("branch_add", "float32"),
        ("scan_reals", "float64"),
        ("transpose_weights", "float32"),
    ],
)
def test_a_compiler_that_loses_a_lane_is_found(monkeypatch, kernel, dtype):
    def seen(code: bytes) -> bool:
        loader = Loader()
        address = loader.address(code, compiler._symbol(kernel, dtype))
        monkeypatch.setattr(harness, "kernel_address", lambda name, real: address)
        return bool(check(kernel, dtype).wrong)

    assert not seen(compiler._object(kernel, dtype, FAST))
    assert all(seen(code) for code in losing_a_lane(kernel, dtype))


if __name__ == "__main__":
    harness.kernel_address = calls.kernel_address = optimised
    print(json.dumps({"lanes": levels.level().lanes, "checked": [check(*pair) for pair in pairs()]}))
