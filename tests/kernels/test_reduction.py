"""The lines that tiles of the weight sweep ask for, by the rules themselves, which are plain arithmetic."""

from types import SimpleNamespace

import pytest

from fastbp.kernels import reduction
from fastbp.kernels.tile import DEPTH, MIXED, RUN, TILE_M, TILE_N, UNROLL, is_tall
from fastbp.kernels.vector import LINE

FAR = 2**30  # from one matrix to the next
STRIDE = 1000 * LINE  # from one panel to the next

pytestmark = pytest.mark.skipif(UNROLL == 1, reason="no tile has so many inputs as a run has lines")
every_width = pytest.mark.parametrize("n", sorted({1, TILE_N}))


def run(address):
    return {address + o for o in range(0, RUN * LINE, LINE)}


def tiles(begin, end, in_line):
    """The first input of each tile that asks."""
    out, i = [], begin
    while i + 4 <= end:
        left = min(end - i, in_line - i % in_line)
        tall = is_tall.py_func(left)
        if not tall and not (MIXED and left >= 4):
            break
        out.append(i)
        i += TILE_M if tall else 4
    return out


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
        if inputs % RUN == 0 or (inputs == 112 and moments < 3):
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
