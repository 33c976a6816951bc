"""`python -m bench big`: a table larger than memory, trained on with a limit, beside the same rows in memory.

It makes a CSV, 20 columns of about 16 characters, trains on it by `fastbp train --max-memory`, and prints the most
memory that was resident (VmHWM of the process, in which pages of the file system's cache do not count), the rows a
second of the passes and of the epochs behind them, and those of rows in memory, by `Trainer.fit`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

STEP = 100_000  # rows that are written together
CONFIG = """
name: big
data: {path: PATH, target: y, task: numbers}
network: {hidden: [64, 64]}
trainer: {epochs: EPOCHS, batch_size: 256, optimizer: {name: adam, lr: 0.002}}
"""


def columns(first: int, rows: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """18 columns of numbers, one of texts, and what is to be predicted, of some rows."""
    drawn = np.random.default_rng(first)
    numbers = [drawn.normal(size=rows) for _ in range(18)]
    texts = drawn.choice(np.array(["red", "green", "blue", "yellow"]), rows)
    y = numbers[0] * numbers[1] + np.sin(numbers[2]) + (texts == "red") + 0.1 * drawn.normal(size=rows)
    return numbers, texts, y


def write(path: Path, rows: int) -> None:
    """The table."""
    import polars

    with open(path, "wb") as file:
        for first in range(0, rows, STEP):
            numbers, texts, y = columns(first, min(STEP, rows - first))
            frame = {f"x{i}": x for i, x in enumerate(numbers)} | {"color": texts, "y": y}
            polars.DataFrame(frame).write_csv(file, include_header=first == 0, float_precision=14)


def most_resident(command: list[str], folder: Path) -> tuple[int, float, str]:
    """The most memory of a process, in bytes, its seconds, and what it printed."""
    begun, most = time.perf_counter(), 0
    with open(folder / "printed", "w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                break
            found = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")]
            most = max([most, *found])
            time.sleep(0.02)
        process.wait()
        out.seek(0)
        printed = out.read()
    if process.returncode:
        raise SystemExit(printed)
    return most, time.perf_counter() - begun, printed


def in_memory(rows: int, epochs: int) -> float:
    """Rows a second of the same network on rows in memory."""
    import fastbp as fb

    parts = [columns(first, min(STEP, rows - first)) for first in range(0, rows, STEP)]
    names = ("red", "green", "blue", "yellow")
    X = np.concatenate([np.stack([*n, *(t == name for name in names)], 1).astype("f4") for n, t, _ in parts])
    y = np.concatenate([y for *_, y in parts]).astype("f4")[:, None]
    del parts
    trainer = fb.Trainer(fb.mlp([22, 64, 64, 1], seed=0), loss="mse", optimizer=fb.Adam(lr=0.002), batch_size=256)
    trainer.fit(X[:10_000], y[:10_000])
    cut = len(X) * 85 // 100
    history = trainer.fit(X[:cut], y[:cut], epochs=epochs, validation=(X[cut:], y[cut:]), metrics=["r2"])
    return history.samples / history.seconds


def main(arguments: list[str]) -> int:
    """Make the table, train on it, and print what it took."""
    options = argparse.ArgumentParser(prog="python -m bench big", description=__doc__)
    options.add_argument("--rows", type=int, default=60_000_000)
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--max-memory", default="1GB")
    options.add_argument("--memory-rows", type=int, default=4_000_000, help="of the rows in memory, at most")
    options.add_argument("--folder", help="where the table and its rows are made, and removed")
    said = options.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="fastbp-big-", dir=said.folder))
    try:
        table, begun = folder / "table.csv", time.perf_counter()
        write(table, said.rows)
        size = os.path.getsize(table)
        print(f"{said.rows:,} rows, {size / 1e9:.2f} GB, made in {time.perf_counter() - begun:.0f} s", flush=True)
        (folder / "big.yaml").write_text(CONFIG.replace("PATH", str(table)).replace("EPOCHS", str(said.epochs)))
        command = [sys.executable, "-m", "fastbp", "train", "big.yaml", "--set", "data.stream=true"]
        command += ["--max-memory", said.max_memory]
        begun_with = most_resident([*command, "--set", "trainer.epochs=1", "--json"], folder)
        again = most_resident([*command, "--json"], folder)
        result = json.loads(again[2][again[2].index("{") :])
        passes = begun_with[1] - (again[1] - result["seconds"] / said.epochs * (said.epochs - 1))
        print(f"passes: {passes:.0f} s, {said.rows / passes:,.0f} rows/s, {size / passes / 1e6:.0f} MB/s")
        print(f"most resident: {begun_with[0] / 1e6:.0f} MB with the passes, {again[0] / 1e6:.0f} MB without")
        speed, beside = result["samples_per_second"], in_memory(min(said.rows, said.memory_rows), said.epochs)
        print(f"epochs: {speed:,.0f} rows/s, in memory {beside:,.0f} rows/s, {speed / beside:.2f} of that")
    finally:
        shutil.rmtree(folder)
    return 0
