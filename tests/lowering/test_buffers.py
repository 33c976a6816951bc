"""Buffers: many hold the same memory one after another, and no op finds there what another has written meanwhile.

A plan's phases are run here without numbers, from its records: of each panel in memory it is known which panel of which
buffer it holds. Ops as they were lowered say what each should find, and tasks that may run at one time are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine import threads as threads_of
from fastbp.engine.memory import Arena
from fastbp.engine.ops import UNPLACED, Ops
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import BinsOp, ColumnsOp, JoinOp
from fastbp.kernels.records import ROW_PHASE, Matrix
from fastbp.lowering import plans
from fastbp.lowering.buffers import Records
from tests.train import bits_of_ops

CASES = {
    **{name: [[fb.Linear(21), *layers, fb.Linear(6)]] for name, layers in bits_of_ops.LAYERS.items()},
    **bits_of_ops.GRAPHS,
    "relu behind others": [[fb.Linear(21), fb.Dropout(0.3), fb.ReLU(), fb.Linear(9), fb.ReLU(), fb.ReLU(), fb.Tanh()]],
    "embedding": [[*bits_of_ops.LAYERS["embedding"], fb.Linear(9), fb.Tanh()]],
}
KINDS = ("predict", "vjp", "jvp", "rows", "columns", "gradient", "evaluate", "train")
Panels = list[tuple[int, int]]  # where each is in memory, and which it should be


# Random networks


def chain(rng: np.random.Generator) -> fb.Network:
    layers: list[Any] = []
    for _ in range(rng.integers(2, 9)):
        layers += [fb.Linear(int(rng.integers(1, 90))), one(rng)]
    return fb.Network(layers, inputs=int(rng.integers(1, 70)), seed=1, dtype="float64")


def one(rng: np.random.Generator) -> Any:
    kinds = [fb.Identity, fb.ReLU, fb.Tanh, fb.SiLU, fb.LayerNorm, fb.BatchNorm, fb.Softmax, fb.Dropout, fb.PReLU]
    return kinds[rng.integers(len(kinds))]()


# From two signals, their width and a layer to a signal.
JOINED: list[Any] = [
    lambda a, b, n, layer: a + b,
    lambda a, b, n, layer: a - b,
    lambda a, b, n, layer: a * b,
    lambda a, b, n, layer: a / (b * b + 1.0),
    lambda a, b, n, layer: fb.Linear(n)(fb.concat([a, b, a])),
    lambda a, b, n, layer: fb.concat([a[:, 2:], b[:, :2]]),
    lambda a, b, n, layer: a * b.mean() + 0.5,
    lambda a, b, n, layer: layer(a),
    lambda a, b, n, layer: fb.Linear(n)(a),
    lambda a, b, n, layer: fb.Linear(n)(a) + a,
    lambda a, b, n, layer: fb.Linear(n)(fb.relu(fb.Linear(2 * n)(a))) + b,
]


def graph(rng: np.random.Generator) -> fb.Network:
    """Branches of one width, joined at random, with one to three outputs."""
    width = int(rng.integers(9, 60))
    x = fb.Input(int(rng.integers(1, 70)))
    signals = [fb.Linear(width)(x), fb.Linear(width)(x)]
    for _ in range(rng.integers(2, 12)):
        a, b = (signals[i] for i in rng.integers(len(signals), size=2))
        signals.append(JOINED[rng.integers(len(JOINED))](a, b, width, one(rng)))
    heads = [fb.Linear(int(rng.integers(1, 20)))(signals[-1 - i]) for i in range(rng.integers(1, 4))]
    return fb.Network(inputs=x, outputs=heads if len(heads) > 1 else heads[0], seed=1, dtype="float64")


def networks(seed: int) -> Iterator[fb.Network]:
    rng = np.random.default_rng(seed)
    yield chain(rng)
    yield graph(rng)


# A plan without numbers


class Lowered(NamedTuple):
    plan: Any
    ops: list[Any]
    layers: list[Any]


def lowered(net: fb.Network, kind: str, batch: int, threads: int) -> Lowered:
    """A plan, and its ops and layers before they had memory."""
    found: dict[int, Any] = {}  # by the names that a plan has; proofs of kernels make plans, too
    put = Records.put

    def seen(lo: Records, *args: Any) -> None:
        found[id(lo.names)] = [op.copy() for op in lo.ops], [layer.copy() for layer in lo.layers], lo
        put(lo, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Records, "put", seen)
        loss = ["mse"] * len(net.graph.heads) if len(net.graph.heads) > 1 else "mse"
        plan = net.plan(kind, batch=batch, loss=loss, threads=threads)
        return Lowered(plan, *found[id(plan.names)][:2])


def has_second(op: Any) -> bool:
    of_wave = op.name.startswith("wave_") and op.y.start
    return bool(op.name.endswith("norm_forward") or op.name.startswith("branch_custom_slope_") or of_wave)


def part(op: Any, record: Any, name: str, item: int) -> Panels:
    """The panels of a matrix that this record's kernel reads or writes, also where that begins within a line."""
    matrix, real = getattr(op, name, None), getattr(record, name, None)
    if matrix is None or matrix.start < UNPLACED:
        return []
    matrix, real = (Matrix(start=m.start // LINE * LINE, stride=m.stride) for m in (matrix, real))
    narrow = name == "y" and isinstance(op, BinsOp)
    width = op.inputs if narrow else op.width
    first, count = 0, -(-width * item // LINE) if name == "a" or narrow else op.panels
    if op.fields[name].per_panel:
        first, count = record.first_panel, record.panels
    elif isinstance(op, ColumnsOp):
        begin = {"a": op.first, "c": op.to}[name] * item // LINE if op.name == "branch_copy" else 0
        end = -(-({"a": op.first, "c": op.to}[name] + op.count) * item // LINE)
        first, count = begin, (end - begin if op.name == "branch_copy" else count)
        return [(real.start + p * real.stride, matrix.start + p * matrix.stride) for p in range(first, first + count)]
    return [(real.start + p * real.stride, matrix.start + (first + p) * matrix.stride) for p in range(count)]


def reads(op: Any, record: Any, item: int) -> Panels:
    names = [] if op.name in ("unit_rows", "branch_clear") else ["a"]
    names += ["y"] if "y" in op.fields and not has_second(op) else []
    return [panel for name in names for panel in part(op, record, name, item)]


def writes(op: Any, record: Any, item: int) -> Panels:
    if op.whole_columns or isinstance(op, JoinOp):
        return []
    return [panel for name in (["y", "c"] if has_second(op) else ["c"]) for panel in part(op, record, name, item)]


def run(found: Lowered) -> None:
    """One block of rows through the row phases; in each, the column groups of an op may come in any order."""
    plan, item = found.plan, found.plan.parameters.dtype.itemsize
    ops, records = iter(found.ops), iter(plan.ops.records)
    memory: dict[int, int] = {}
    for phase in plan.phases.records:
        if phase.kind != ROW_PHASE:
            continue
        now = [next(ops) for _ in range(phase.op_count)]
        touched = []
        for _ in range(phase.groups):
            own: tuple[set[int], set[int]] = set(), set()
            for op in now:
                record = next(records)
                for place, panel in reads(op, record, item):
                    assert memory.get(place) == panel, f"{op.number} `{op.name}` reads what another op wrote"
                    own[0].add(place)
                for place, panel in writes(op, record, item):
                    memory[place] = panel
                    own[1].add(place)
            touched.append(own)
        for (read, wrote), (other_read, other_wrote) in combinations(touched, 2):
            assert not wrote & (other_read | other_wrote), "columns are written that another task reads or writes"
            assert not other_wrote & read, "columns are read that another task writes"
    for layer, record in zip(found.layers, plan.layers.records, strict=False):
        for matrix, real in ((layer.x, record.x), (layer.d, record.d)):
            assert memory[real.start] == matrix.start, "the weight sweep reads what another op wrote"
    assert all(second - first >= found.ops[0].c.stride for first, second in pairwise(sorted(memory)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(25))
def test_no_op_of_a_random_network_reads_what_another_has_written_over(seed, kind):
    for net in networks(seed):
        for batch, threads in (64, 1), (150, 2), (16, 3), (8, 4):
            run(lowered(net, kind, batch, threads))


@pytest.mark.parametrize("name", CASES)
def test_no_op_of_any_layer_reads_what_another_has_written_over(name):
    for layers in CASES[name]:
        net = bits_of_ops.network(layers, "float32")
        for kind in KINDS:
            for threads in (1, 3):
                run(lowered(net, kind, 40, threads))


# Numbers


def computed(net: fb.Network, threads: int) -> dict[str, Any]:
    """What a network makes of data in its plans, and after a step."""
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(150, net.inputs))) % 2.0
    X[:, :5] = np.arange(150)[:, None] % 4 if net.inputs > 4 else X[:, :5]
    widths = [net.graph.nodes[head].outputs for head in net.graph.heads]
    targets = tuple(rng.normal(size=(150, width)).astype(net.dtype) for width in widths)
    given = targets if len(widths) > 1 else targets[0]
    loss = fb.JointLoss(["mse"] * len(widths)) if len(widths) > 1 else fb.MSE()
    if net.graph.members is not None and net.graph.members.average == "softmax":
        loss, given = fb.CrossEntropy(), np.abs(given) / np.abs(given).sum(1, keepdims=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads_of, "default_threads", lambda: threads)
        patch.setattr(plans, "SERIAL_WORK", 0)
        out = {"predict": np.hstack(net.predict(X)) if len(widths) > 1 else net.predict(X), "jvp": net.jvp(X, X)}
        out["vjp"] = net.vjp(X, given)
        out["jacobian"] = net.jacobian(X[:90])
        out["loss"] = np.array(net.evaluate(X, given, loss=loss))
    trainer = fb.Trainer(net, loss=loss, optimizer=fb.SGD(0.1), batch_size=41, threads=threads)
    with suppress(fb.DivergedError):
        trainer.run(X, given, steps=3)
    return out | {f"step of {name}": value for name, value in net.parameters.items()}


def check_bits(make: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ops, "places", lambda self, ops, moments, among: {})
        apart = computed(make(), 1)
    for threads in (1, 2, 3):
        found = computed(make(), threads)
        assert found.keys() == apart.keys()
        for name, value in found.items():
            assert np.array_equal(value, apart[name], equal_nan=True), f"{name} on {threads} threads"


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_compute_what_they_do_in_memory_that_is_never_used_again(seed):
    for i in range(2):
        check_bits(lambda i=i: list(networks(seed))[i])


@pytest.mark.parametrize("name", CASES)
def test_every_layer_computes_what_it_does_in_memory_that_is_never_used_again(name):
    for layers in CASES[name]:
        check_bits(lambda layers=layers: bits_of_ops.network(layers, "float64"))


# Memory


def buffers(net: fb.Network, kind: str) -> list[str]:
    return sorted(name for name in net.plan(kind, batch=64, threads=1).names.values() if name.startswith("b"))


@pytest.mark.parametrize("depth", [3, 40])
def test_a_chain_needs_two_buffers_whatever_its_depth(depth):
    net = fb.Network([layer for _ in range(depth) for layer in (fb.Linear(64), fb.Tanh())], inputs=64)
    assert buffers(net, "predict") == ["b0 (64)", "b1 (64)"]
    assert len(buffers(net, "evaluate")) == 2
    assert len(buffers(net, "vjp")) == depth + 1  # what each tanh put out is read again


@pytest.mark.parametrize("depth", [3, 40])
def test_residual_blocks_need_three_buffers_whatever_their_number(depth):
    x = fb.Input(64)
    y = fb.Linear(64)(x)
    for _ in range(depth):
        y = fb.Linear(64)(fb.relu(fb.Linear(64)(y))) + y
    net = fb.Network(inputs=x, outputs=fb.Linear(10)(y))
    assert len(buffers(net, "predict")) == 3


def records(rows: int) -> Records:
    net = fb.Network([fb.Linear(5)], inputs=3)
    return Records(net.graph, net._parameters.block, net._states.block, rows, Arena())


@pytest.mark.parametrize("rows", [1, 2, 31, 64])
def test_no_two_buffers_that_are_held_share_a_line(rows):
    lo = records(rows)
    made, taken = [lo.buffer(width) for width in (1, 15, 16, 17, 100)], []
    lo.held = {buffer.number for buffer in made}
    lo.settle({}, [])
    for buffer in made:
        assert buffer.panels * lo.in_line >= buffer.width > (buffer.panels - 1) * lo.in_line
        assert buffer.stride // LINE >= rows
        assert buffer.stride // LINE % 2 == 1
        taken += [(lo.at(buffer) + p * buffer.stride, rows * LINE) for p in range(buffer.panels)]
        taken += [(lo.lines(buffer.panels), buffer.panels * LINE), (lo.row_numbers(), rows * lo.itemsize)]
    taken.sort()
    for (first, size), (second, _) in pairwise(taken):
        assert first + size <= second
