"""A call of each kernel that works number by number or sums across a line, beside what its twin computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.kernels.fields import LINE
from fastbp.kernels.records import Column
from fastbp.spec.coded import Coded
from tests.kernels import branch_calls, calls, coded_calls, gate_calls, layer_calls
from tests.kernels.harness import Array, Machine, bits
from tests.kernels.shuffle_twin import (
    NAN,
    Draw,
    Result,
    Twin,
    added,
    case,
    cut,
    exp,
    filled,
    fma,
    joined,
    larger,
    line_of,
    log,
    masked,
    noted,
    op,
    products,
    saved_by,
)

# Number by number, with the largest magnitude noted

OF_ONE = {
    "branch_affine": fma,
    "branch_times": lambda x, a, b: x * a,
    "branch_over": lambda x, a, b: a / x,
    "branch_over_slope": lambda x, a, b: -(a / x / x),
}


@case(*branch_calls.PAIRS, *OF_ONE)
def branch(m: Machine, d: Draw, name: str) -> Result:
    x, y, a, b = d.numbers(), d.factors(d.rows, d.width), *d.factors(2)
    x = d.dtype.type(1.0) / x if "over" in name else x
    x = d.factors(d.rows, d.width) if name == "branch_exp_difference" else x  # a power that is finite
    other, told = (y, {}) if name in branch_calls.PAIRS else (None, {"setting_1": a, "setting_2": b})
    out = op(m, name, x, other, NAN, **told)

    def expected(twin: Twin) -> tuple[Any, ...]:
        z = branch_calls.PAIRS[name](cut(x), cut(y)) if name in branch_calls.PAIRS else OF_ONE[name](cut(x), a, b)
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


@case("scale", "prelu", "parametric")
def gains(m: Machine, d: Draw, name: str) -> Result:
    x, y, gain, shared = d.numbers(), d.numbers(), d.factors(), d.below(2) if name != "parametric" else 0
    line, shift = line_of(m, gain[:1] if shared else gain), d.factors() if name == "scale" and d.below(2) else None
    told = {} if shift is None else {"shifts": line_of(m, shift)}
    out = op(m, name, x, None if name == "scale" else y, gain=line, shared=shared, **told)

    def expected(twin: Twin) -> tuple[Any, ...]:
        factor = gain[0] if shared else cut(gain[None])
        z = cut(x) * factor if shift is None else fma(cut(x), factor, cut(shift[None]))
        z = np.where(cut(y) > 0.0, cut(x), z) if name == "prelu" else z
        z = fma(cut(y) - cut(x), factor, cut(x)) if name == "parametric" else z
        return joined(z), twin.magnitude(z)

    return (out, noted(m)), expected


@case("batch_norm_forward", "batch_norm_slope", "batch_norm_vjp")
def batch_norm(m: Machine, d: Draw, name: str) -> Result:
    x, n = d.numbers(), d.numbers()
    mean, variance, gain, shifts, sum_d, sum_dx = (d.factors() for _ in range(6))
    given = {"mean": mean, "variance": variance, "gain": gain, "shifts": shifts, "sum_d": sum_d, "sum_dx": sum_dx}
    lines = {key: line_of(m, values) for key, values in given.items()}
    m.head.data.rows = 7
    saved = saved_by(m, d) if name == "batch_norm_forward" else m.given("y", n)
    out = op(m, name, x, saved, eps=1e-3, **lines)

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
    first, *others = m.records(Column, d.width)
    first.source, first.target, first.table, first.rows, first.width = 0, d.width - 1, held, 5, width
    for i, column in enumerate(others):
        column.source, column.target = i + 1, i
    source, target = m.given("a", x, NAN), m.panels("c", d.rows, d.width - 1 + width)
    m.op("embedding_forward", source, target, 0, d.rows, tables=m.address_of(first), count=d.width)

    def expected(twin: Twin) -> tuple[Any, ...]:
        z = cut(np.hstack([x[:, 1:], table[codes]]))
        return joined(z), twin.magnitude(z)

    return (target.lines(), noted(m)), expected


@case("piecewise_linear_forward", "piecewise_linear_vjp", "piecewise_linear_jvp")
def bins(m: Machine, d: Draw, name: str) -> Result:
    x, b = d.numbers(), np.sort(d.rng.normal(size=d.in_line + 1)).astype(d.dtype)
    x[:, 0] = d.rng.normal(size=d.rows)
    dy, low, high = d.numbers(width=d.width + d.in_line), b[:-1].copy(), b[1:].copy()
    low[0], high[-1] = -np.inf, np.inf
    out = layer_calls.piecewise_linear(m, name, x, dy, {0: b})[0]

    def expected(twin: Twin) -> tuple[Any, ...]:
        z, w = x[:, :1], np.diff(b)
        here = (z >= low) & (z < high)
        if name == "piecewise_linear_forward":
            made = np.where(z < low, 0.0, np.where(z >= high, 1.0, (z - b[:-1]) / w)).astype(d.dtype)
        elif name == "piecewise_linear_jvp":  # of x itself
            made = np.where(here, z / w, 0.0).astype(d.dtype)
        else:
            dx, slopes = dy[:, : d.width].copy(), np.where(here, dy[:, d.width :] / w, 0.0).astype(d.dtype)
            for part in cut(np.hstack([np.zeros_like(x), slopes]))[d.width // d.in_line :]:
                dx[:, 0] += twin.total(part)
            return joined(cut(dx)), twin.magnitude(cut(dy[:, : d.width]), cut(dx))
        whole = cut(np.hstack([x, made]))
        return joined(whole), twin.magnitude(whole)

    return (out, noted(m)), expected


@case("coded_product")
def coded_product(m: Machine, d: Draw) -> Result:
    x, codes = d.numbers(width=2), d.rng.integers(0, 4, d.rows)
    rows = Coded(np.hstack([x[:, :1], codes[:, None].astype(d.dtype), x[:, 1:]]), (0, 3, 0))
    W, b, full = d.numbers(5, d.width), d.numbers(1, d.width)[0], np.asarray(rows)
    target = coded_calls.product(m, rows, W, b)

    def expected(twin: Twin) -> tuple[Any, ...]:
        z = np.broadcast_to(cut(b[None]), cut(np.zeros((d.rows, d.width), d.dtype)).shape)
        for i in range(5):
            z = fma(full[:, i][None, :, None], cut(W)[:, i : i + 1], z)
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
    m.head.update.gradients, m.head.update.norms = line_of(m, g) - LINE, sums.address - 8
    m.run("norm", 0, 0, number=1, first=LINE, lines=len(g))
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
    lines = {"gain": line_of(m, gain)} if gain is not None else {}
    lines |= {"shifts": line_of(m, shifts)} if shifts is not None else {}
    out = op(m, name, x, saved, NAN, sums=sigma.address, eps=eps, **lines)

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
    lines = {"gain": line_of(m, gain)} if gain is not None else {}
    out = op(m, name, x, n, NAN, sums=line_of(m, r), **lines)

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
