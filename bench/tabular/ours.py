"""One training of what `fastbp init` writes for a table, or of a preset, by the commands that users have."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastbp as fb
from bench.tabular.places import called

TIMED = 5  # predictions of the test rows, of which the median counts
FASTBP = (sys.executable, "-m", "fastbp")


def trained(data: Path, model: str, seed: int, keys: list[str]) -> dict[str, float]:
    """The score on the test rows, the seconds of init and training, and milliseconds for 1,000 predictions."""
    about: dict[str, Any] = json.loads((data / "about.json").read_text())
    name, _, limit = model.partition("@")
    preset = [] if name == "init" else ["--preset", name]
    until = ["--time-limit", limit] if limit else []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        parts = {part: str(data / f"{part}.csv") for part in ("train", "validation", "test")}
        (folder / "parts.json").write_text(json.dumps({"data": {"path": None, **parts}}))
        begun = time.perf_counter()
        called(*FASTBP, "init", data / "whole.csv", "--target", about["target"], *preset, folder=folder)
        settings = [word for key in (f"seed={seed}", *keys) for word in ("--set", key)]
        called(*FASTBP, "train", "config.yaml", "-c", "parts.json", *settings, *until, folder=folder)
        seconds = time.perf_counter() - begun
        (run,) = (folder / "runs").iterdir()
        found = json.loads(called(*FASTBP, "evaluate", run, "-m", about["metric"], "--json", folder=folder))
        took = milliseconds(run, data / "test.csv")
        shutil.copy(folder / "config.yaml", data / f"{name}.yaml")
    score = found["metrics"]["test"][about["metric"]]
    return {"score": score, "seconds": seconds, "milliseconds": took}


def milliseconds(run: Path, test: Path) -> float:
    """The median time of predictions of the test rows, of a table in memory as rivals get it, for 1,000 rows."""
    import pandas

    model: Any = fb.load(run)
    table = pandas.read_csv(test)
    seconds = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        model.predict(table)
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds)) / len(table) * 1e6
