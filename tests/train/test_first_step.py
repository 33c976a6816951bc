"""First steps are, op by op, those that were written down; where one is another its first op that differs is named."""

import json

import numpy as np
import pytest

import fastbp as fb
from tests.train import first_step

CASES = first_step.cases()
KNOWN = json.loads(first_step.FILE.read_text())


def test_every_case_was_written_down():
    assert list(KNOWN) == list(CASES)


@pytest.mark.parametrize("name", KNOWN)
def test_every_op_puts_out_what_was_written_down(name):
    assert first_step.digests(*CASES[name]) == KNOWN[name]


def test_subnormals_are_flushed_as_in_training():
    net = fb.Network([fb.Linear(16, bias=False)], inputs=4)
    net.flat = np.full(64, 0.125)
    found = first_step.digests(fb.Trainer(net, loss="mse", batch_size=8), np.full((8, 4), 1.2e-38), np.zeros((8, 16)))
    (product,) = (digest for op, digest in found.items() if " product " in op)
    assert product == first_step.short(np.zeros((8, 16), np.float32))


@pytest.mark.parametrize("at", [0, 3, -1])
def test_the_first_op_that_differs_is_named(at):
    known = KNOWN["small float32"]
    changed = {name: digest if i < at % len(known) else "another" for i, (name, digest) in enumerate(known.items())}
    assert first_step.first_different(known, changed) == f"first different: {list(known)[at]}"
    assert first_step.first_different(known, known) == "first different: nothing in the first step"


def test_another_plan_is_named_by_its_first_op():
    known = KNOWN["small float32"]
    ops = list(known)
    shorter = {name: known[name] for name in ops[:2] + ops[3:]}
    assert first_step.first_different(shorter, known) == f"first different: the plan itself, from {ops[3]} on"
