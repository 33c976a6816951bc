"""Phases and tiles: whatever is cut, every panel and every line is somebody's, once, and each part finds its own."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fastbp.errors import ConfigError
from fastbp.kernels.fields import LINE, Part, Real, Word
from fastbp.kernels.ops import (
    KINDS,
    BatchNormSumsOp,
    DropoutOp,
    ElementwiseOp,
    GateOp,
    LinePerPanel,
    Op,
    OuterOp,
    ProductOp,
    SumOp,
)
from fastbp.kernels.records import (
    ROW_PHASE,
    TILE_INPUTS,
    TILE_PANELS,
    Learned,
    Matrix,
    Trained,
    TrainedNorm,
    TrainedTable,
)
from fastbp.lowering import phases
from fastbp.lowering.phases import (
    LEAST_PANELS,
    LEAST_ROWS,
    MOST_PHASES,
    MOST_ROWS,
    layered,
    row_block,
    row_phases,
    weight_tiles,
)

ROUNDS = 60
FAMILIES = sorted(
    (k for k in KINDS.values() if issubclass(k, Op) and not issubclass(k, GateOp) and "c" in k.fields), key=str
)
# The families whose columns may go on by themselves, and the fields that the kernels read panel by panel of the result.
CUT: dict[type[Op], tuple[str, ...]] = {
    ProductOp: ("b", "c", "y", "bias"),
    ElementwiseOp: ("a", "c", "y"),
    DropoutOp: ("a", "c"),
    BatchNormSumsOp: ("a", "c", "y", "mean", "variance", "sum_d", "sum_dx", "gain", "shifts"),
    SumOp: ("a", "c"),
    OuterOp: ("b", "c"),
}
COMMON = ("number", "kernel", "width", "panels", "first_panel")

every_round = pytest.mark.parametrize("seed", range(ROUNDS))


def test_the_families_that_are_cut_are_these():
    assert set(CUT) == {ProductOp, *(kind for kind in FAMILIES if kind.elementwise or kind.whole_columns)}


# Random ops


def place(rng: Any) -> int:
    """An address that is like no other."""
    return int(rng.integers(1, 2**40)) * LINE


def fill(rng: Any, record: Any, fields: dict[str, Any]) -> None:
    """Any numbers; what may be missing is, from time to time."""
    for name, field in fields.items():
        if isinstance(field, LinePerPanel):
            setattr(record, name, place(rng) * int(rng.random() < 0.8))
        elif isinstance(field, Part) and issubclass(field.kind, Matrix):
            there = name in "abc" or rng.random() < 0.8
            matrix = getattr(record, name)
            matrix.start, matrix.stride = place(rng) * there, (2 * int(rng.integers(1, 500)) + 1) * LINE
        elif isinstance(field, Real):
            setattr(record, name, rng.normal())
        elif isinstance(field, Word):
            setattr(record, name, int(rng.integers(1, 100)))


def op_of(rng: Any, kind: type[Op], panels: int) -> Any:
    op = kind(name=f"{kind.__name__} {rng.integers(10**9)}")
    fill(rng, op, {name: field for name, field in kind.fields.items() if name not in COMMON})
    op.kernel, op.number, op.width, op.panels = place(rng), int(rng.integers(1000)), int(rng.integers(1, 900)), panels
    return op


def op_list(rng: Any) -> list[Any]:
    """Ops of all families; most elementwise ones go on with what the op before put out, in as many panels."""
    out: list[Any] = []
    for _ in range(int(rng.integers(1, 25))):
        kind = FAMILIES[rng.integers(len(FAMILIES))] if rng.random() < 0.5 else [*CUT][rng.integers(len(CUT))]
        op = op_of(rng, kind, int(rng.integers(1, 41)))
        if out and kind.elementwise and rng.random() < 0.85:
            op.panels = out[-1].panels
        if out and kind.elementwise and rng.random() < 0.85:
            op.a = Matrix(start=out[-1].c.start, stride=out[-1].c.stride)
        out.append(op)
    return out


# What must become of them


def lines(op: Any, name: str) -> list[int]:
    """The address that a field has for each panel of the result."""
    value = getattr(op, name)
    start, step = (value, LINE) if isinstance(op.fields[name], LinePerPanel) else (value.start, value.stride)
    return [start + panel * step if start else 0 for panel in range(op.panels)]


def check_cut(op: Any, parts: list[Any]) -> None:
    """Every panel is in one part, which finds in every field what is its own."""
    at = f"{type(op).__name__} of {op.panels} panels in {len(parts)} parts"
    first = 0
    for part in parts:
        assert (type(part), part.name) == (type(op), op.name), at
        assert part.panels > 0, at
        assert part.first_panel == first, at
        first += part.panels
    assert first == op.panels, at
    for name, field in op.fields.items():
        if name in CUT[type(op)]:
            found = [line for part in parts for line in lines(part, name)]
            assert found == lines(op, name), f"`{name}` of {at}"
            if isinstance(field, Part):
                assert {getattr(part, name).stride for part in parts} == {getattr(op, name).stride}, f"`{name}` of {at}"
        elif name not in ("panels", "first_panel"):
            own = op.words[field.offset : field.offset + field.size]
            for part in parts:
                assert (part.words[field.offset : field.offset + field.size] == own).all(), f"`{name}` of {at}"


def check_phases(ops: list[Any], out: list[Any], found: list[Any], batch: int) -> None:
    """The phases go over all ops in their order, each group of columns through the same ones."""
    at_op = at_out = 0
    for phase in found:
        count, groups = phase.op_count, phase.groups
        own, cut = ops[at_op : at_op + count], out[at_out : at_out + count * groups]
        assert (phase.kind, len(own), len(cut)) == (ROW_PHASE, count, count * groups)
        for i, op in enumerate(own):
            parts = cut[i::count]
            if groups > 1 or type(op) in CUT:
                check_cut(op, [part.at(part.words) for part in parts])
            else:
                assert parts == [op]
            if groups > 1:
                extents = [(part.first_panel, part.panels) for part in parts]
                assert extents == [(part.first_panel, part.panels) for part in cut[::count]]
                assert i == 0 or (op.elementwise and op.a.start == own[i - 1].c.start)
        if any(op.whole_columns for op in own):
            assert (count, phase.block) == (1, batch)
        else:
            assert phase.block % LEAST_ROWS == 0
            assert 0 < phase.block <= MOST_ROWS
        at_op, at_out = at_op + count, at_out + count * groups
    assert (at_op, at_out) == (len(ops), len(out))


@every_round
def test_row_phases_go_over_every_op_and_every_panel_once(seed):
    rng = np.random.default_rng(seed)
    ops, batch, workers = op_list(rng), int(rng.integers(1, 700)), int(rng.integers(1, 33))
    check_phases(ops, *row_phases(ops, batch, workers), batch)


@every_round
def test_layers_one_by_one_go_over_every_op_and_every_panel_once(seed):
    rng = np.random.default_rng([seed, 1])
    ops = [op for op in op_list(rng) if not op.whole_columns] or [op_of(rng, ProductOp, 3)]
    batch, workers = int(rng.integers(1, 700)), int(rng.integers(1, 33))
    out, found = layered(ops, batch, workers)
    check_phases(ops, out, found, batch)
    counts, rest = [], iter(ops)
    for phase in found:
        own = [next(rest) for _ in range(phase.op_count)]
        counts.append(sum(isinstance(op, ProductOp) and op.panels >= 2 * LEAST_PANELS for op in own))
        if counts[-1]:
            assert isinstance(own[0], ProductOp)
            assert counts[-1] == 1
        else:
            assert (phase.groups, phase.block) == (1, row_block(batch, workers))
    assert all(1 in pair for pair in pairwise(counts))  # what is between two products is one phase


@every_round
@pytest.mark.parametrize("kind", CUT, ids=lambda kind: kind.__name__)
def test_an_op_is_cut_anywhere(kind, seed):
    rng = np.random.default_rng([seed, 2])
    op = op_of(rng, kind, int(rng.integers(1, 41)))
    before = op.words.copy()
    ends = [0, *sorted(set(rng.integers(1, op.panels + 1, 5).tolist()) - {op.panels}), op.panels]
    check_cut(op, [op.columns(p0, p1) for p0, p1 in pairwise(ends)])
    assert (op.words == before).all()


def test_every_way_to_cut_was_among_these():
    """The random lists have ops of every family, in phases with several groups, fused ones and whole columns."""
    families, shapes = Counter(), Counter()
    for seed in range(ROUNDS):
        rng = np.random.default_rng(seed)
        ops, batch, workers = op_list(rng), int(rng.integers(1, 700)), int(rng.integers(1, 33))
        families.update(type(op) for op in ops)
        for phase in row_phases(ops, batch, workers)[1]:
            shapes[min(phase.op_count, 2), min(phase.groups, 2)] += 1
    assert set(families) == set(FAMILIES)
    assert set(shapes) == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_a_field_that_is_left_where_it_was_is_found():
    op = op_of(np.random.default_rng(0), ProductOp, 5)
    op.bias = 4 * LINE
    for name in ("bias", "b"):
        first, second = op.columns(0, 2), op.columns(2, 5)
        setattr(second, name, getattr(op, name))
        with pytest.raises(AssertionError, match=f"`{name}` of ProductOp of 5 panels in 2 parts"):
            check_cut(op, [first, second])


def test_too_many_phases_are_refused():
    rng = np.random.default_rng(0)
    ops = [op_of(rng, BatchNormSumsOp, 2) for _ in range(MOST_PHASES + 1)]
    assert len(row_phases(ops[1:], 32, 2)[1]) == MOST_PHASES
    with pytest.raises(ConfigError, match=f"at most {MOST_PHASES} phases of rows and columns, got `{MOST_PHASES + 1}`"):
        row_phases(ops, 32, 2)


@pytest.mark.parametrize("workers", [1, 2, 7, 64])
def test_blocks_of_rows_are_whole_lines_of_losses_and_enough(workers):
    for batch in (*range(1, 300), 4096):
        block = row_block(batch, workers)
        assert block % LEAST_ROWS == 0
        assert LEAST_ROWS <= block <= MOST_ROWS
        assert block == LEAST_ROWS or block - LEAST_ROWS < batch / workers


# Tiles


def layers_of(rng: Any) -> list[Trained]:
    out = []
    for _ in range(int(rng.integers(1, 9))):
        kind = (Trained, Trained, TrainedNorm, TrainedTable)[rng.integers(4)]
        shared = int(kind is Trained and rng.random() < 0.2)
        inputs = 1 if shared or kind is TrainedNorm or rng.random() < 0.3 else int(rng.integers(1, 1100))
        weight = Learned(stride=(inputs | 1) * LINE)
        out.append(kind(inputs=inputs, panels=int(rng.integers(1, 41)), weight=weight, shared=shared))
    return out


@every_round
def test_tiles_go_over_every_line_of_every_layer_once_in_fair_shares(seed):
    rng = np.random.default_rng([seed, 3])
    layers, workers = layers_of(rng), int(rng.integers(1, 33))
    shares = weight_tiles(layers, workers)
    assert len(shares) == workers
    done = [np.zeros((layer.inputs, layer.panels), int) for layer in layers]
    for share in shares:
        assert [tile[0] for tile in share] == sorted(tile[0] for tile in share)
        for index, i0, i1, p0, p1 in share:
            assert 0 <= i0 < i1 <= layers[index].inputs
            assert 0 <= p0 < p1 <= layers[index].panels
            done[index][i0:i1, p0:p1] += 1
    for index, layer in enumerate(layers):
        assert (done[index] == 1).all(), f"layer {index}"
        counts = [sum(tile[0] == index for tile in share) for share in shares]
        if layer.shared or isinstance(layer, TrainedTable):
            assert sorted(counts) == [0] * (workers - 1) + [1]
            continue
        assert max(counts) - min(counts) <= 1, f"layer {index}: {counts}"
        for share in shares:
            for tile, i0, i1, p0, p1 in share:
                assert tile != index or (i1 - i0 <= TILE_INPUTS and p1 - p0 <= TILE_PANELS)


def test_the_check_of_tiles_sees_one_that_is_missing_and_one_that_is_done_twice(monkeypatch):
    right = phases.weight_tiles
    for change in (lambda share: share[1:], lambda share: share + share[:1]):
        monkeypatch.setitem(globals(), "weight_tiles", lambda layers, workers, change=change: [
            change(share) if share is whole[0] else share for whole in [right(layers, workers)] for share in whole
        ])  # fmt: skip
        with pytest.raises(AssertionError):
            test_tiles_go_over_every_line_of_every_layer_once_in_fair_shares(1)
