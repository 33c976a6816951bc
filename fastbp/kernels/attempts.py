"""An update that is tried on copies, so that one that would overflow is never begun.

Optimisers find parameters and moments through the head, at one offset in all. A worker's shadow is a head like the
real one but for the addresses of those, which lead the same offset to copies. The kernel that updates the copies is
the one that updates, so what is looked at has the very bits that the step would write.
"""

from __future__ import annotations

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.memory import bytes_of, call_kernel, load, store
from fastbp.kernels.records import HEAD_WORDS, TRIAL_LINES, Head
from fastbp.kernels.vector import LINE
from fastbp.kernels.weights import average
from fastbp.kernels.words import address_of, words_at


@inlined
def copy_words(source, target, count):
    for i in range(count):
        target[i] = source[i]


@kernel(Head)
def attempt(head, me, r0, r1, z):
    """Update copies of r1 lines at byte r0, from the worker's gradients, noting in `bad_place` if one is not finite.

    Without gradients the running average moves alone.
    """
    gradients = me.gradients
    shadow = me.shadow
    copies = address_of(shadow[1])
    blocks, tried = head.update.blocks.each, shadow.update.blocks.each
    top = 0
    copy_words(words_at(head), words_at(shadow), HEAD_WORDS)
    for first in range(0, r1, TRIAL_LINES):
        count = min(TRIAL_LINES, r1 - first)
        offset = r0 + first * LINE
        for number in range(5):
            copy = copies + number * TRIAL_LINES * LINE
            if blocks[number] != 0:
                for o in range(0, count * LINE, LINE):
                    store(copy + o, load(blocks[number] + offset + o, z))
                tried[number] = copy - offset
        if gradients != 0:
            me.gradients = gradients + first * LINE
            call_kernel(head.update.kernel, shadow, me, offset, count, z)
        average(shadow, offset, count, z)
        for number in range(5):
            if blocks[number] != 0:
                copy = copies + number * TRIAL_LINES * LINE
                call_kernel(head.data.scan, copy, shadow.spare, 0, count * LINE // bytes_of(z), z)
                top = max(top, shadow.spare[0])
    me.gradients = gradients
    place = r0 + 1
    if top >= head.step.finite and (me.bad_place == 0 or place < me.bad_place):
        me.bad_place = place
