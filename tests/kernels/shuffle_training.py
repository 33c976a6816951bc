"""A call of each loss and of each kernel that moves parameters between lanes, beside what its twin computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.kernels import losses
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import EPILOGUE_RELU
from fastbp.kernels.records import (
    LOOKING,
    Learned,
    Matrix,
    RowList,
    Tile,
    Trained,
    TrainedCodes,
    TrainedNorm,
    TrainedTable,
)
from fastbp.spec.coded import Coded
from tests.kernels import branch_calls, calls, coded_calls, gate_calls, harness
from tests.kernels.harness import Array, Machine
from tests.kernels.shuffle_rows import exponentials
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
    line_of,
    log,
    masked,
    noted,
    op,
    products,
    sigmoid,
    softplus,
)
from tests.numpy_lanes import Lanes


def call_loss(m: Machine, d: Draw, kernel: str, z: Array, targets: Array, **values: Any) -> tuple[Any, ...]:
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
    m.head.step.row_loss, m.head.step.scale = held[0].address, scale
    m.head.data.weights = m.user("weights", order).address
    wanted = Matrix(start=given.address, stride=placed.strides[0] if placed.ndim == 2 else 0)
    out = op(m, kernel, z, None, NAN, targets=wanted, sums=held[1].address, **values)
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
    told = {"gain": line_of(m, gain), "setting_1": 0.7, "setting_2": 1.3}
    *actual, weight, scale = call_loss(m, d, name, z, t, **told)

    def expected(twin: Twin) -> tuple[Any, ...]:
        value, slope = NUMBER_LOSSES[name](cut(z), cut(t), np.broadcast_to(cut(gain[None]), cut(z).shape))
        dz = masked(slope * (0.7 * scale * weight).astype(d.dtype)[:, None], d.width)
        sums = twin.total(added(masked(value, d.width)))
        return joined(dz), sums * (1.3 * weight).astype(d.dtype), twin.magnitude(dz)

    return tuple(actual), expected


@case("gaussian_nll")
def gaussian_nll(m: Machine, d: Draw) -> Result:
    means, logs, t = d.scores(), d.scores(), d.scores()
    told = {"setting_1": 0.7, "setting_2": 1.3}
    *actual, weight, scale = call_loss(m, d, "gaussian_nll", np.hstack([means, logs]), t, **told)

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
    lines = {"gain": line_of(m, gain), "shifts": line_of(m, shifts)}
    *actual, weight, scale = call_loss(m, d, name, z, t if name.endswith("probabilities") else labels, **lines)

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
    told = {"setting_1": margin, "setting_2": square}
    *actual, weight, scale = call_loss(m, d, "multi_margin", z, labels, **told)

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


# Parameters: gradients wait, and the largest decides whether they are finite


def ends(*noted: Array) -> list[int]:
    """The first bits that are taken for infinite: those of the largest of these numbers, and those above it."""
    top = max(np.abs(line).max() for line in noted)
    bits = int(harness.bits(np.array([top], noted[0].dtype))[0])
    return [bits, bits + 1]


def bad(twin: Twin, ends: list[int], *noted: Array) -> list[int]:
    """What `bad_layer` becomes of layer 0 with each end of what is finite."""
    return [int(int(twin.magnitude(*noted)) >= end) for end in ends]


def sweep(m: Machine, kernel: str, ends: list[int], own: Array, rows: int, layer: Trained) -> tuple[list[int], Array]:
    """Call a kernel of parameters: `bad_layer` where it only looks, then the lines of gradients that it keeps.

    `own` says of each line whether the kernel writes it.
    """
    gradients = m.whole("gradients", m.memory.lines(own.size), own.size * m.in_line, output=True)
    gradients.must[:] = gradients.may[:] = False
    step, update = m.head.step, m.head.update
    update.optimizer, update.gradients = harness.kernel_address("keep_gradients", m.real), gradients.address
    step.group_part, step.checking = 1.0, LOOKING
    m.worker.scratch = m.memory.lines(own.size)
    task = m.record(Tile, layer=m.address_of(layer), i1=layer.inputs, p1=layer.panels)
    found = []
    for end in ends:
        step.finite, m.worker.bad_layer = end, 0
        m.call(kernel, task, 0, rows)
        found.append(m.worker.bad_layer)
        assert m.overrun() == []
    step.checking = 0
    gradients.must[:] = gradients.may[:] = np.repeat(own.ravel(), m.in_line)
    m.call(kernel, task, 0, rows)
    return found, gradients.numbers().reshape(*own.shape, m.in_line)[own]


def operands(m: Machine, x: Array, dy: Array) -> dict[str, Any]:
    cotangent = m.given("d", dy)
    return {"x": m.given("x", x), "d": cotangent, "panels": cotangent.count}


def beside(place: int) -> Learned:
    """A line a panel, so far into the parameters."""
    return Learned(offset=place, stride=LINE)


@case("columns", "prelu_columns")
def columns(m: Machine, d: Draw, name: str) -> Result:
    x, dy, shared, biased = d.numbers(), d.numbers(), int(d.below(5) > 0), name == "columns"
    factor = x if biased else np.where(x > 0.0, d.dtype.type(0.0), x)
    summed = products(cut(dy).transpose(1, 0, 2), cut(factor).transpose(1, 0, 2))  # (panels, P)
    biases = [added(cut(dy).transpose(1, 0, 2))] if biased else []

    def gains(twin: Twin) -> Array:
        return masked(filled(twin.total(added(summed)))[None, None], 1)[0] if shared else summed

    limits = ends(summed, gains(Twin()), *biases)
    parts = {"weight": beside(0), "bias": beside(len(gains(Twin())) * LINE if biased else -1)}
    layer = m.record(Trained, shared=shared, **parts, **operands(m, x, dy))
    own = np.ones(len(gains(Twin())) + len(summed) * biased, bool)
    actual = sweep(m, name, limits, own, d.rows, layer)

    def expected(twin: Twin) -> tuple[Any, ...]:
        return bad(twin, limits, summed, gains(twin), *biases), np.concatenate([gains(twin), *biases])

    return actual, expected


@case("batch_norm_columns")
def batch_norm_columns(m: Machine, d: Draw) -> Result:
    sum_dx, sum_d, variance, mean, *old = (cut(d.numbers(1))[:, 0] for _ in range(6))
    part, rows = d.factors(1)[0], 2 + d.below(3)
    new = fma(mean, 1.0, -old[0]), fma(variance, d.dtype.type(rows / (rows - 1.0)), -old[1])
    running = [fma(move, part, start) for move, start in zip(new, old, strict=True)]
    limits = ends(sum_dx, sum_d, *running)
    held = [m.line_numbers("running", a) for a in old]
    for buffer in held:
        m.writes(buffer, 0, old[0].size, over=True)
    given = {"sum_dx": sum_dx, "sum_d": sum_d, "variance": variance, "mean": mean}
    layer = m.record(
        TrainedNorm,
        panels=len(mean),
        weight=beside(0),
        bias=beside(len(mean) * LINE),
        running_mean=held[0].address,
        running_variance=held[1].address,
        momentum=part,
        **{key: line_of(m, a) for key, a in given.items()},
    )
    actual = sweep(m, "batch_norm_columns", limits, np.ones(2 * len(mean), bool), rows, layer)

    def expected(twin: Twin) -> tuple[Any, ...]:
        learned = [a.ravel() for a in running]
        return bad(twin, limits, sum_dx, sum_d, *running), np.concatenate([sum_dx, sum_d]), *learned

    return (*actual, *(buffer.numbers() for buffer in held)), expected


@case("embedding_rows")
def embedding_rows(m: Machine, d: Draw) -> Result:
    codes = d.rng.permutation(4)[:3][d.rng.integers(0, 3, d.rows)]
    dy, in_batch = d.numbers(), np.unique(codes)
    sums = np.zeros((4, d.width), d.dtype)
    for code, row in zip(codes, dy, strict=True):
        sums[code] += row
    limits = ends(sums)
    table = m.panels("sums", 4, d.width)
    m.writes(table, 0, 4, over=True)
    seen = m.record(RowList, stamps=m.memory.lines(1), rows=m.memory.lines(1))
    weight, given = Learned(stride=table.stride), operands(m, codes[:, None].astype(d.dtype), dy)
    layer = m.record(TrainedTable, weight=weight, inputs=4, width=d.width, sums=table.address, **given)
    layer.batch_list = m.address_of(seen)
    own = np.zeros((table.count, table.stride // LINE), bool)
    own[:, in_batch] = True
    actual = sweep(m, "embedding_rows", limits, own, d.rows, layer)

    def expected(twin: Twin) -> tuple[Any, ...]:
        return bad(twin, limits, cut(sums)), cut(sums)[:, in_batch].reshape(-1, d.in_line)

    return actual, expected


@case("taken")
def taken(m: Machine, d: Draw) -> Result:
    inputs = 1 + d.below(2 * d.in_line)
    w, sums, biases = d.patterns(inputs, d.width), d.numbers(inputs), d.numbers(1)[0]
    place = calls.Layer(inputs, d.width, m.in_line, True)
    given, limits = place.flat(sums, biases), ends(sums, biases)
    m.head.update.partials = m.line_numbers("partials", given).address
    m.head.update.blocks.parameters = line_of(m, place.flat(w, biases))
    transposed = m.panels("transposed", place.panels * m.in_line, inputs)
    m.writes(transposed, 0, transposed.rows)
    weight, bias = Learned(stride=place.lines * LINE), beside(place.panels * place.lines * LINE)
    layer = m.record(
        Trained, inputs=inputs, panels=place.panels, weight=weight, bias=bias, transposed=transposed
    )  # fmt: skip
    own = place.written().reshape(-1, m.in_line).any(1)
    found, kept = sweep(m, "taken", limits, own, 0, layer)

    def expected(twin: Twin) -> tuple[Any, ...]:
        lines = given.reshape(-1, m.in_line)[own]
        return bad(twin, limits, cut(sums), cut(biases[None])), lines, twin.transposed(w)

    return (found, kept, transposed.read()[: d.width]), expected


@case("embedding_taken")
def embedding_taken(m: Machine, d: Draw) -> Result:
    sums, seen = d.rng.standard_normal((4, d.width)).astype(d.dtype), [2, 0]
    table = m.panels("sums", 4, d.width)
    m.writes(table, 0, 4, over=True)
    lines = np.zeros((table.count, table.stride // LINE, d.in_line), d.dtype)
    lines[:, :4] = cut(sums)
    m.head.update.partials = m.line_numbers("partials", lines.ravel()).address
    stamps, listed = m.user("stamps", np.array([1, 0, 1, 0])), m.user("rows", np.array(seen))
    rows = m.record(RowList, serial=1, count=2, stamps=stamps.address, rows=listed.address)
    layer = m.record(TrainedTable, weight=Learned(stride=table.stride), inputs=4, width=d.width, sums=table.address)
    layer.panels, layer.batch_list = table.count, m.address_of(rows)
    limits, own = ends(sums[seen]), np.zeros((table.count, table.stride // LINE), bool)
    own[:, seen] = True
    actual = sweep(m, "embedding_taken", limits, own, 0, layer)

    def expected(twin: Twin) -> tuple[Any, ...]:
        return bad(twin, limits, cut(sums[seen])), lines[own]

    return actual, expected


@case("coded_weights")
def coded_weights(m: Machine, d: Draw) -> Result:
    codes, dy = d.rng.integers(0, 4, d.rows), d.numbers()
    sums = np.zeros((3, d.width), d.dtype)
    for code, row in zip(codes, dy, strict=True):
        if code:
            sums[code - 1] += row
    limits = ends(sums)
    rows, cotangent = Coded(codes[:, None].astype(d.dtype), (3,)), m.given("d", dy)
    weight, bias = Learned(stride=3 * LINE), Learned(offset=-1)
    given = {"x": m.given("x", rows.narrow), "d": cotangent, "panels": cotangent.count}
    layer = m.record(TrainedCodes, weight=weight, bias=bias, inputs=3, **given, **coded_calls.columns(m, rows))
    own = np.ones((cotangent.count, 3), bool)
    actual = sweep(m, "coded_weights", limits, own, d.rows, layer)

    def expected(twin: Twin) -> tuple[Any, ...]:
        return bad(twin, limits, cut(sums)), cut(sums).reshape(-1, d.in_line)

    return actual, expected


@case("product", "gate_outer")
def product(m: Machine, d: Draw, name: str) -> Result:
    terms = 1 + d.below(20)
    x, w, b = d.numbers(width=terms), d.numbers(terms), d.factors()
    if name == "product":
        out = calls.product(m, x, w, b, epilogue=EPILOGUE_RELU).lines()
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
    limits = ends(dw, db)
    looking = [Machine(m.real, finite=end) for end in limits]
    for each in looking:
        calls.sweep_weights(each, x, dz, w, b, checking=True)
    swept = calls.sweep_weights(m, x, dz, w, b)
    found = [each.worker.bad_layer for each in looking]
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
    m.head.update.blocks.parameters = line_of(m, place.flat(w, None))
    m.head.update.gradients, m.head.update.clip_scale = gradients.address, scale
    m.head.update.clip_power = 1.0
    m.head.update.kernel, m.head.step.group_part = harness.kernel_address("keep_gradients", m.real), 1.0
    m.worker.scratch = m.memory.lines(inputs)
    parts = {"weight": Learned(stride=place.lines * LINE), "bias": Learned(offset=-1)}
    layer = m.record(Trained, transposed=transposed, **parts)
    m.run("update", 0, 0, layer=m.address_of(layer), i1=inputs, p1=place.panels)
    kept = place.natural(gradients.numbers())[0][:, : d.width].copy()
    return (transposed.read()[: d.width], kept), lambda twin: (twin.transposed(w), g * scale)
