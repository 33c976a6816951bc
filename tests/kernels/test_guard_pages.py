"""No kernel reads or writes a byte beyond its buffers, at any tail: guard pages would kill the process that did."""

import json
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from fastbp.engine.compiler import _kernels
from fastbp.kernels.optimizers import RULES
from fastbp.lowering.registry import OPS
from fastbp.spec.catalogue import LOSSES
from tests.kernels.branch_calls import ALONE, PAIRS
from tests.kernels.gate_calls import INPUTS
from tests.kernels.harness import DTYPES
from tests.kernels.layer_calls import COLUMN_BY_COLUMN, ROW_BY_ROW, SUMS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="guard pages are made with mprotect")

ROOT = Path(__file__).parents[2]
# Kernels that do rows r0 to r1; the others count from 0, and a row before the first means nothing to them.
FROM_A_ROW = (
    *sorted({k for op in OPS.values() if op.family == "elementwise" for k in (op.forward, op.vjp, op.jvp) if k}),
    *(
        "dropout",
        "product",
        "coded_product",
        "gather",
        "gather_coded",
        "scatter",
        "scan_reals",
        "multiply_forward",
        "multiply_vjp",
    ),
    *(*LOSSES, "dot", *PAIRS, *ALONE, "branch_copy", "branch_clear", "branch_row_sum"),
    *(
        "coded_product",
        "gather_coded",
        "branch_repeat",
        "gather_repeated",
        "unit_rows",
        "scatter_columns",
        "join_losses",
    ),
    *(f"gate_{name}" for name in INPUTS),
    *(*ROW_BY_ROW, *COLUMN_BY_COLUMN, *SUMS),
)
# What they read and write is the head, so nothing is too much for them: they stand between guard pages like the others.
OF_THE_HEAD = {name for rule in RULES.values() for name in (rule.prepare, rule.bounds)}
KERNELS = sorted(name for name in _kernels() if "custom_" not in name)  # those of formulas are other tests'
DEADLY = {signal.SIGSEGV, signal.SIGBUS}

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@cache
def guarded(*arguments):
    """Run `tests.kernels.guarded` and return its process."""
    environment = os.environ | {"FASTBP_QUIET": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.kernels.guarded", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@every_dtype
def test_every_kernel_stays_between_its_guard_pages(dtype):
    process = guarded(dtype)
    last = process.stderr.strip().rsplit("\n", 1)[-1]
    assert process.returncode == 0, f"died of signal {-process.returncode} at {last}"
    runs = json.loads(process.stdout)
    assert sorted(runs) == KERNELS
    assert min(runs.values()) > 10


@pytest.mark.parametrize("kernel", sorted({*KERNELS} - OF_THE_HEAD))
@every_dtype
def test_a_row_too_many_kills(kernel, dtype):
    assert json.loads(guarded(dtype, "more_behind").stdout)[kernel] in DEADLY


@pytest.mark.parametrize("kernel", FROM_A_ROW)
@every_dtype
def test_a_row_before_the_first_kills(kernel, dtype):
    assert json.loads(guarded(dtype, "more_before").stdout)[kernel] in DEADLY
