"""One training of what `fastbp init` writes for a table, or of a preset, by the commands that users have."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import fastbp as fb
from bench.tabular.places import called
from fastbp.config.text import read

TIMED = 5  # predictions of the test rows, of which the median counts
FASTBP = (sys.executable, "-m", "fastbp")


def trained(data: Path, model: str, seed: int, keys: list[str], choose: bool = False) -> dict[str, float]:
    """The score on the test rows, the seconds of init and training, and milliseconds for 1,000 predictions.

    To `choose` among presets without the test rows the validation rows stand for them.
    """
    about: dict[str, Any] = json.loads((data / "about.json").read_text())
    name, _, limit = model.partition("@")
    preset = [] if name == "init" else ["--preset", name]
    until = ["--time-limit", limit] if limit else []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        begun = processors()
        called(*FASTBP, "init", data / "whole.csv", "--target", about["target"], *preset, folder=folder)
        (folder / "parts.json").write_text(json.dumps({"data": rows(data, folder / "config.yaml", choose)}))
        settings = [word for key in (f"seed={seed}", *keys) for word in ("--set", key)]
        called(*FASTBP, "train", "config.yaml", "-c", "parts.json", *settings, *until, folder=folder)
        seconds = processors() - begun
        (run,) = (folder / "runs").iterdir()
        found = json.loads(called(*FASTBP, "evaluate", run, "-m", about["metric"], "--json", folder=folder))
        took = milliseconds(run, data / ("validation.csv" if choose else "test.csv"))
        shutil.copy(folder / "config.yaml", data / f"{name}.yaml")
    score = found["metrics"]["test"][about["metric"]]
    return {"score": score, "seconds": seconds, "milliseconds": took}


def processors() -> float:
    """Seconds that processes which were called have had of processors, all threads together."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rows(data: Path, config: Path, choose: bool = False) -> dict[str, Any]:
    """The parts of the rows as a configuration has them: folds are of all rows but those to test on."""
    train, validation, test = (str(data / f"{part}.csv") for part in ("train", "validation", "test"))
    if choose:
        return {"path": None, "train": train, "test": validation, "split": {"validation": 0.15, "test": 0}}
    if (read(config).data.get("pack") or {}).get("folds") is not None:
        return {"path": None, "train": [train, validation], "test": test}
    return {"path": None, "train": train, "validation": validation, "test": test}


def milliseconds(run: Path, test: Path) -> float:
    """The median time of predictions of the test rows, of a table in memory as rivals get it, for 1,000 rows."""
    import pandas

    model: Any = fb.load(run)
    table = pandas.read_csv(test)
    seconds = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of categories that training did not see
        for _ in range(TIMED):
            begun = time.process_time()
            model.predict(table)
            seconds.append(time.process_time() - begun)
    return float(np.median(seconds)) / len(table) * 1e6
