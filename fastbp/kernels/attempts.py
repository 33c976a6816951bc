"""An update that is tried on copies, so that one that would overflow is never begun.

Optimisers find parameters and moments through the head, at one offset in all. A worker's shadow is a head like the
real one but for the addresses of those, which lead the same offset to copies. The kernel that updates the copies is
the one that updates, so what is looked at has the very bits that the step would write.
"""

from __future__ import annotations

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.layout import (
    AVERAGE,
    BAD_PLACE,
    FINITE,
    PARAMETERS,
    RUNS,
    SCAN,
    SHADOW,
    SPARE,
    TICKETS,
    TRIAL_LINES,
    UPDATE,
    WORD,
)
from fastbp.kernels.memory import bytes_of, call_kernel, get, load, put, store
from fastbp.kernels.vector import LINE
from fastbp.kernels.weights import average


@inlined
def kept_word(number):
    """The head's word for the address of each of the five blocks that an update writes."""
    return AVERAGE if number == 4 else PARAMETERS + number  # behind it stand those of the moments


@kernel
def attempt(head, me, r0, r1, z):
    """Update copies of r1 lines at byte r0, from gradients at RUNS, and note in BAD_PLACE if one is not finite then.

    RUNS = 0 moves the running average alone.
    """
    gradients = get(me, RUNS)
    shadow = get(me, SHADOW)
    copies = shadow + TICKETS * WORD
    found = shadow + SPARE * WORD
    top = 0
    for word in range(TICKETS):
        put(shadow, word, get(head, word))
    for first in range(0, r1, TRIAL_LINES):
        count = min(TRIAL_LINES, r1 - first)
        offset = r0 + first * LINE
        for number in range(5):
            word = kept_word(number)
            copy = copies + number * TRIAL_LINES * LINE
            if get(head, word) != 0:
                for o in range(0, count * LINE, LINE):
                    store(copy + o, load(get(head, word) + offset + o, z))
                put(shadow, word, copy - offset)
        if gradients != 0:
            put(me, RUNS, gradients + first * LINE)
            call_kernel(get(head, UPDATE), shadow, me, offset, count, z)
        average(shadow, offset, count, z)
        for number in range(5):
            if get(head, kept_word(number)) != 0:
                copy = copies + number * TRIAL_LINES * LINE
                call_kernel(get(head, SCAN), copy, found, 0, count * LINE // bytes_of(z), z)
                top = max(top, get(found, 0))
    put(me, RUNS, gradients)
    place = r0 + 1
    if top >= get(head, FINITE) and (get(me, BAD_PLACE) == 0 or place < get(me, BAD_PLACE)):
        put(me, BAD_PLACE, place)
