"""What `calls` is, for tasks of the weight sweep, for what is done once a step, and for the loops that walk a plan."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from fastbp.engine.compiler import kernel_address
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import ElementwiseOp, GateTask, OpGroup
from fastbp.kernels.optimizers import RULES
from fastbp.kernels.records import (
    END_NOTHING,
    ROW_PHASE,
    SHADOW_BYTES,
    TASK_PHASE,
    TRIAL_LINES,
    Head,
    Learned,
    Phase,
    Piece,
    RowList,
    Trained,
    TrainedNorm,
    TrainedTable,
)
from tests.kernels.calls import KEEP, STATE, Layer, Optimizer
from tests.kernels.harness import SHAPES, Array, Buffer, Machine
from tests.kernels.layer_calls import lines_out

CODES = 11  # rows of a table


def blocks(m: Machine, how: Optimizer, state: list[Array], written: Array) -> list[Buffer]:
    """What an optimiser updates, at offset 0 and laid out alike; it may write some of it. Gradients that are kept must
    be written.
    """
    lines = -(-written.size // m.in_line)
    may = np.zeros(lines * m.in_line, bool)
    may[: written.size] = written
    found = [m.line_numbers(name, values) for name, values in zip(STATE, state, strict=False)]
    for name, buffer in zip(STATE, found, strict=False):
        setattr(m.head.update.blocks, name, buffer.address)
        buffer.may = may if how is not KEEP else np.zeros_like(may)
    if how is KEEP:
        kept = lines_out(m, "gradients", lines)
        kept.must = kept.may = may
        m.head.update.gradients = kept.address
        found.append(kept)
    m.head.update.optimizer = m.head.update.kernel = kernel_address(how.kernel, m.real)
    m.head.update.clip_power, m.head.update.clip_scale = 1.0, 0.5
    how.prepare(m, lr=0.1, step=4)
    return found


def tile(m: Machine, kernel: str, layer: Any, rows: int, **extent: int) -> None:
    m.run(kernel, 0, rows, layer=m.address_of(layer), **extent)


def state_like(p: Array, how: Optimizer) -> list[Array]:
    return [p, *[p * p] * how.moments]


def columns(m: Machine, kernel: str, x: Array, d: Array, how: Optimizer, shared: bool = False) -> list[Array]:
    """The sums of columns of a layer, with biases for `columns` and statistics for `batch_norm_columns`."""
    source, cotangent = m.given("x", x), m.given("d", d)
    panels, biased = source.count, kernel != "prelu_columns"
    gains = 1 if shared else panels
    size = (gains + panels * biased) * m.in_line
    found = blocks(m, how, state_like(np.resize(d[:1], size), how), np.ones(size, bool))
    weight = Learned(offset=0, stride=LINE, rate=1.0, decay=1.0)
    bias = Learned(offset=gains * LINE if biased else -1, stride=LINE, rate=1.0, decay=1.0)
    values = {"x": source, "d": cotangent, "weight": weight, "bias": bias, "panels": panels, "inputs": 1}
    more = 0
    if kernel == "batch_norm_columns":  # its sums are there, so it reads no rows: a panel too many is what kills it
        more = m.more_behind
        places = {name: m.line_numbers(name, np.abs(x[0])) for name in ("sum_d", "sum_dx", "mean", "variance")}
        running = [m.line_numbers(name, np.abs(d[0])) for name in ("running_mean", "running_variance")]
        for buffer in running:
            m.writes(buffer, 0, buffer.content.size, over=True)
        found += running
        values |= {buffer.name: buffer.address for buffer in [*places.values(), *running]}
        layer = m.record(TrainedNorm, momentum=0.1, **values)
    else:
        layer = m.record(Trained, shared=shared, **values)
    m.worker.scratch = m.memory.lines((panels + more) * (2 if biased else 1))
    tile(m, kernel, layer, len(x), i1=1, p1=panels + more)
    return [buffer.numbers() for buffer in found]


def update(m: Machine, W: Array, b: Array | None, g: Array, how: Optimizer) -> list[Array]:
    """Gradients that have waited are applied to one layer in one tile."""
    layer = Layer(*W.shape, m.in_line, b is not None)
    waiting = m.line_numbers("gradients", layer.flat(g, b))
    found = blocks(m, how, state_like(layer.flat(W, b), how), layer.written())
    m.head.update.gradients = waiting.address
    transposed = m.panels("transposed", layer.panels * m.in_line, layer.inputs)
    m.writes(transposed, 0, transposed.rows)
    record = m.record(
        Trained,
        inputs=layer.inputs,
        panels=layer.panels,
        weight=Learned(stride=layer.lines * LINE, rate=1.0, decay=1.0),
        bias=Learned(offset=layer.panels * layer.lines * LINE if layer.biased else -1, rate=1.0, decay=1.0),
        transposed=transposed,
    )
    panels = layer.panels + m.more_behind
    m.worker.scratch = m.memory.lines(max(layer.inputs, panels))
    tile(m, "update", record, 0, i1=layer.inputs, p1=panels)
    return [*(buffer.numbers() for buffer in found), transposed.lines()]


def norm(m: Machine, g: Array) -> list[Array]:
    """The sums of squares of gradients in two pieces."""
    waiting = m.line_numbers("gradients", g)
    norms = m.user_output("norms", 2, np.float64)
    m.head.update.gradients, m.head.update.norms = waiting.address, norms.address
    lines = waiting.content.size // m.in_line
    ends = [0, lines // 2, lines]
    for number in range(2):
        count = ends[number + 1] - ends[number]
        m.run("norm", 0, 0, number=number, first=ends[number] * LINE, lines=count + m.more_behind)
    return [norms.numbers()]


def row_list(m: Machine, seen: list[int], room: int) -> Any:
    """Rows that have occurred, and room for as many as there may be; whoever adds to it writes it."""
    stamps = m.user("stamps", np.isin(np.arange(CODES), seen).astype(np.int64))
    rows = m.user("rows", np.resize(np.array([*seen, 0]), room))
    stamps.may[:] = rows.may[:] = True
    return m.record(RowList, serial=1, count=len(seen), stamps=stamps.address, rows=rows.address)


def table_layer(m: Machine, layer: Layer, **values: Any) -> Any:
    weight = Learned(stride=layer.lines * LINE, rate=1.0, decay=1.0)
    return m.record(
        TrainedTable, inputs=layer.inputs, panels=layer.panels, width=layer.outputs, weight=weight, **values
    )


def lines_of(layer: Layer, rows: list[int]) -> Array:
    """Where the numbers of some rows of a table are, padding too."""
    wanted = np.zeros((layer.inputs, layer.panels * layer.in_line), bool)
    wanted[rows] = True
    return layer.flat(wanted, None)


def embedding_rows(m: Machine, d: Array, width: int, how: Optimizer, staged: bool) -> list[Array]:
    """Gradients of the rows that occur, updated at once or kept, where those of an earlier step become zero."""
    codes = np.random.default_rng(len(d)).integers(0, CODES - 1, len(d))
    earlier = [CODES - 1]
    seen = sorted(set(codes.tolist()))
    layer = Layer(CODES, width, m.in_line, False)
    table = np.resize(d[:1], (CODES, width))
    x = m.given("x", np.stack([np.full(len(d), np.nan), codes], axis=1), padding=np.nan)
    cotangent = m.given("d", d, padding=np.nan)
    changed = lines_of(layer, seen + earlier * staged)
    found = blocks(m, how, state_like(layer.flat(table, None), how), changed)
    m.head.update.staged, m.head.step.group_part = staged, 1.0
    sums = lines_out(m, "sums", layer.flat(table, None).size // m.in_line)
    sums.must = sums.may = lines_of(layer, seen)
    record = table_layer(
        m, layer, x=x, d=cotangent, column=1, first=d.shape[1] - width, sums=sums.address,
        batch_list=m.address_of(row_list(m, [], len(seen))),
        step_list=m.address_of(row_list(m, earlier, len(seen) + 1)),
    )  # fmt: skip
    tile(m, "embedding_rows", record, len(d))
    return [*(buffer.numbers() for buffer in found), sums.numbers()]


def taken(m: Machine, g: Array, b: Array | None, how: Optimizer) -> list[Array]:
    """The sums of all ranks for one layer become its gradients, in one tile."""
    layer = Layer(*g.shape, m.in_line, b is not None)
    sums = m.line_numbers("partials", layer.flat(g, b))
    found = blocks(m, how, state_like(layer.flat(g, b), how), layer.written())
    m.head.update.partials, m.head.step.group_part = sums.address, 1.0
    m.head.update.staged = how is KEEP
    transposed = m.panels("transposed", layer.panels * m.in_line, layer.inputs)
    if how is not KEEP:
        m.writes(transposed, 0, transposed.rows)
    record = m.record(
        Trained,
        inputs=layer.inputs,
        panels=layer.panels,
        weight=Learned(stride=layer.lines * LINE, rate=1.0, decay=1.0),
        bias=Learned(offset=layer.panels * layer.lines * LINE if layer.biased else -1, rate=1.0, decay=1.0),
        transposed=transposed,
    )
    panels = layer.panels + m.more_behind
    m.worker.scratch = m.memory.lines(panels * (layer.inputs + 1))
    tile(m, "taken", record, 0, i1=layer.inputs, p1=panels)
    return [*(buffer.numbers() for buffer in found), transposed.lines()]


def embedding_taken(m: Machine, seen: list[int], g: Array, how: Optimizer, staged: bool) -> list[Array]:
    """The sums of all ranks for the rows of one table that occurred on some of them become their gradients."""
    earlier = [CODES - 1]
    layer = Layer(CODES, g.shape[1], m.in_line, False)
    table = np.resize(g, (CODES, layer.outputs))
    given = m.line_numbers("partials", layer.flat(table[::-1], None))
    found = blocks(m, how, state_like(layer.flat(table, None), how), lines_of(layer, seen + earlier * staged))
    m.head.update.partials, m.head.update.staged, m.head.step.group_part = given.address, staged, 1.0
    sums = lines_out(m, "sums", layer.flat(table, None).size // m.in_line)
    sums.must = sums.may = lines_of(layer, seen)
    rows = row_list(m, seen, len(seen))
    rows.count = len(seen) + m.more_behind
    step = row_list(m, earlier, len(seen) + 1)
    record = table_layer(m, layer, sums=sums.address, batch_list=m.address_of(rows), step_list=m.address_of(step))
    tile(m, "embedding_taken", record, 0)
    return [*(buffer.numbers() for buffer in found), sums.numbers()]


def embedding_update(m: Machine, seen: list[int], g: Array, how: Optimizer) -> list[Array]:
    """Gradients of the rows of one table that have occurred are applied."""
    layer = Layer(CODES, g.shape[1], m.in_line, False)
    table = np.resize(g, (CODES, layer.outputs))
    waiting = m.line_numbers("gradients", layer.flat(table[::-1], None))
    found = blocks(m, how, state_like(layer.flat(table, None), how), lines_of(layer, seen))
    m.head.update.gradients = waiting.address
    rows = row_list(m, seen, len(seen))
    rows.count = len(seen) + m.more_behind
    m.worker.scratch = m.memory.lines(1)
    tile(m, "embedding_update", table_layer(m, layer, step_list=m.address_of(rows)), 0)
    return [buffer.numbers() for buffer in found]


def attempt(m: Machine, p: Array, g: Array, how: Optimizer) -> list[Array]:
    """An update on copies: the worst place, and the copies."""
    blocks(m, how, state_like(p, how), np.zeros(p.size, bool))
    m.head.data.scan = kernel_address("scan_reals", m.real)
    m.worker.gradients = m.line_numbers("g", g).address
    shadow = m.whole("shadow", m.memory.lines(SHADOW_BYTES // LINE), SHADOW_BYTES // 8, np.int64, output=True)
    shadow.content[:], shadow.must[:] = 0, False
    m.worker.shadow = shadow.address
    m.call("attempt", m.head, 0, -(-p.size // m.in_line))
    return [np.array([m.worker.bad_place]), shadow.content[Head.size :].copy()]


def rest(m: Machine, p: Array, how: Optimizer) -> list[Array]:
    """What means have more than their squares allow."""
    found = blocks(m, how, state_like(p, how), np.zeros(p.size, bool))
    m.head.update.count = found[0].content.size + m.more_behind * m.in_line
    m.head.data.scan = kernel_address("scan_reals", m.real)
    m.worker.shadow = m.memory.lines(TRIAL_LINES)
    m.call("rest", m.head, 0, 0)
    return [np.array([m.head.update.now.rest])]


def bounds(m: Machine, tops: Array, how: Optimizer) -> list[Array]:
    """What bounds follow from these."""
    how.prepare(m, lr=0.1, step=4)
    now = m.head.update
    now.now.each, now.gradient, now.top_rate, now.top_decay = tops, 2.0, 1.0, 1.0
    m.call(RULES[how.kernel].bounds, m.head, 0, 0)
    return [np.array([now.worst]), now.following.each.copy()]


def factors(m: Machine, lr: float, how: Optimizer) -> list[Array]:
    """What an optimiser multiplies with."""
    how.prepare(m, lr, step=4)
    return [m.head.update.factors.copy()]


def begin_batch(m: Machine, rows: int, weighted: bool) -> list[Array]:
    """The first batch of a shuffled data set, with running statistics that are put aside."""
    data, update, total = m.head.data, m.head.update, max(rows, 1)
    order = m.user_output("order", total, np.uint32)
    states = m.line_numbers("states", np.arange(1.0, total + 1.0))
    kept = lines_out(m, "states kept", states.content.size // m.in_line)
    data.order, data.shuffle, data.batch, data.total = order.address, 1, total, total + m.more_behind
    if weighted:
        data.normalisers = m.user("normalisers", np.arange(1.0, total + 1.0)).address
    m.head.step.rates, m.head.step.accumulate = m.user("rates", np.array([0.1])).address, 1
    update.prepare = kernel_address(RULES["adam"].prepare, m.real)
    update.settings[:7] = 0.5
    update.states, update.states_kept = states.address, kept.address
    update.state_bytes, m.head.magnitudes = kept.content.nbytes, 8
    m.call("begin_batch", m.head, 0, 0)
    return [order.numbers(np.uint32), kept.numbers(), np.array([m.head.step.scale, *update.factors])]


def walk(m: Machine, kernel: str, x: Array, pieces: int) -> list[Array]:
    """A plan of a phase of rows, in blocks of 16, and one of tasks; `begin` announces the first, `work` does both."""
    source, target = m.given("a", x), m.panels("c", *x.shape)
    norms = m.user_output("norms", pieces, np.float64)
    relu = kernel_address("relu_forward", m.real)
    op = m.record(ElementwiseOp, kernel=relu, a=source, c=target, width=source.width, panels=source.count)
    tasks = m.records(Piece, pieces)
    for number, task in enumerate(tasks):
        task.kernel, task.number, task.lines = kernel_address("norm", m.real), number, 1
    phases = m.records(Phase, 2)
    values: list[dict[str, int]] = [
        {"kind": ROW_PHASE, "ops": m.address_of(op), "op_count": 1, "groups": 1, "block": 16},
        {"kind": TASK_PHASE, "tasks": m.address_of(tasks[0]), "task_count": pieces},
    ]
    if not len(x):
        values.reverse()  # a phase without tasks would never end
    for phase, words in zip(phases, values, strict=True):
        for name, value in words.items():
            setattr(phase, name, value)
        phase.end = END_NOTHING
    head, team = m.head, m.head.team
    head.phases, head.phase_count, head.data.rows = m.address_of(phases[0]), 2 if len(x) else 1, len(x)
    head.update.norms, head.update.gradients = norms.address, m.line_numbers("g", np.ones(m.in_line)).address
    team.tickets, team.threads = m.memory.lines(1), 1
    if kernel == "begin":
        norms.must[:] = norms.may[:] = False
        team.threads += m.more_behind
        m.call("begin", head, 0, 0)
        return [team.now[:1].copy()]
    m.call("begin", head, 0, 0)
    m.writes(target, 0, len(x))
    phases[1 if len(x) else 0].task_count += m.more_behind
    m.call("work", head, 0, 0, 0)
    return [target.lines(), norms.numbers(), team.now[:1].copy()]


def gate_groups(m: Machine, x: Array) -> list[Array]:
    """Two groups of one op, the first rows and the rest, in blocks of 16."""
    source, target = m.given("a", x), m.panels("c", *x.shape)
    relu, half = kernel_address("relu_forward", m.real), len(x) // 2
    op = m.record(ElementwiseOp, kernel=relu, a=source, c=target, width=source.width, panels=source.count)
    groups = m.records(OpGroup, 2)
    for group, begin, end in zip(groups, (0, half), (half, len(x) + m.more_behind), strict=True):
        group.ops, group.count, group.begin, group.end, group.block = m.address_of(op), 1, begin, end, 16
    task = m.record(GateTask, groups=m.address_of(groups[0]), count=2)
    m.writes(target, 0, len(x))
    m.call("gate_groups", task, 0, 0)
    return [target.lines()]


def cases(dtype: str, normal: Any, optimizers: tuple[Optimizer, ...]) -> Iterator[tuple[str, tuple[int, ...], Any]]:
    """(kernel, shape, run) for each of these kernels; `normal` makes the numbers."""
    whole, updating = cycle(optimizers), cycle(how for how in optimizers if how is not KEEP)
    for number, shape in enumerate(SHAPES):
        rows, width = shape
        x, d = normal(dtype, *shape), normal(dtype, *shape, 1)[:, :, 0]
        for kernel in ("begin", "work"):
            yield kernel, shape, partial(walk, kernel=kernel, x=x, pieces=5)
        yield "gate_groups", shape, partial(gate_groups, x=x)
        yield "begin_batch", shape, partial(begin_batch, rows=rows, weighted=bool(number % 2))
        for how in optimizers:
            rule, tops = RULES[how.kernel], np.abs(normal("float64", 5)) * rows
            yield rule.prepare, shape, partial(factors, lr=0.1 * rows, how=how)
            yield rule.bounds, shape, partial(bounds, tops=tops, how=how)
            if rule.of_means and number % 4 == 0 and rows:
                yield "rest", shape, partial(rest, p=x.ravel(), how=how)
        if not rows:
            continue
        for kernel in ("columns", "prelu_columns", "batch_norm_columns"):
            yield kernel, shape, partial(columns, kernel=kernel, x=x, d=d, how=next(whole))
        for kernel in ("columns", "prelu_columns"):
            yield kernel, shape, partial(columns, kernel=kernel, x=x, d=d, how=next(whole), shared=True)
        b = d[0] if number % 2 else None
        yield "update", shape, partial(update, W=x, b=b, g=d, how=next(updating))
        scaled = x * x.dtype.type((1.0, 1e25)[number % 2])  # the squares of which no float32 holds
        yield "norm", shape, partial(norm, g=scaled.ravel())
        part = -(-width // 2)
        yield "embedding_rows", shape, partial(embedding_rows, d=d, width=part, how=next(whole), staged=False)
        yield "embedding_rows", shape, partial(embedding_rows, d=d, width=part, how=KEEP, staged=True)
        seen = [int(code) for code in np.random.default_rng(rows).permutation(CODES)[: 1 + rows % CODES]]
        known = [code for code in seen if code < CODES - 1] or [0]
        yield "embedding_taken", shape, partial(embedding_taken, seen=known, g=d, how=next(whole), staged=False)
        yield "embedding_taken", shape, partial(embedding_taken, seen=known, g=d, how=KEEP, staged=True)
        yield "taken", shape, partial(taken, g=x, b=b, how=next(whole))
        yield "embedding_update", shape, partial(embedding_update, seen=seen, g=d, how=next(updating))
        yield "attempt", shape, partial(attempt, p=x.ravel(), g=d.ravel(), how=next(updating))
