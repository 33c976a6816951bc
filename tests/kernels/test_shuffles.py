"""Every kernel that moves numbers between lanes, bit for bit against the order of operations that its module documents.

Compilers have moved lanes to wrong places before. Here each kernel whose code shuffles a line is called at every number
of lanes in use of the last line, on random operands: numbers of very different magnitudes for sums, so that any other
order is rounded to other bits, and random bits where they only travel. A twin in NumPy does the same one lane at a time.

`python -m tests.kernels.test_shuffles` checks this process's level and prints JSON; the tests run it at every level of
the machine. Kernels that are compiled at that level already are all checked; of the others each level takes half of the
pairs of kernel and dtype, its neighbours the other half. `FASTBP_SHUFFLES=5` takes all pairs, with five seeds.
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

from fastbp.engine import compiler, machine_code
from fastbp.kernels import functions, levels, lines, losses, weights
from fastbp.kernels import layout as at
from fastbp.kernels.vector import LINE
from tests.kernels import branch_calls, calls, gate_calls, harness
from tests.kernels.harness import DTYPES, Array, Buffer, Machine, bits, double, same_bits
from tests.numpy_lanes import Lanes, fused_multiply_add

ROOT = Path(__file__).parents[2]
SEED = 180338
ROUNDS = int(os.environ.get("FASTBP_SHUFFLES", "0"))
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
    """Wrong: sums lanes (i, i + 1)."""

    def tree(self, line: Array, combine: Any) -> Array:
        while line.shape[-1] > 1:
            line = combine(line[..., ::2], line[..., 1::2])
        return line[..., 0]


class OneLost(Twin):
    """Wrong: one lane in the place of another."""

    def tree(self, line: Array, combine: Any) -> Array:
        line = line.copy()
        half = line.shape[-1] // 2
        line[..., half] = line[..., half + 1]
        return super().tree(line, combine)

    def transposed(self, x: Array) -> Array:
        x = x.copy()
        x[:, :1] = x[:, -1:]
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


def filled(number: Any, like: Array) -> Array:
    return np.full(like.shape[-1], number, like.dtype)


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
        """Magnitudes from 2⁻¹² to 2¹², and one in the last column that is larger than all."""
        shape = rows or self.rows, width or self.width
        x = self.rng.uniform(1.0, 2.0, shape) * self.rng.choice([-1.0, 1.0], shape)
        x = np.ldexp(x, self.rng.integers(-12, 12, shape))
        x[self.below(shape[0]), -1] *= 2.0**14 / abs(x[self.below(shape[0]), -1])
        return x.astype(self.dtype)

    def scores(self, rows: int = 0, width: int = 0) -> Array:
        """Numbers that exp takes; the largest of a row in its last column every now and then."""
        x = 3.0 * self.rng.normal(size=(rows or self.rows, width or self.width))
        x[::2, -1] += 6.0
        return x.astype(self.dtype)

    def patterns(self, rows: int, width: int) -> Array:
        """Random bits, NaN of all kinds among them."""
        kind = f"u{self.dtype.itemsize}"
        return self.rng.integers(0, np.iinfo(kind).max, (rows, width), kind).view(self.dtype)

    def line(self, number: int = 0) -> Array:
        """Factors between 1/2 and 2, one for each column."""
        return np.exp2(self.rng.uniform(-1.0, 1.0, number or self.width)).astype(self.dtype)

    def number(self) -> float:
        return float(self.line(1)[0])


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


def op(m: Machine, kernel: str, a: Array, y: Array | None = None, padding: float = 0.0, **words: int) -> Array:
    """Call a kernel from A and Y to C, and return C."""
    source, target = m.given("a", a, padding), m.panels("c", *a.shape)
    if y is not None:
        saved = m.given("y", y)
        words |= {"y": saved.address, "y_stride": saved.stride}
    m.op(kernel, source, target, 0, len(a), **words)
    return target.lines()


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
    x, y, a, b = d.numbers(), d.numbers(), d.dtype.type(d.number()), d.dtype.type(d.number())
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
    x, factor = d.numbers()[:, -1:], d.dtype.type(d.number())
    out = branch_calls.repeat(m, x, d.width, factor).lines()

    def expected(twin: Twin) -> tuple[Any, ...]:
        z = masked(cut(np.repeat(x * factor, d.width, axis=1)), d.width)
        return joined(z), twin.magnitude(z)

    return (out, noted(m)), expected


@case("scale", "prelu")
def gains(m: Machine, d: Draw, name: str) -> Result:
    x, y, gain, shared = d.numbers(), d.numbers(), d.line(), d.below(2)
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
    mean, variance, gain, shifts, sum_d, sum_dx = (d.line() for _ in range(6))
    given = {"mean": mean, "variance": variance, "gain": gain, "shifts": shifts, "sum_d": sum_d, "sum_dx": sum_dx}
    words = {key: line_of(m, values) for key, values in given.items()} | {"setting_1": double(1e-3)}
    m.set(m.head, rows=7)
    saved = m.panels("y", *x.shape) if name == "batch_norm_forward" else m.given("y", n)
    if name == "batch_norm_forward":
        m.writes(saved, 0, d.rows)
    out = op(m, name, x, None, y=saved.address, y_stride=saved.stride, **words)

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
    x = d.numbers(1, d.width + d.in_line * d.below(3))
    top = m.dtype.type(calls.scan_reals(m, x[0]))
    return (bits(top[None])[0],), lambda twin: (twin.magnitude(cut(x)),)


# Sums across a line


@case("gate_sum_columns", "gate_sum_all", "branch_row_sum")
def row_sums(m: Machine, d: Draw, name: str) -> Result:
    x, factor = d.numbers(), d.dtype.type(d.number())
    if name == "branch_row_sum":
        out = branch_calls.row_sum(m, x, factor).lines()
    else:
        out = gate_calls.sum_all(m, x).lines() if name == "gate_sum_all" else gate_calls.sum_columns(m, x).read()

    def expected(twin: Twin) -> tuple[Any, ...]:
        if name == "gate_sum_all":
            return (filled(twin.total(added(cut(x).reshape(-1, d.in_line))), x)[None], noted(m))
        sums = twin.total(added(cut(x)))
        if name == "gate_sum_columns":
            return sums[None], noted(m)
        z = cut((sums * factor)[:, None])
        return joined(z), twin.magnitude(z)

    return (out, noted(m)), expected


@case("norm")
def norm(m: Machine, d: Draw) -> Result:
    g = cut(d.numbers())
    sums = m.user_output("norms", 1, np.float64)
    m.writes(sums, 0, 1)
    m.set(m.head, gradients=line_of(m, g) - LINE, norms=sums.address)
    task = m.record(at.TILE_WORDS, piece_from=LINE, piece_lines=g[..., 0].size)
    m.call("norm", m.address_of(task), 0, 0)
    flat = g.reshape(-1, d.in_line)
    return (sums.numbers(),), lambda twin: (twin.total(products(flat, flat))[None].astype(np.float64),)


@case("softmax_forward", "log_softmax_forward")
def softmax_forward(m: Machine, d: Draw, name: str) -> Result:
    x = d.scores()
    out = op(m, name, x, padding=NAN)

    def expected(twin: Twin) -> tuple[Any, ...]:
        top, e, s = exponentials(twin, x)
        z = e * (d.dtype.type(1.0) / s)[:, None] if name == "softmax_forward" else cut(x) - top - log(s)[:, None]
        return (joined(masked(z, d.width)),)

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
    gain, shifts = (d.line() if d.below(2) else None for _ in range(2))
    saved, sigma = m.panels("y", *x.shape), m.user_output("sums", d.rows)
    m.writes(saved, 0, d.rows)
    words = {"gain": line_of(m, gain)} if gain is not None else {}
    words |= {"shifts": line_of(m, shifts)} if shifts is not None else {}
    words |= {"y": saved.address, "y_stride": saved.stride, "sums": sigma.address, "setting_1": double(eps)}
    out = op(m, name, x, padding=NAN, **words)

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
    x, n, r, gain = d.numbers(), d.numbers(), d.line(d.rows), d.line() if d.below(2) else None
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
    weight, scale = d.line(rows).astype(np.float64), d.number()
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


def mean_of(x: Array) -> Array:
    return x


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
    z, t, gain = d.scores(), d.scores(), d.line()
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
    z, t, gain, shifts = d.scores(), np.abs(d.scores()), d.line(), d.line()
    labels, row = d.rng.integers(0, d.width, d.rows), np.arange(d.rows)
    words = {"gain": line_of(m, gain), "shifts": line_of(m, shifts)}
    *actual, weight, scale = call_loss(m, d, name, z, t if name.endswith("probabilities") else labels, **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        top, e, s = exponentials(twin, z)
        part, own = (scale * weight).astype(d.dtype), weight.astype(d.dtype)
        if name == "cross_entropy":
            dz = e * (part / s)[:, None]
            seen = twin.magnitude(dz, *(filled(number, z) for number in part))
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
        seen = twin.magnitude(dz, *(filled(number, z) for number in all_q * part))
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
        seen = twin.magnitude(*(filled(number, z) for number in slopes))
        return dz, twin.total(added(value)) * (weight / d.width).astype(d.dtype), seen

    return tuple(actual), expected


# Parameters: gradients go to GRADIENTS, and the largest decides whether they are finite times the rate


def rate_for(d: Draw, *noted: Array) -> float:
    """A rate that makes the largest of these numbers overflow, or just not."""
    top = float(max(np.abs(line).max() for line in noted))
    return float(np.finfo(d.dtype).max) / top * float(d.rng.choice([0.75, 1.5]))


def bad(twin: Twin, d: Draw, rate: float, *noted: Array) -> int:
    """What BAD_LAYER becomes of layer 0."""
    step = twin.magnitude(*noted)[None].view(d.dtype) * np.float64(max(1.0, rate)).astype(d.dtype)
    return int(not np.isfinite(step[0]))


def sweep(m: Machine, d: Draw, kernel: str, rate: float, count: int, rows: int, **words: int) -> tuple[int, Array]:
    """Look with one call of a kernel of parameters, reduce with another; BAD_LAYER and `count` lines of gradients."""
    gradients = m.whole("gradients", m.memory.lines(count), count * m.in_line, output=True)
    m.set(m.head, optimizer=compiler.kernel_address("keep_gradients", m.real), gradients=gradients.address)
    m.set(m.head, group_scale=double(1.0), rate=double(rate), checking=1)
    m.set(m.worker, scratch=m.memory.lines(2 * count))
    panels = words.pop("panels")
    layer = m.record(at.LAYER_WORDS, **words)
    task = m.record(at.TILE_WORDS, tile_layer=m.address_of(layer), tile_p1=panels)
    gradients.must[:] = gradients.may[:] = False
    m.call(kernel, m.address_of(task), 0, rows)
    looked = int(m.worker[at.BAD_LAYER])
    assert m.overrun() == []
    m.set(m.head, checking=0)
    m.writes(gradients, 0, count * m.in_line)
    m.call(kernel, m.address_of(task), 0, rows)
    return looked, gradients.numbers()


@case("columns", "prelu_columns")
def columns(m: Machine, d: Draw, name: str) -> Result:
    x, dy, shared = d.numbers(), d.numbers(), d.below(2)
    factor = np.where(x > 0.0, d.dtype.type(0.0), x) if name == "prelu_columns" else x
    gains, biases = (np.stack(list(cut(a).transpose(1, 0, 2))) for a in (factor, dy))  # (rows, panels, P)
    summed, biases = products(biases, gains), added(biases)
    kept = len(summed) if not shared else 1
    biased = name == "columns"

    def one(twin: Twin) -> Array:
        return masked(filled(twin.total(added(summed)), x)[None, None], 1)[0]

    lines_noted = [summed, *([one(Twin())] if shared else []), *([biases] if biased else [])]
    rate = rate_for(d, *lines_noted)
    given, cotangent = m.given("x", x), m.given("d", dy)
    words = {"layer_x": given.address, "layer_x_stride": given.stride, "layer_offset": 0, "layer_shared": shared}
    words |= {"layer_d": cotangent.address, "layer_d_stride": cotangent.stride}
    words |= {"layer_bias": kept * LINE if biased else -1, "panels": len(summed)}
    lines_kept = kept + (len(summed) if biased else 0)
    looked, gradients = sweep(m, d, name, rate, lines_kept, d.rows, **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        first = one(twin) if shared else summed
        seen = [summed, *([first] if shared else []), *([biases] if biased else [])]
        return bad(twin, d, rate, *seen), np.concatenate([first, biases] if biased else [first]).ravel()

    return (looked, gradients), expected


@case("batch_norm_columns")
def batch_norm_columns(m: Machine, d: Draw) -> Result:
    sum_dx, sum_d, variance = (cut(d.numbers(1))[:, 0] for _ in range(3))
    old = cut(d.numbers(2)).transpose(1, 0, 2).copy()
    mean, part, rows = cut(d.numbers(1))[:, 0], d.number() / 4.0, 1 + d.below(3)
    rate = rate_for(d, sum_dx, sum_d, 2.0 * variance)
    held = [m.line_numbers("running", a) for a in old]
    for buffer in held:
        buffer.may[:] = True
    count = len(sum_d)
    given = {"sum_dx": sum_dx, "sum_d": sum_d, "variance": variance, "mean": mean}
    words = {f"layer_{key}": line_of(m, a) for key, a in given.items()} | {"layer_momentum": double(part)}
    words |= {"layer_running_mean": held[0].address, "layer_running_variance": held[1].address}
    words |= {"layer_bias": count * LINE, "panels": count}
    looked, gradients = sweep(m, d, "batch_norm_columns", rate, 2 * count, rows, **words)

    def expected(twin: Twin) -> tuple[Any, ...]:
        unbiased = d.dtype.type(rows / (rows - 1.0)) if rows > 1 else 1.0
        running = [fma(fma(mean, 1.0, -old[0]), part, old[0]), fma(fma(variance, unbiased, -old[1]), part, old[1])]
        running[1] = running[1] if rows > 1 else old[1]
        seen = bad(twin, d, rate, sum_dx, sum_d, variance * d.dtype.type(2.0))
        return seen, np.concatenate([sum_dx, sum_d]).ravel(), *(a.ravel() for a in running)

    return (looked, gradients, *(buffer.numbers() for buffer in held)), expected


@case("embedding_rows")
def embedding_rows(m: Machine, d: Draw) -> Result:
    rows, choices, in_batch = d.rows + 3, 4, d.rng.permutation(4)[:3]
    codes = in_batch[d.rng.integers(0, 3, rows)]
    dy = d.numbers(rows)
    sums = np.zeros((choices, d.width), d.dtype)
    for code, row in zip(codes, dy, strict=True):
        sums[code] = sums[code] + row
    rate = rate_for(d, sums)
    x, cotangent, table = m.given("x", codes[:, None].astype(d.dtype)), m.given("d", dy), m.panels("t", 4, d.width)
    m.writes(table, 0, choices, over=True)
    seen = m.record(at.LIST_WORDS, list_stamps=m.memory.lines(1), list_rows=m.memory.lines(1))
    words = {"layer_x": x.address, "layer_x_stride": x.stride, "layer_width": d.width, "layer_inputs": choices}
    words |= {"layer_d": cotangent.address, "layer_d_stride": cotangent.stride, "layer_sums": table.address}
    words |= {"layer_panels": table.count, "layer_stride": table.stride, "layer_batch_list": m.address_of(seen)}
    there = table.stride // LINE
    m.memory.lines(1)
    Filled.rows = np.unique(codes)
    looked, gradients = sweep_rows(m, d, rate, table.count * there, rows, **words)
    gradients = gradients.reshape(table.count, there, -1)[:, np.unique(codes)]

    def expected(twin: Twin) -> tuple[Any, ...]:
        return bad(twin, d, rate, cut(sums)), np.ascontiguousarray(cut(sums)[:, np.unique(codes)])

    return (looked, gradients), expected
