"""Penalties on parameters: what a user's function r(p) of every number adds to the loss, as far as gradients feel it.

    L' = L + Σ r(p)      g ← g + r'(p)      the gradient of a sum is the sum of gradients, number by number

It joins the gradient before anything else is done with that. r'(0) must be 0: what pads parameters is 0 and stays so.
"""

from __future__ import annotations

from collections.abc import Callable

from fastbp.kernels.flags import kernel
from fastbp.kernels.memory import load, store
from fastbp.kernels.records import Head
from fastbp.kernels.vector import LINE, V, vector_function


def penalty(name: str, slope: Callable[[V], V]) -> None:
    """Make the kernel `name`: the worker's gradients += r'(p), for r1 lines of parameters at byte r0."""
    joined = vector_function(lambda g, p: g + slope(p))

    def of_lines(head, me, r0, r1, z):
        g = me.gradients
        p = head.update.blocks.parameters + r0
        for o in range(0, r1 * LINE, LINE):
            store(g + o, joined(load(g + o, z), load(p + o, z)))

    of_lines.__name__ = name
    kernel(Head)(of_lines)
