"""What the probes of a machine compute: their time means nothing unless they do all that is counted."""

import re
import threading

import numpy as np
import pytest

from fastbp.engine import compiler
from fastbp.engine.memory import Arena, view
from fastbp.kernels.fields import LINE
from fastbp.sweeps.probes import CHAINS, LANES, flops_of_a_turn

REALS = {"float32": np.float32, "float64": np.float64}
every_real = pytest.mark.parametrize("real", REALS)


def lanes(real):
    return LINE // REALS[real]().itemsize * LANES // 16


@every_real
@pytest.mark.parametrize("turns", [1, 2, 7])
def test_every_chain_takes_every_turn(real, turns):
    arena = Arena()
    place = arena.take(LINE)
    compiler.sweep("fma_chains", real)(turns, place, REALS[real](0))
    # x = x / 2 + 1 halves the distance to 2, which is k + 1 in chain k: exact in either precision.
    expected = sum(2 + (k + 1) / 2**turns for k in range(CHAINS))
    np.testing.assert_array_equal(view(place, (lanes(real),), REALS[real]), expected)


@every_real
def test_a_turn_has_as_many_operations_as_are_counted(real):
    """LLVM may put several turns into one of its own, but must not find two chains equal or one constant."""
    text = compiler.final_ir("fma_chains", real)
    body = max(re.split(r"\n\w[^\n]*:[^\n]*\n", text), key=lambda block: block.count("@llvm.fma"))
    turns, left = divmod(body.count("@llvm.fma") * lanes(real) * 2, flops_of_a_turn(REALS[real]().itemsize))
    assert (turns > 0, left) == (True, 0)


def test_two_threads_take_turns():
    hand_over = compiler.sweep("hand_over", "float32")
    for _ in range(50):  # a thread whose partner has no processor for long gives up
        arena = Arena()
        word, done = arena.take(LINE), [None, None]

        def run(me, word=word, done=done):
            done[me] = hand_over(word, me, 50, np.float32(0))

        both = [threading.Thread(target=run, args=(me,)) for me in (0, 1)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        if done == [1, 1]:
            break
    assert done == [1, 1]
    assert view(word, (1,), np.int64)[0] == 100


def test_a_thread_whose_partner_never_comes_gives_up():
    arena = Arena()
    word = arena.take(LINE)
    assert compiler.sweep("hand_over", "float32")(word, 0, 2, np.float32(0)) == 0
    assert view(word, (1,), np.int64)[0] == 1
