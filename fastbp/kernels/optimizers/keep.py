"""No optimiser: gradients are kept where they wait for the others of their step, or for a user."""

from __future__ import annotations

from fastbp.kernels.fields import LINE
from fastbp.kernels.flags import kernel
from fastbp.kernels.lines import add_product, times
from fastbp.kernels.memory import as_real, load, store
from fastbp.kernels.optimizers.rule import RULES, Rule, Settings
from fastbp.kernels.records import Head


@kernel(Head)
def keep_gradients(head, me, r0, r1, z):
    """The gradient, or a part of it beside those of the batches before, where a step has several."""
    g = me.gradients
    out = head.update.gradients + r0
    part = as_real(head.step.group_part, z)
    if head.step.micro == 0:
        for o in range(0, r1 * LINE, LINE):
            store(out + o, times(load(g + o, z), part))
        return
    for o in range(0, r1 * LINE, LINE):
        store(out + o, add_product(load(out + o, z), load(g + o, z), part))


@kernel(Head, None)
def keep_gradients_factors(head, me, r0, r1, z):
    """Nothing to prepare."""


RULES["keep_gradients"] = Rule(0, Settings, "keep_gradients_factors", "no_bounds")
