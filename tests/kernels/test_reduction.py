"""The lines that tiles of the weight sweep ask for, by the rules themselves, which are plain arithmetic."""

from types import SimpleNamespace

import pytest

from fastbp.kernels import reduction
from fastbp.kernels.tile import DEPTH, RUN, TILE_M, TILE_N, UNROLL
from fastbp.kernels.vector import LINE

FAR = 2**30  # from one matrix to the next
STRIDE = 1000 * LINE  # from one panel to the next
NOWHERE = 1  # where rows of dz are that need not be asked for

pytestmark = pytest.mark.skipif(UNROLL == 1, reason="no tile has so many inputs as a run has lines")
every_width = pytest.mark.parametrize("n", sorted({1, TILE_N}))


def run(address):
    return {address + o for o in range(0, RUN * LINE, LINE)}


def reduced(begin, end, item, count=DEPTH):
    """The tiles that `reduce_panels`, run as Python, calls for one panel of dz: (inputs, first input, reading)."""
    called = []

    def tile(m, n, x, x_stride, d, d_stride, me, i, out, out_stride, count, begun, reading, writing, z):
        called.append((m, i, reading))

    blocks = SimpleNamespace(each=[0] * 4)
    me = SimpleNamespace(head=SimpleNamespace(update=SimpleNamespace(blocks=blocks)))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("is_tall", "run_to_read"):
            patch.setattr(reduction, name, getattr(reduction, name).py_func)
        patch.setattr(reduction, "bytes_of", lambda z: item)
        patch.setattr(reduction, "reduce_tile", tile)
        reduction.reduce_panels.py_func(
            1, 0, STRIDE, NOWHERE, STRIDE, me, begin, end, 0, STRIDE, 0, count, 0, -1, 0, FAR, 2 * FAR, 0.0
        )
    return called


def tiles(begin, end, in_line):
    """The first input of each tile that asks."""
    return [i for _, i, reading in reduced(begin, end, LINE // in_line) if reading]


def asked_to_write(n, inputs, moments):
    blocks = SimpleNamespace(each=[FAR * (1 + number) * (number <= moments) for number in range(4)])
    rule = reduction.run_to_write.py_func
    found = [rule(at, n, inputs, blocks, 5 * LINE, STRIDE, 0) for at, _ in enumerate(tiles(0, inputs, 16))]
    return set().union(*[run(address) for address in found if address])


def all_written(n, inputs, moments):
    places = [FAR * (1 + number) + 5 * LINE + panel * STRIDE for number in range(1 + moments) for panel in range(n)]
    return {place + i * LINE for place in places for i in range(inputs)}


@every_width
@pytest.mark.parametrize("moments", range(4))
def test_tiles_ask_for_all_that_is_written_and_nothing_else(moments, n):
    for inputs in range(RUN, 2 * RUN + 1, 16):
        asked, wanted = asked_to_write(n, inputs, moments), all_written(n, inputs, moments)
        assert asked <= wanted
        if inputs % RUN == 0 or (RUN == 64 and inputs == 112 and moments < 3):
            assert asked == wanted


def asked_to_read(n, in_line, begin, end, x_next, d_next):
    rule = reduction.run_to_read.py_func
    found = [
        rule(at, n, i, 0, STRIDE, STRIDE, in_line, x_next, d_next) for at, i in enumerate(tiles(begin, end, in_line))
    ]
    return set().union(*[run(address) for address in found if address])


@every_width
def test_tiles_ask_for_all_rows_of_the_next_cotangents(n):
    asked = asked_to_read(n, 16, 128, 256, 0, FAR)
    assert asked == {FAR + panel * STRIDE + row * LINE for panel in range(n) for row in range(DEPTH)}


@every_width
@pytest.mark.parametrize("in_line", [8, 16])
def test_tiles_ask_for_a_run_of_the_next_inputs(n, in_line):
    each = max(1, TILE_M // in_line * 2)  # a panel of so many, where half of the tiles are fewer than panels
    panels = range(128 // in_line + each - 1, 256 // in_line, each)
    assert asked_to_read(n, in_line, 128, 256, FAR, 0) == set().union(*[run(FAR + p * STRIDE) for p in panels])


@pytest.mark.parametrize("item", [4, 8])
def test_tiles_are_as_large_as_a_panel_allows_and_cross_none(item):
    in_line = LINE // item
    whole = {(8, 4): [8, 8], (8, 8): [8], (6, 4): [6, 6, 4], (6, 8): [4, 4], (4, 4): [4] * 4, (4, 8): [4, 4]}
    for inputs in range(1, 3 * in_line + 1):
        called = reduced(32, 32 + inputs, item, count=1)
        firsts, heights = [i for _, i, _ in called], [m for m, *_ in called]
        assert firsts == [32 + sum(heights[:k]) for k in range(len(heights))]
        assert sum(heights) == inputs
        assert all(i % in_line + m <= in_line for m, i, _ in called)
        panels = inputs // in_line
        assert heights[: panels * len(whole[TILE_M, item])] == whole[TILE_M, item] * panels
        assert not any(reading for *_, reading in called)


@pytest.mark.parametrize("in_line", [8, 16])
def test_each_tile_of_a_sweep_asks_for_the_next_run(in_line):
    runs = [reading for *_, reading in reduced(32, 160, LINE // in_line)]
    cotangents, inputs = (list(filter(lambda at: FAR * k <= at < FAR * (k + 1), runs)) for k in (2, 1))
    assert cotangents == [2 * FAR + row * LINE for row in range(0, DEPTH, RUN)]
    each = max(1, TILE_M // in_line * 2)
    assert sorted(set(inputs)) == [FAR + p * STRIDE for p in range(32 // in_line + each - 1, 160 // in_line, each)]
    assert len(cotangents) + len(inputs) + runs.count(NOWHERE) == len(runs)
