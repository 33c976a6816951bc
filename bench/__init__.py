"""Benches: fastbp against NumPy, PyTorch and JAX, in one run, on the same batches.

    python -m bench                         every case, every rival that is installed
    python -m bench --cases 64-128,784      the cases whose name contains one of these
    python -m bench --json bench.json       also write everything that was measured

A case (`cases.py`) is data. Each contender (`rivals.py`) lives in a process of its own (`worker.py`, driven
through `remote.py`), so that no two thread pools ever meet. A case is timed (`timing.py`) only after every
contender has reached the same losses and parameters (`check.py`); then fastbp and a rival take turns and
the table (`report.py`) shows the median of the ratios of neighbouring turns. Read the files in that order.
"""
