"""Training has one digest under every name of a processor, at every level; all of them by `scripts/verify-machines`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastbp.kernels import levels
from tests.train import every_machine

ROOT = Path(__file__).parents[2]
DIGEST = "4a28d77f017d61cb1d081ade57ff2bdb"  # on every machine: a change here is a change for users


@pytest.mark.parametrize("threads", every_machine.THREADS)
def test_this_process_computes_it(threads):
    assert every_machine.digest(threads) == DIGEST


@pytest.mark.skipif(levels.level().machine != "x86_64", reason="the names are those of x86-64 processors")
@pytest.mark.parametrize(("cpu", "lanes"), [("haswell", 16), ("znver3", 8)])
def test_a_process_on_a_machine_with_another_name_computes_it(cpu, lanes):
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "FASTBP_LANES": str(lanes), "FASTBP_QUIET": "1"}
    command = [sys.executable, "-m", "tests.train.every_machine"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, *digests = done.stdout.split()
    assert digests == [DIGEST] * len(every_machine.THREADS)
