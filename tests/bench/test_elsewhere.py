"""The bench of what is exported: what it prints, and that it times nothing that differs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import fastbp as fb
from bench import elsewhere
from bench.check import RefusedError

COMPILER = next((name for name in ("gcc", "clang") if shutil.which(name)), None)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")


def test_the_table_has_times_of_c_and_how_much_longer_others_take():
    took = {
        "predict": {"C": [2.0, 1.0, 4.0], "Python": [4.0, 3.0, 4.0]},
        "jacobian": {"C": [10.0], "Python": [5.0], "ONNX": [30.0]},
    }
    assert elsewhere.table(took).splitlines() == [
        "| one row | C, µs | Python / C | ONNX / C |",
        "|---|---|---|---|",
        "| predict | 2.00 (1.00..4.00) | **2.00** (1.00..3.00) |  |",
        "| jacobian | 10.0 (10.0..10.0) | **0.50** (0.50..0.50) | **3.00** (3.00..3.00) |",
    ]


@needs_compiler
def test_both_tasks_run_in_c(tmp_path):
    net = fb.mlp(list(elsewhere.SIZES), activation="tanh", seed=0)
    x = np.ones((1, elsewhere.SIZES[0]), np.float32)
    runs = elsewhere.ours(net, tmp_path, COMPILER, x)
    assert set(runs) == {"predict", "jacobian"}
    for run in runs.values():
        run(3)


@needs_compiler
def test_nothing_is_timed_that_differs(tmp_path, monkeypatch):
    net = fb.mlp(list(elsewhere.SIZES), activation="tanh", seed=0)
    other = fb.mlp(list(elsewhere.SIZES), activation="tanh", seed=1)
    write = fb.export.c
    monkeypatch.setattr(fb.export, "c", lambda net, *rest, **words: write(other, *rest, **words))
    with pytest.raises(RefusedError) as error:
        elsewhere.ours(net, tmp_path, COMPILER, np.ones((1, elsewhere.SIZES[0]), np.float32))
    assert str(error.value) == "predict in C differs from that in Python"
