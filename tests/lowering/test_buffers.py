"""Buffers: nobody writes over a number that somebody still reads, and no two stand in the same place.

A rule may write where nothing was before, over a value that is `free`, and over a cotangent or tangent that is not
`kept`. Whether it keeps to that is seen in its ops; whether it was allowed that rightly, by forbidding it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine.memory import Arena
from fastbp.kernels.fields import LINE
from fastbp.lowering import batch_plan, walk
from fastbp.lowering.buffers import Buffer, Records
from tests.train import bits_of_ops

CASES = {
    **{name: [[fb.Linear(21), *layers, fb.Linear(6)]] for name, layers in bits_of_ops.LAYERS.items()},
    **bits_of_ops.GRAPHS,
    "relu behind others": [[fb.Linear(21), fb.Dropout(0.3), fb.ReLU(), fb.Linear(9), fb.ReLU(), fb.ReLU(), fb.Tanh()]],
    "embedding": [[*bits_of_ops.LAYERS["embedding"], fb.Linear(9), fb.Tanh()]],
}
RIGHT_RULE, RIGHT_SUM = walk.rule_of, walk.added
SUM = -1  # in the place of a node: where cotangents are added up


class Watched:
    """A rule that is seen to write only where it may; at one node it may not write over anything."""

    def __init__(self, rule: Any, strict: int | None) -> None:
        self.rule, self.strict = rule, strict

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rule, name)

    def forward(self, lo: Any, use: Any) -> Any:
        if use.node.index == self.strict:
            use.sources = tuple(replace(source, free=False) for source in use.sources)
        may = [source.buffer for source in use.sources[:1] if source.free]
        return self._seen(lo, use, may, lambda: self.rule.forward(lo, use))

    def note(self, lo: Any, use: Any, d: Any) -> None:
        self._seen(lo, use, [], lambda: self.rule.note(lo, use, d))

    def backward_all(self, lo: Any, use: Any, d: Any) -> Any:
        d = replace(d, kept=d.kept or use.node.index == self.strict)
        return self._seen(lo, use, [] if d.kept else [d], lambda: self.rule.backward_all(lo, use, d))

    def tangent_all(self, lo: Any, use: Any, ts: Any) -> Any:
        ts = [replace(t, kept=t.kept or use.node.index == self.strict) for t in ts]
        return self._seen(lo, use, [t for t in ts if not t.kept], lambda: self.rule.tangent_all(lo, use, ts))

    def _seen(self, lo: Any, use: Any, may: list[Buffer], lower: Any) -> Any:
        before, first = set(lo.names), len(lo.ops)
        found = lower()
        allowed = {buffer.address for buffer in may} | (set(lo.names) - before)
        for op in lo.ops[first:]:
            where = f"`{op.name}` of node {use.node.index}, `{use.layer.kind}`, writes over {lo.names.get(op.c.start)}"
            assert op.whole_columns or op.c.start in allowed, where
        return found


def watched_sum(strict: int | None) -> Any:
    """The sum of two cotangents, which may stand in the place of one that is not kept."""

    def added(lo: Any, a: Buffer, b: Buffer) -> Buffer:
        if strict == SUM:
            a, b = replace(a, kept=True), replace(b, kept=True)
        out = RIGHT_SUM(lo, a, b)
        over = [lo.names[d.address] for d in (a, b) if d.kept and d.address == out.address]
        assert over == [], f"a sum of cotangents writes over {over[0]}"
        return out

    return added


def watch(monkeypatch: Any, strict: int | None = None) -> None:
    monkeypatch.setattr(walk, "rule_of", lambda layer: Watched(RIGHT_RULE(layer), strict))
    for module in (walk, batch_plan):
        monkeypatch.setattr(module, "added", watched_sum(strict))


def computed(layers: Any) -> dict[str, Any]:
    """What a new network makes of data in each of its plans."""
    net = bits_of_ops.network(layers, "float64")
    several = len(net.graph.heads) > 1
    loss = fb.JointLoss(["mse"] * len(net.graph.heads)) if several else fb.MSE()
    X, t = bits_of_ops.data(fb.MSE())
    widths = [net.graph.nodes[head].outputs for head in net.graph.heads]
    targets = tuple(np.resize(t, (len(X), width)) for width in widths)
    out = {"predict": np.hstack(net.predict(X)) if several else net.predict(X), "jvp": net.jvp(X, X)}
    out["vjp"] = net.vjp(X, np.resize(t, (len(X), net.outputs)))
    fb.Trainer(net, loss=loss, optimizer=fb.SGD(0.1), batch_size=41, threads=1).run(
        X, targets if several else targets[0], steps=1
    )
    return out | {f"step of {name}": value for name, value in net.parameters.items()}


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_written_over_that_is_still_read(name, monkeypatch):
    for layers in CASES[name]:
        watch(monkeypatch)
        found = computed(layers)
        nodes = bits_of_ops.network(layers, "float64").graph.nodes
        for strict in (SUM, *range(len(nodes))):
            watch(monkeypatch, strict)
            where = "where cotangents are added" if strict == SUM else f"at node {strict}, `{nodes[strict].layer.kind}`"
            for what, value in computed(layers).items():
                same = np.array_equal(value, found[what], equal_nan=True)
                assert same, f"{what} has lost numbers {where}"


def records(rows: int) -> Records:
    net = fb.Network([fb.Linear(5)], inputs=3)
    return Records(net.graph, net._parameters.block, net._states.block, rows, Arena())


@pytest.mark.parametrize("rows", [1, 2, 31, 64])
def test_no_two_buffers_share_a_line(rows):
    lo = records(rows)
    taken = []
    for width in (1, 15, 16, 17, 100):
        buffer = lo.buffer(width)
        assert buffer.panels * lo.in_line >= width > (buffer.panels - 1) * lo.in_line
        assert buffer.stride // LINE >= rows
        assert buffer.stride // LINE % 2 == 1
        taken += [(buffer.address + p * buffer.stride, rows * LINE) for p in range(buffer.panels)]
        taken += [(lo.lines(buffer.panels), buffer.panels * LINE), (lo.row_numbers(), rows * lo.itemsize)]
    taken.sort()
    for (first, size), (second, _) in pairwise(taken):
        assert first + size <= second


def test_what_is_kept_or_has_another_width_is_not_written_over():
    lo = records(8)
    d = lo.buffer(20)
    assert lo.over(d, 20) is d
    assert lo.over(replace(d, kept=True), 20).address != d.address
    assert lo.over(d, 21).address != d.address
