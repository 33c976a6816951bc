"""Training has one digest under every name of a processor, at every level; all of them by `scripts/verify-machines`."""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from fastbp.kernels import levels
from tests.train import every_machine

ROOT = Path(__file__).parents[2]
HOST = {name for name, on in llvm.get_host_cpu_features().items() if on}
DIGEST = "4a28d77f017d61cb1d081ade57ff2bdb"  # on every machine: a change here is a change for users


@pytest.mark.parametrize("threads", every_machine.THREADS)
def test_this_process_computes_it(threads):
    assert every_machine.digest(threads) == DIGEST, every_machine.explained()


@pytest.mark.skipif(levels.level().machine != "x86_64", reason="the names are those of x86-64 processors")
@pytest.mark.parametrize(("cpu", "lanes"), [("haswell", 16), ("skylake", 8)])
def test_the_tuning_for_another_processor_computes_it(cpu, lanes, tmp_path):
    if "avx2" not in HOST:
        pytest.skip("this machine cannot run code for that processor")
    own = {"FASTBP_CACHE_DIR": str(tmp_path), "FASTBP_QUIET": "1"}
    environment = {**os.environ, **own, "NUMBA_CPU_NAME": cpu, "FASTBP_LANES": str(lanes)}
    command = [sys.executable, "-m", "tests.train.every_machine", cpu]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, *digests = done.stdout.split()
    assert digests == [DIGEST] * len(every_machine.THREADS), done.stderr
