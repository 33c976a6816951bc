"""The same bits for every op, whatever the threads and the width of the vector registers."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from fastbp.lowering.registry import OPS
from fastbp.train.catalogue import OPTIMIZERS
from tests.train import bits_of_ops

ROOT = Path(__file__).parents[2]
EVERYTHING = (*OPS, *OPTIMIZERS)


@cache
def trained(lanes):
    """Lanes used and {op: {threads: digest}}, from a process of its own."""
    environment = os.environ | {"FASTBP_QUIET": "1", "FASTBP_LANES": str(lanes)}
    command = [sys.executable, "-m", "tests.train.bits_of_ops"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["lanes"], found["digests"]


def test_every_op_is_trained():
    assert {name for name, *_ in bits_of_ops.cases()} == set(EVERYTHING)


@pytest.mark.parametrize("name", EVERYTHING)
def test_threads_and_lanes_change_no_bit(name):
    widest, expected = trained(16)
    found = set(expected[name].values())
    for lanes in (8, 4):
        if lanes < widest:
            used, digests = trained(lanes)
            assert used == lanes
            found |= set(digests[name].values())
    assert len(expected[name]) == 3
    assert len(found) == 1


def test_every_op_leaves_other_bits():
    _, digests = trained(16)
    assert len({ways["1"] for ways in digests.values()}) == len(EVERYTHING)
