"""The lines that tiles of the weight sweep ask for, by the rules themselves, which are plain arithmetic."""

from types import SimpleNamespace

import pytest

from fastbp.kernels import reduction
from fastbp.kernels.tile import DEPTH, RUN, TILE_M, TILE_N, UNROLL
from fastbp.kernels.vector import LINE

FAR = 2**30  # from one matrix to the next
STRIDE = 1000 * LINE  # from one panel to the next

pytestmark = pytest.mark.skipif(UNROLL == 1, reason="no tile has so many inputs as a run has lines")
every_width = pytest.mark.parametrize("n", sorted({1, TILE_N}))


def run(address):
    return {address + o for o in range(0, RUN * LINE, LINE)}


def asked_to_write(n, inputs, moments):
    blocks = SimpleNamespace(each=[FAR * (1 + number) * (number <= moments) for number in range(4)])
    rule = reduction.run_to_write.py_func
    found = [rule(at, n, inputs, blocks, 5 * LINE, STRIDE, 0) for at in range(inputs // TILE_M)]
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
        if inputs % RUN == 0 or (inputs == 112 and moments < 3):
            assert asked == wanted


def asked_to_read(n, in_line, begin, end, x_next, d_next):
    rule = reduction.run_to_read.py_func
    found = [
        rule((i - begin) // TILE_M, n, i, 0, STRIDE, STRIDE, in_line, x_next, d_next) for i in range(begin, end, TILE_M)
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
