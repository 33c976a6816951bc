"""Benches: fastbp against PyTorch, JAX, ONNX Runtime and NumPy, in one run, on the same batches and rows.

    python -m bench                         every case, every rival that is installed
    python -m bench --tasks predict         predictions only
    python -m bench --cases 64-128,784      the cases whose name contains one of these
    python -m bench --json bench.json       also write everything that was measured
    python -m bench --report                also write this machine's section of the README
    python -m bench --scaling               instead, training on 1, 2, 4, 8 and 16 threads
    python -m bench --packs                 instead, many networks in a pack beside the same one by one
    python -m bench tabular                 instead, scores on real tables beside LightGBM and others (`tabular/`)

A case of training (`cases.py`) or predicting (`calls.py`) is data. Each contender (`contenders/`) lives in a process of
its own (`worker.py`, driven through `remote.py`), so that no two thread pools ever meet. For each case (`session.py`)
the rivals' thread counts are tuned, all outputs are compared (`check.py`), and only where they agree do fastbp and each
rival take turns (`timing.py`); the table (`report.py`) shows the median of the ratios of neighbouring turns, and what
part of the peak, measured just before and behind, fastbp reaches. Then the team that the trainer chose takes turns with
teams of each fixed size. Read the files in that order.
"""
