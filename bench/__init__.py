"""Benches: fastbp against PyTorch, JAX and NumPy, in one run, on the same batches.

    python -m bench                         every case, every rival that is installed
    python -m bench --cases 64-128,784      the cases whose name contains one of these
    python -m bench --json bench.json       also write everything that was measured

A case (`cases.py`) is data. Each contender (`rivals.py`) lives in a process of its own (`worker.py`, driven
through `remote.py`), so that no two thread pools ever meet. For each case (`session.py`) the rivals' thread
counts are tuned, all outputs are compared (`check.py`), and only where they agree do fastbp and each rival
take turns (`timing.py`); the table (`report.py`) shows the median of the ratios of neighbouring turns. Read
the files in that order.
"""
